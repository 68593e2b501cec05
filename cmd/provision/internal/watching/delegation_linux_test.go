package watching

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/routing/delegation"
	"github.com/provision-net/provision/routing/delegation/pd"
)

// insideLinks opens sockets in a namespace.
type insideLinks struct {
	Links
	ns *nstest.NS
}

func (l insideLinks) Open(ctx context.Context, device string) (c delegation.Conn, duid []byte, err error) {
	l.ns.Do(func() { c, duid, err = l.Links.Open(ctx, device) })
	return c, duid, err
}

// kea is a foreign server that delegates out of a pool.
func kea(t *testing.T, ns *nstest.NS, pool string, length int) (stop func()) {
	t.Helper()
	path, err := exec.LookPath("kea-dhcp6")
	if err != nil {
		t.Skip("skipped: no kea-dhcp6; install kea-dhcp6-server")
	}
	dir := t.TempDir()
	conf := map[string]any{"Dhcp6": map[string]any{
		"interfaces-config": map[string]any{"interfaces": []string{"eth0"}},
		"lease-database":    map[string]any{"type": "memfile", "persist": false},
		"server-id":         map[string]any{"type": "EN", "enterprise-id": 1, "identifier": "0102030405", "persist": false},
		"renew-timer":       5, "rebind-timer": 10, "preferred-lifetime": 15, "valid-lifetime": 20,
		"subnet6": []any{map[string]any{"id": 1, "subnet": "2001:db8:ffff::/64", "interface": "eth0",
			"pd-pools": []any{map[string]any{"prefix": strings.Split(pool, "/")[0], "prefix-len": netip.MustParsePrefix(pool).Bits(), "delegated-len": length}}}},
	}}
	text, _ := json.Marshal(conf)
	file := filepath.Join(dir, "kea.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-c", file)
	cmd.Env = append(os.Environ(), "KEA_PIDFILE_DIR="+dir, "KEA_LOCKFILE_DIR=none")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	ns.Do(func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("kea said: %s", text)
		}
	})
	return stop
}

// Kea is the judge of our client: it delegates, renews, and after it has got another pool the prefix
// is another one.
func TestDelegation(t *testing.T) {
	box, isp := nstest.New(t), nstest.New(t)
	for _, n := range []*nstest.NS{box, isp} {
		n.Sh("sysctl -q -w net.ipv6.conf.default.accept_dad=0")
	}
	box.Pair("up0", isp, "eth0")
	isp.Sh("ip addr add 2001:db8:ffff::1/64 dev eth0 nodad")
	poll(t, "link-local addresses", func() bool {
		return strings.Contains(box.Sh("ip -6 addr show dev up0"), "fe80::") && strings.Contains(isp.Sh("ip -6 addr show dev eth0"), "fe80::")
	})
	stop := kea(t, isp, "2001:db8:1000::/36", 56)
	c := &pd.Client{IAID: delegation.IAID("up0"), Length: 60, Rand: Links{}.Rand, XID: Links{}.XID}
	conn, duid, err := insideLinks{ns: box}.Open(t.Context(), "up0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c.DUID = duid
	var seen []string
	// until lets the client live until its lease is as ok wants it.
	until := func(what string, limit time.Duration, ok func(pd.Lease) bool) {
		t.Helper()
		for end := time.Now().Add(limit); !ok(c.Lease()); {
			if time.Now().After(end) {
				t.Fatalf("not within %v: %s; %+v, sent %v", limit, what, c.Lease(), seen)
			}
			m := c.Step(time.Now())
			if m == nil {
				in, err := conn.Receive(c.IAID, time.Now().Add(100*time.Millisecond))
				if err != nil {
					continue
				}
				m = c.Receive(in, time.Now())
			}
			if m != nil {
				seen = append(seen, fmt.Sprint(m.Type))
				if err := conn.Send(*m, c.Length); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	in := func(pool string) func(pd.Lease) bool {
		return func(l pd.Lease) bool {
			return len(l.Prefixes) == 1 && netip.MustParsePrefix(pool).Contains(l.Prefixes[0].Prefix.Addr())
		}
	}
	c.Start(time.Now(), pd.Lease{})
	until("a prefix", 20*time.Second, in("2001:db8:1000::/36"))
	first := c.Lease()
	if first.Prefixes[0].Prefix.Bits() != 56 {
		t.Errorf("%v", first.Prefixes)
	}
	until("renewed", 15*time.Second, func(l pd.Lease) bool { return l.T1.After(first.T1) })
	// Another process goes on with it.
	c.Start(time.Now(), c.Lease())
	before := c.Lease().T1
	until("confirmed", 10*time.Second, func(l pd.Lease) bool { return l.T1.After(before) })
	stop()
	kea(t, isp, "2001:db8:2000::/36", 56)
	until("another prefix", 40*time.Second, in("2001:db8:2000::/36"))
	t.Logf("messages sent: %s", strings.Join(seen, " "))
}

// A second client on the link is told of, and nobody is disturbed.
func TestDelegationBusy(t *testing.T) {
	box, isp := nstest.New(t), nstest.New(t)
	box.Pair("up0", isp, "eth0")
	first, _, err := insideLinks{ns: box}.Open(t.Context(), "up0")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if _, _, err := (insideLinks{ns: box}).Open(t.Context(), "up0"); err == nil || !strings.Contains(err.Error(), "another DHCPv6 client runs") {
		t.Errorf("%v", err)
	}
}
