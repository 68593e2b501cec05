//go:build lab && linux

package routing

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

const delegating = `
  zones:
    wan: {interfaces: [wlan0]}
    home: {interfaces: [usb0]}
  delegation: {interface: wlan0, lan: [{interface: usb0, subnet: 3}]}
`

// kea delegates prefixes of a pool on a device in the namespace of the provider.
func kea(t *testing.T, ns *lab.NetNS, dev, pool string) (said *log, stop func()) {
	t.Helper()
	dir := t.TempDir()
	p := netip.MustParsePrefix(pool)
	text, err := json.Marshal(map[string]any{"Dhcp6": map[string]any{
		"interfaces-config": map[string]any{"interfaces": []string{dev}}, "lease-database": map[string]any{"type": "memfile", "persist": false},
		"server-id":   map[string]any{"type": "EN", "enterprise-id": 1, "identifier": "0102030405", "persist": false},
		"renew-timer": 5, "rebind-timer": 10, "preferred-lifetime": 30, "valid-lifetime": 40,
		"subnet6": []any{map[string]any{"id": 1, "subnet": "2001:db8:ffff::/64", "interface": dev,
			"pd-pools": []any{map[string]any{"prefix": p.Addr().String(), "prefix-len": p.Bits(), "delegated-len": 56}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "kea.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	said = &log{}
	d, err := ns.Start(said, "env", "KEA_PIDFILE_DIR="+dir, "KEA_LOCKFILE_DIR=none", "kea-dhcp6", "-c", file)
	if err != nil {
		t.Fatal(err)
	}
	stop = func() { d.Stop(syscall.SIGKILL) }
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("kea said:\n%s", said)
		}
	})
	return said, stop
}

// TestDelegation: the provider delegates a prefix; the host behind the box has an address of it, reaches the internet, and is not
// reached; when the provider has another prefix, the host follows.
func TestDelegation(t *testing.T) {
	w := newWorld(t)
	w.pair("usb0", 1, w.client, "eth0")
	w.pair("wlan0", 2, w.net, "up0")
	on(t, w.net, "sysctl -qw net.ipv6.conf.all.forwarding=1; ip addr add fe80::1/64 dev up0; ip addr add 2001:db8:ffff::1/64 dev up0\n"+
		"ip -6 route add 2001:db8:1000::/36 via fe80::ff:fe00:2 dev up0; ip -6 route add 2001:db8:2000::/36 via fe80::ff:fe00:2 dev up0")
	w.sh("ip -6 route add default via fe80::1 dev wlan0")
	w.settled("local fe80::ff:fe00:1 dev usb0", "local fe80::ff:fe00:2 dev wlan0")
	_, stop := kea(t, w.net, "up0", "2001:db8:1000::/36")

	w.config(strings.ReplaceAll(delegating, "{interfaces: [wlan0]}", "{interfaces: [eth9]}"))
	if out := w.must(64, "apply"); !strings.Contains(out, "no firewall before them") {
		t.Errorf("without a zone outside: %s", out)
	}
	w.config(delegating)
	w.must(0, "apply")
	if out := w.must(0, "plan", "--exit-code"); !strings.Contains(out, "nothing to do") {
		t.Errorf("the second plan: %s", out)
	}
	said := &log{}
	d, err := w.Start(said, program, "serve")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Stop(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("serve said:\n%s\n%s", said, w.sh("ip -6 addr; ip -6 route"))
		}
	})
	watching := w.watch()
	first := host(t, w, "2001:db8:1000::/36")
	if b := netip.MustParseAddr(first).As16(); b[7] != 3 {
		t.Errorf("the network is not number 3: %s", first)
	}
	lab.Await(t, 10*time.Second, func() error { _, err := dial(w.client, target6); return err })
	if from, err := dial(w.client, target6); err != nil || !strings.Contains(from, first) {
		t.Errorf("the server sees %s, %v", from, err)
	}
	if _, err := w.net.Call("ping", "-6", "-n", "-c", "1", "-W", "1", first); err == nil {
		t.Error("the host is reached from outside")
	}
	// The daemon is killed and comes back: the prefix stays.
	watching.kill9()
	watching = w.watch()
	lab.Await(t, 10*time.Second, func() error { _, err := dial(w.client, target6); return err })

	stop()
	server, _ := kea(t, w.net, "up0", "2001:db8:2000::/36")
	begin := time.Now()
	second := host(t, w, "2001:db8:2000::/36")
	t.Logf("renumbered after %.1f s", time.Since(begin).Seconds())
	lab.Await(t, 10*time.Second, func() error {
		from, err := dial(w.client, target6)
		if err == nil && !strings.Contains(from, second) {
			err = errors.New("the server sees " + from)
		}
		return err
	})
	if out := on(t, w.client, "ip -6 addr show dev eth0 to 2001:db8:1000::/36"); out != "" && !strings.Contains(out, "deprecated") {
		t.Errorf("the old address is still preferred: %s", out)
	}
	if out := w.sh("ip -6 addr show dev usb0; ip -6 route show type unreachable"); strings.Contains(out, "2001:db8:1") || !strings.Contains(out, "unreachable 2001:db8:2") {
		t.Errorf("the box has %s", out)
	}

	// Another way out, to another provider: the old one gets its prefix back, the new one is asked.
	w.pair("wlan1", 4, w.far, "up1")
	on(t, w.far, "ip addr add fe80::1/64 dev up1")
	w.settled("local fe80::ff:fe00:4 dev wlan1")
	third, _ := kea(t, w.far, "up1", "2001:db8:3000::/36")
	if out := server.String(); strings.Contains(out, released) {
		t.Errorf("given back before: %s", out)
	}
	w.config(strings.ReplaceAll(delegating, "wlan0", "wlan1"))
	w.must(0, "apply")
	begin = time.Now()
	host(t, w, "2001:db8:3000::/36")
	t.Logf("on the other way out after %.1f s", time.Since(begin).Seconds())
	told := func(who *log) {
		t.Helper()
		lab.Await(t, 10*time.Second, func() error {
			if !strings.Contains(who.String(), released) {
				return errors.New("the server was not told")
			}
			return nil
		})
	}
	told(server)
	if out := w.sh("ip -6 addr show dev usb0; ip -6 route show type unreachable"); strings.Contains(out, "2001:db8:2") || !strings.Contains(out, "unreachable 2001:db8:3") {
		t.Errorf("on the other way out the box has %s", out)
	}

	// Delegation is taken back while serve is who watches: the addresses go, stay away, and the server is told.
	watching.kill9()
	lab.Await(t, 30*time.Second, func() error {
		if out, msg, code := w.run(nil, program, "watch", "--status"); code != 0 {
			return fmt.Errorf("serve does not watch: %s%s", out, msg)
		}
		return nil
	})
	if out := w.sh("ip -6 addr show dev usb0"); strings.Contains(third.String(), released) || !strings.Contains(out, "2001:db8:3000:3::1") {
		t.Errorf("serve goes by what it read when it began: it has given back %v, and there is %s", strings.Contains(third.String(), released), out)
	}
	begin = time.Now()
	w.must(0, "revert")
	t.Logf("reverted beside serve after %.1f s", time.Since(begin).Seconds())
	gone := func() error {
		if out := w.sh("ip -6 addr show dev usb0; ip -6 route show type unreachable; nft list tables; { ip rule; ip -6 rule; } | grep 'proto 158' || true"); strings.Contains(out, "2001:db8:3") || strings.Contains(out, "158") || strings.Contains(out, "provision") {
			return errors.New("after the revert the box has " + out)
		}
		return nil
	}
	lab.Await(t, 10*time.Second, gone)
	told(third)
	if err := gone(); err != nil {
		t.Errorf("put back: %v", err)
	}

	// And when nothing watches any more: it is revert that tells the server.
	before := strings.Count(third.String(), released)
	w.must(0, "apply")
	lab.Await(t, 20*time.Second, func() error {
		// What a watch has set is written down a second later at most.
		if out := w.sh("ip -6 addr show dev usb0; grep -o 'usb0 2001:db8:3000[^ ]*/64' /run/provision/watch.json || true"); strings.Count(out, "2001:db8:3") < 2 {
			return errors.New("no prefix after another apply: " + out)
		}
		return nil
	})
	d.Stop(syscall.SIGKILL)
	w.must(0, "revert")
	if err := gone(); err != nil {
		t.Error(err)
	}
	lab.Await(t, 5*time.Second, func() error {
		if strings.Count(third.String(), released) == before {
			return errors.New("the server was not told")
		}
		return nil
	})
}

// released is what Kea logs when it was given a prefix back.
const released = "DHCP6_RELEASE_PD "

// host waits until the client has an address in the prefix.
func host(t *testing.T, w *world, in string) (addr string) {
	t.Helper()
	lab.Await(t, 40*time.Second, func() error {
		out, err := w.client.Call("ip", "-o", "-6", "addr", "show", "dev", "eth0", "scope", "global")
		for _, f := range strings.Fields(out) {
			if p, err := netip.ParsePrefix(f); err == nil && netip.MustParsePrefix(in).Contains(p.Addr()) {
				addr = p.Addr().String()
				return nil
			}
		}
		return errors.Join(err, fmt.Errorf("no address of %s: %s", in, out))
	})
	return addr
}
