package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/nstest"
)

// fakeBus is a real dbus-daemon with nobody on it yet.
type fakeBus struct {
	t       *testing.T
	address string
	conn    *dbus.Conn // the fakes live on it

	mu    sync.Mutex
	calls []string
	props map[string]dbus.Variant // "path iface name"
}

func newFakeBus(t *testing.T) *fakeBus {
	t.Helper()
	path, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip("dbus-daemon (package dbus) is not installed")
	}
	dir, err := os.MkdirTemp("", "bus") // t.TempDir has the test's name in it, which an address cannot hold
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	conf := filepath.Join(dir, "conf")
	text := `<busconfig><type>system</type><listen>unix:dir=` + dir + `</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/></policy></busconfig>`
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--nofork", "--nopidfile", "--config-file="+conf, "--print-address")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal("dbus-daemon: ", err)
	}
	f := &fakeBus{t: t, address: strings.TrimSpace(line), props: map[string]dbus.Variant{}}
	if f.conn, err = dbus.Connect(f.address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.conn.Close() })
	return f
}

func (f *fakeBus) dial(ctx context.Context) (*dbus.Conn, error) {
	return dbus.Connect(f.address, dbus.WithContext(ctx))
}

func (f *fakeBus) dialSystemd(ctx context.Context) (*sd.Conn, error) {
	return sd.NewConnection(func() (*dbus.Conn, error) { return dbus.Connect(f.address) })
}

func (f *fakeBus) own(name string) {
	f.t.Helper()
	if r, err := f.conn.RequestName(name, 0); err != nil || r != dbus.RequestNameReplyPrimaryOwner {
		f.t.Fatal(name, r, err)
	}
}

func (f *fakeBus) call(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

func (f *fakeBus) called() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// methods exports functions at a path.
func (f *fakeBus) methods(path dbus.ObjectPath, iface string, m map[string]any) {
	f.t.Helper()
	if err := f.conn.ExportMethodTable(m, path, iface); err != nil {
		f.t.Fatal(err)
	}
	get := func(i, n string) (dbus.Variant, *dbus.Error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		v, ok := f.props[string(path)+" "+i+" "+n]
		if !ok {
			return v, dbus.NewError("org.freedesktop.DBus.Error.InvalidArgs", []any{"no property " + n})
		}
		return v, nil
	}
	set := func(i, n string, v dbus.Variant) *dbus.Error {
		f.call("Set %s %v", n, v.Value())
		f.set(path, i, n, v.Value())
		return nil
	}
	if err := f.conn.ExportMethodTable(map[string]any{"Get": get, "Set": set}, path, "org.freedesktop.DBus.Properties"); err != nil {
		f.t.Fatal(err)
	}
}

// set changes a property and tells so.
func (f *fakeBus) set(path dbus.ObjectPath, iface, name string, v any) {
	f.mu.Lock()
	f.props[string(path)+" "+iface+" "+name] = dbus.MakeVariant(v)
	f.mu.Unlock()
	_ = f.conn.Emit(path, "org.freedesktop.DBus.Properties.PropertiesChanged", iface, map[string]dbus.Variant{name: dbus.MakeVariant(v)}, []string{})
}

// rig is a namespace with one managed NIC, foreign things on it, and an actor.
type rig struct {
	*fakeBus
	ns    *nstest.NS
	actor *Actor
	index int32
}

const foreignThings = `
ip addr add 192.0.2.77/32 dev eth0
ip route add 198.51.100.0/24 via 10.0.2.9 dev eth0 metric 7
ip route add 198.51.100.0/24 via 10.0.2.8 dev eth0 table 77 proto static
ip -6 route add 2001:db8:77::/48 via fe80::77 dev eth0 table 77
ip rule add from 192.0.2.77 lookup 77 prio 77
ip -6 rule add to 2001:db8:77::/48 lookup 77 prio 78`

func newRig(t *testing.T) *rig {
	t.Helper()
	ns := nstest.New(t)
	ns.Sh(`ip link add eth0 type veth peer name peer0
		ip link set peer0 up
		ip link set eth0 up
		` + lease("100") + foreignThings)
	r := &rig{fakeBus: newFakeBus(t), ns: ns}
	var links []link
	x := &Actor{
		State: filepath.Join(t.TempDir(), "state"), Bus: r.dial, Systemd: r.dialSystemd,
		Probe:       func(context.Context, int) error { return nil },
		CallTimeout: 2 * time.Second, Settle: 5 * time.Second,
	}
	ns.Do(func() { links, _ = x.resolve(context.Background(), []string{"name:eth0"}) })
	if len(links) != 1 {
		t.Fatal("eth0 not found")
	}
	r.actor, r.index = x, int32(links[0].index)
	return r
}

func lease(metric string) string {
	return `ip addr add 10.0.2.15/24 dev eth0 valid_lft 3600 preferred_lft 3600
		ip route add default via 10.0.2.2 dev eth0 proto dhcp metric ` + metric + "\n"
}

const wipe = `ip addr flush dev eth0 scope global
ip route flush table 77
ip -6 route flush table 77
ip rule del prio 77
ip -6 rule del prio 78`

func (r *rig) do(a provision.Action) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var err error
	r.ns.Do(func() { err = r.actor.Do(ctx, a) })
	return err
}

func (r *rig) foreign() string {
	return r.ns.Sh("ip -4 -o addr show dev eth0 to 192.0.2.77\nip route show table 77\nip route show 198.51.100.0/24\n" +
		"ip -6 route show table 77\nip rule show prio 77\nip -6 rule show prio 78")
}

func (r *rig) journalled() bool {
	_, err := os.Stat(filepath.Join(r.actor.State, "foreign.json"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	return err == nil
}
