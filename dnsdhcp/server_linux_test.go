package dnsdhcp

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/control"
	"github.com/provision-net/provision/provision/host/nstest"
)

// The test binary is also the server: its sockets must be made in a namespace, on whatever thread.
const serveEnv = "PROVISION_TEST_SERVE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveEnv); dir != "" {
		os.Exit(serveForTest(dir))
	}
	os.Exit(m.Run())
}

func serveForTest(dir string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	load := func() (Config, error) {
		var c Config
		text, err := os.ReadFile(filepath.Join(dir, "config.json"))
		if err == nil {
			err = json.Unmarshal(text, &c)
		}
		return c, err
	}
	c, err := load()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s, err := New(Options{
		Config: c, Dir: filepath.Join(dir, "state"), Socket: filepath.Join(dir, "run", "sock"), Load: load,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Notify: func(state string) {
			f, err := os.OpenFile(filepath.Join(dir, "notify"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
			if err == nil {
				fmt.Fprintln(f, state)
				f.Close()
			}
		},
	})
	if err == nil {
		err = s.Run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// child is a running server.
type child struct {
	t   *testing.T
	dir string
	cmd *exec.Cmd
	log strings.Builder
}

func startChild(t *testing.T, ns *nstest.NS, dir string) *child {
	t.Helper()
	c := &child{t: t, dir: dir}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c.cmd = exec.Command(exe)
	c.cmd.Env = append(os.Environ(), serveEnv+"="+dir)
	c.cmd.Stderr = &c.log
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	ns.Do(func() { err = c.cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.cmd.ProcessState == nil {
			_ = c.cmd.Process.Kill()
			_ = c.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("the server said:\n%s", c.log.String())
		}
	})
	return c
}

func (c *child) client() control.Client {
	return control.Client{Socket: filepath.Join(c.dir, "run", "sock")}
}

// await polls the status until ok says yes.
func (c *child) await(what string, ok func(control.Status) bool) control.Status {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var s control.Status
	for {
		s = control.Status{}
		if err := c.client().Get(ctx, control.PathStatus, nil, &s); err == nil && ok(s) {
			return s
		}
		select {
		case <-ctx.Done():
			c.t.Fatalf("%s: not within 20 s; the status is %+v", what, s)
		case <-tick.C:
		}
	}
}

func (c *child) configure(cfg Config) {
	c.t.Helper()
	writeConfig(c.t, c.dir, cfg)
}

func writeConfig(t *testing.T, dir string, cfg Config) {
	t.Helper()
	text, err := json.Marshal(cfg)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// servicesOf lists the kinds of services of a link that run.
func servicesOf(s control.Status, name string) []string {
	var out []string
	for _, l := range s.Links {
		for _, v := range l.Services {
			// There is one DNS service for each address.
			kind, _, _ := strings.Cut(v.Name, " ")
			if l.Name == name && v.State == running && !slices.Contains(out, kind) {
				out = append(out, kind)
			}
		}
	}
	return out
}

func TestServerFollowsLinks(t *testing.T) {
	ns := nstest.New(t)
	dir := t.TempDir()
	off := false
	usb := Rule{Match: Match{Name: "usb*"}, RA: RA{Enabled: &off}}
	writeConfig(t, dir, Config{Links: []Rule{usb}, DNS: DNS{ResolvFile: "none"}})
	c := startChild(t, ns, dir)
	c.await("ready without any link", func(s control.Status) bool { return s.Ready && len(s.Links) == 1 && s.Links[0].Index == 0 })

	all := []string{"dhcp4", "dhcp6", "dns", "mdns"}
	served := func(name string) func(control.Status) bool {
		return func(s control.Status) bool { return slices.Equal(servicesOf(s, name), all) }
	}
	plug := func(name string, net int) {
		ns.Sh(fmt.Sprintf("ip link add %s type veth peer name %s-far\nip addr add 10.55.%d.1/24 dev %s\nip link set %s up\nip link set %s-far up", name, name, net, name, name, name))
	}
	plug("usb0", 0)
	first := c.await("a link appears", served("usb0"))
	plug("eth0", 9)
	plug("usb1", 1)
	c.await("another one appears", served("usb1"))
	ns.Sh("ip link del usb0")
	c.await("it vanishes", func(s control.Status) bool {
		i := slices.IndexFunc(s.Links, func(l control.Link) bool { return l.Name == "usb0" })
		return i >= 0 && s.Links[i].Index == 0 && !slices.Contains(servicesOf(s, "usb0"), "dns")
	})
	plug("usb0", 0)
	again := c.await("it comes back", served("usb0"))
	if first.Links[0].Index == again.Links[0].Index {
		t.Errorf("the same index %d after it was made anew", again.Links[0].Index)
	}
	ns.Sh("ip addr del 10.55.0.1/24 dev usb0")
	s := c.await("its address goes", func(s control.Status) bool {
		return len(servicesOf(s, "usb0")) > 0 && !slices.Contains(servicesOf(s, "usb0"), "dhcp4")
	})
	if i := slices.IndexFunc(s.Links, func(l control.Link) bool { return l.Name == "usb0" }); len(s.Links[i].Notes) != 1 || !strings.Contains(s.Links[i].Notes[0], "no IPv4 address") {
		t.Errorf("nothing tells that the address is missing: %+v", s.Links[i])
	}
	ns.Sh("ip addr add 10.55.0.1/24 dev usb0")
	c.await("it is there again", served("usb0"))
	ns.Sh("ip link set usb0 name wlan7")
	c.await("it has another name", func(s control.Status) bool { return len(servicesOf(s, "wlan7")) == 0 && len(servicesOf(s, "usb0")) < 2 })
	for _, l := range c.await("", func(control.Status) bool { return true }).Links {
		if l.Name == "eth0" || l.Name == "wlan7" {
			t.Errorf("%s is served, which nobody asked for", l.Name)
		}
	}

	// The same network on a second link would be one address for two machines.
	ns.Sh("ip link add usb5 type veth peer name usb5far\nip addr add 10.55.1.9/16 dev usb5\nip link set usb5 up\nip link set usb5far up")
	s = c.await("a network that is there already", func(s control.Status) bool { return slices.Contains(servicesOf(s, "usb5"), "dns") })
	if i := slices.IndexFunc(s.Links, func(l control.Link) bool { return l.Name == "usb5" }); len(s.Links[i].Notes) != 1 || !strings.Contains(s.Links[i].Notes[0], "overlaps with 10.55.1.0/24 of usb1") || slices.Contains(servicesOf(s, "usb5"), "dhcp4") {
		t.Errorf("two links with one network: %+v", s.Links[i])
	}
	ns.Sh("ip link del usb5")

	// A reload: a wrong one changes nothing, a right one is taken over while everything goes on.
	before := c.await("", served("usb1"))
	c.configure(Config{Links: []Rule{{Match: Match{Name: "usb["}}}})
	ctx := context.Background()
	if err := c.client().Post(ctx, control.PathReload, nil, nil); err == nil || !strings.Contains(err.Error(), "serve.links[0].match.name") {
		t.Errorf("a wrong configuration: %v", err)
	}
	c.await("nothing has changed", served("usb1"))
	c.configure(Config{Links: []Rule{usb, {Match: Match{Name: "eth0"}, RA: RA{Enabled: &off}, DHCP6: DHCP6{Enabled: &off}, MDNS: MDNS{Enabled: &off}}}, DNS: DNS{ResolvFile: "none"}})
	if err := c.client().Post(ctx, control.PathReload, nil, nil); err != nil {
		t.Fatal(err)
	}
	after := c.await("a further link", func(s control.Status) bool { return slices.Equal(servicesOf(s, "eth0"), []string{"dhcp4", "dns"}) })
	if before.PID != after.PID || !slices.Equal(servicesOf(after, "usb1"), all) {
		t.Errorf("usb1 has %v after the reload", servicesOf(after, "usb1"))
	}

	if info, err := os.Stat(filepath.Join(dir, "run", "sock")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("control socket: %v %v", info.Mode(), err)
	}
	var reply control.Reply
	if err := c.client().Post(ctx, control.PathReply, control.Request{Link: "usb1", MAC: "52:54:00:12:34:56", Options: []string{"router", "6"}}, &reply); err != nil || reply.Reply != "OFFER" || !strings.Contains(strings.Join(reply.Lines, "\n"), "yiaddr 10.55.1.") {
		t.Errorf("a dry run: %+v %v", reply, err)
	}
	leases := []control.Lease{}
	if err := c.client().Get(ctx, control.PathLeases, url.Values{"all": {"1"}}, &leases); err != nil || len(leases) != 0 {
		t.Errorf("the dry run has left %v, %v", leases, err)
	}
	for _, bad := range []control.Request{{MAC: "x"}, {MAC: "52:54:00:12:34:56"}, {MAC: "52:54:00:12:34:56", Link: "nosuch0"}, {MAC: "52:54:00:12:34:56", Link: "usb1", Options: []string{"no-such"}}, {MAC: "52:54:00:12:34:56", Link: "usb1", Kind: "request"}} {
		if err := c.client().Post(ctx, control.PathReply, bad, &reply); err == nil || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%+v: %v", bad, err)
		}
	}

	// The state has one owner.
	second := startChild(t, ns, dir)
	if err := second.cmd.Wait(); err == nil {
		t.Error("a second server runs on the same state")
	}
	c.await("the first one still runs", served("usb1"))

	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	said, _ := os.ReadFile(filepath.Join(dir, "notify"))
	for _, want := range []string{"READY=1\nSTATUS=", "RELOADING=1\nMONOTONIC_USEC=", "STOPPING=1"} {
		if !strings.Contains(string(said), want) {
			t.Errorf("the service manager was not told %q but %q", want, said)
		}
	}
}

// A port that somebody else has is a failure of that service alone, named with its owner, and mended by itself.
func TestServerWaitsForAPort(t *testing.T) {
	ns := nstest.New(t)
	dir := t.TempDir()
	ns.Sh("ip link add usb0 type veth peer name far\nip addr add 10.55.0.1/24 dev usb0\nip link set usb0 up\nip link set far up")
	var held net.PacketConn
	var err error
	ns.Do(func() { held, err = net.ListenPacket("udp4", "0.0.0.0:53") })
	if err != nil {
		t.Fatal(err)
	}
	writeConfig(t, dir, Config{Links: []Rule{{Match: Match{Name: "usb0"}}}, DNS: DNS{ResolvFile: "none"}})
	c := startChild(t, ns, dir)
	s := c.await("the port is missed", func(s control.Status) bool {
		return slices.ContainsFunc(s.Links, func(l control.Link) bool {
			return slices.ContainsFunc(l.Services, func(v control.Service) bool {
				return v.Name == "dns 10.55.0.1" && v.State == failing && strings.Contains(v.Why, "53")
			})
		}) && slices.Contains(servicesOf(s, "usb0"), "dhcp4")
	})
	if !s.Ready {
		c.await("ready all the same", func(s control.Status) bool { return s.Ready })
	}
	held.Close()
	c.await("the port is free", func(s control.Status) bool { return slices.Contains(servicesOf(s, "usb0"), "dns") })
}
