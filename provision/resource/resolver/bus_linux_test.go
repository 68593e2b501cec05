package resolver

import (
	"bufio"
	"context"
	"net/netip"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"github.com/godbus/dbus/v5/prop"
)

// resolved stands in for systemd-resolved on a bus of the test: org.freedesktop.resolve1(5).
type resolved struct {
	conn  *dbus.Conn
	props *prop.Properties
	slow  time.Duration
}

func (r *resolved) GetLink(index int32) (dbus.ObjectPath, *dbus.Error) {
	time.Sleep(r.slow)
	if index != 7 {
		return "", dbus.NewError("org.freedesktop.resolve1.NoSuchLink", []any{"Link is not known"})
	}
	return path + "/link/_37", nil
}

func (r *resolved) SetLinkDNS(_ int32, list []address) *dbus.Error {
	r.props.SetMust(link, "DNS", list)
	return nil
}

func (r *resolved) SetLinkDomains(_ int32, list []domain) *dbus.Error {
	r.props.SetMust(link, "Domains", list)
	return nil
}

func (r *resolved) SetLinkDefaultRoute(_ int32, on bool) *dbus.Error {
	r.props.SetMust(link, "DefaultRoute", on)
	return nil
}

func (r *resolved) RevertLink(int32) *dbus.Error {
	r.props.SetMust(link, "DNS", []address{})
	r.props.SetMust(link, "Domains", []domain{})
	return nil
}

// TestBus speaks over a real bus.
func TestBus(t *testing.T) {
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip("skipped: no dbus-daemon; install dbus-daemon")
	}
	ctx, cancel := context.WithCancel(t.Context())
	socket := "unix:path=" + filepath.Join(t.TempDir(), "bus")
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", socket)
	if b, err := SystemBus(ctx); b != nil || err != nil {
		t.Fatalf("there is no bus: %v %v", b, err)
	}
	cmd := exec.CommandContext(ctx, daemon, "--session", "--nofork", "--nopidfile", "--print-address", "--address="+socket)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = cmd.Wait() })
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "unix:") {
		t.Skipf("skipped: dbus-daemon does not start here: %q %v", line, err)
	}
	if b, err := SystemBus(ctx); b != nil || err != nil {
		t.Fatalf("nobody has the name: %v %v", b, err)
	}
	conn, err := dbus.Connect(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := &resolved{conn: conn}
	r.props, err = prop.Export(conn, path+"/link/_37", prop.Map{link: {
		"DNS": {Value: []address{}}, "Domains": {Value: []domain{}}, "DefaultRoute": {Value: true}}})
	if err == nil {
		err = conn.Export(r, path, manager)
	}
	if err == nil {
		_, err = conn.RequestName(busName, dbus.NameFlagDoNotQueue)
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := SystemBus(ctx)
	if err != nil || b == nil {
		t.Fatal(b, err)
	}
	defer b.Close()
	want := Link{Servers: []netip.Addr{netip.MustParseAddr("10.97.98.1"), netip.MustParseAddr("fd12::1")}, Domains: []string{"~.", "lan"}}
	if err := b.SetLink(ctx, 7, want); err != nil {
		t.Fatal(err)
	}
	if got, err := b.Link(ctx, 7); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := b.Revert(ctx, 7); err != nil {
		t.Error(err)
	}
	if got, err := b.Link(ctx, 7); err != nil || len(got.Servers)+len(got.Domains) > 0 {
		t.Errorf("after that: %+v, %v", got, err)
	}
	if _, err := b.Link(ctx, 8); err == nil || !strings.Contains(err.Error(), "not known") {
		t.Errorf("a link that is none: %v", err)
	}
	r.slow = 3 * time.Second
	begin := time.Now()
	if _, err := b.Link(ctx, 7); err == nil || time.Since(begin) > 2*time.Second {
		t.Errorf("one that is stuck: %v after %v", err, time.Since(begin))
	}
}
