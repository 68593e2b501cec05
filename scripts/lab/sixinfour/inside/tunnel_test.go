//go:build lab && linux

package inside

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/host/nstest"
)

const tunnels = `
  tunnels:
    he-ipv6:
      remote: 203.0.113.1
      address: 2001:db8:1::2/64
      routed: [2001:db8:2::/64, 2001:db8:8000::/48]
      lan: [{interface: eth1}]
      update: {url: "https://` + updateHost + `/nic/update", id: "123456", user: me, key-file: ` + keyFile + `}
serve:
  dns:
    resolv-file: none
    records: [{name: www.example.net., type: AAAA, value: "` + far + `"}]
`

const zones = `
  zones:
    wan: {interfaces: [eth0]}
    home: {interfaces: [eth1]}
`

// TestBroker: hosts behind the box get addresses by SLAAC, what else they need by DHCPv6, and reach the IPv6 internet, which does
// not reach them; the broker is told each address that the box gets; what somebody takes away comes back.
func TestBroker(t *testing.T) {
	for name, firewall := range map[string]string{"alone": "", "with zones": zones} {
		if firewall == "" && os.Getenv("PROVISION_LAB_FULL") == "" {
			continue // the same, but for the firewall, whose compiler has tests of its own
		}
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			must(t, os.WriteFile("/etc/hosts", []byte("127.0.0.1 localhost\n203.0.113.1 "+updateHost+"\n"), 0o644))
			w.broker.serve()
			w.apply("version: 1\nrouting:" + firewall + tunnels)
			w.daemon(nil, "provision", "serve")
			_, stopWatch := w.daemon([]string{"SSL_CERT_FILE=" + w.broker.ca}, "provision", "watch")
			within(t, 30*time.Second, "the broker is told", func() bool { return w.broker.end.IsValid() })
			w.hosts()
			w.closed(firewall != "")
			w.moved()
			w.kept()
			stopWatch()
			w.boots()
			w.run("provision revert")
			for _, left := range []string{"he-ipv6", "2001:db8:2::1"} {
				if out := w.run("ip addr"); strings.Contains(out, left) {
					t.Errorf("reverted, and there is %s: %s", left, out)
				}
			}
			if out := w.run("nft list ruleset") + w.run("ip -6 route"); strings.Contains(out, "provision") || strings.Contains(out, "2001:db8") {
				t.Errorf("reverted, and there is %s", out)
			}
		})
	}
}

// address is the one that a host has in the prefix.
func address(n *nstest.NS, in string) string {
	out, _ := n.Try("ip -o -6 addr show dev eth0 scope global")
	for _, f := range strings.Fields(out) {
		if p, err := netip.ParsePrefix(f); err == nil && netip.MustParsePrefix(in).Contains(p.Addr()) && !strings.Contains(out, "tentative") {
			return p.Addr().String()
		}
	}
	return ""
}

func (w *world) hosts() {
	t := w.t
	t.Helper()
	for i, h := range []*nstest.NS{w.host, w.other} {
		within(t, 20*time.Second, fmt.Sprintf("host %d has an address", i), func() bool { return address(h, "2001:db8:2::/64") != "" })
		within(t, 10*time.Second, fmt.Sprintf("host %d reaches the internet", i), func() bool { return pings(h, far) })
	}
	if out := w.host.Sh("ip -6 route show default"); !strings.Contains(out, "proto ra") || !strings.Contains(w.host.Sh("cat /proc/sys/net/ipv6/conf/eth0/mtu"), "1480") {
		t.Errorf("the host's way out is %s", out)
	}
	// 1480 bytes with the headers of IPv6 and ICMPv6 pass whole, and no more do.
	within(t, 5*time.Second, "the largest packet passes", func() bool { return pings(w.host, "-M do -s 1432 "+far) })
	if pings(w.host, "-M do -s 1433 "+far) {
		t.Error("a packet passes that is too large")
	}
	// The far host learns the size of the tunnel by its first answer.
	within(t, 5*time.Second, "fragments pass", func() bool { return pings(w.host, "-s 4000 "+far) })
	ra := w.other.Sh("rdisc6 -1 -w 5000 eth0")
	for _, want := range []string{"2001:db8:2::/64", "1480 bytes", "Stateful other conf."} {
		if !strings.Contains(ra, want) {
			t.Errorf("no %q in the advertisement:\n%s", want, ra)
		}
	}
	// Stateless DHCPv6 by a foreign client: the script that it runs is told the name server.
	script := t.TempDir() + "/script"
	must(t, os.WriteFile(script, []byte("#!/bin/sh\necho \"$reason $new_dhcp6_name_servers\" >> "+script+".out\n"), 0o755))
	if out, err := w.other.Try("dhclient -6 -S -1 -v -sf " + script + " -lf " + script + ".leases -pf " + script + ".pid eth0"); err != nil {
		t.Errorf("DHCPv6: %v %s", err, out)
	}
	told, _ := os.ReadFile(script + ".out")
	if !strings.Contains(string(told), "2001:db8:2::1") && !strings.Contains(string(told), "fe80::") {
		t.Errorf("DHCPv6 tells %q", told)
	}
	w.other.Try("dhclient -6 -x -pf " + script + ".pid -lf " + script + ".leases eth0")
	if out := w.host.Sh("dig +short +time=3 @2001:db8:2::1 www.example.net AAAA"); strings.TrimSpace(out) != far {
		t.Errorf("the name server answers %q", out)
	}
}

// closed: from outside nothing is reached that nobody opened, neither behind the box nor the box itself, and nobody but the broker
// speaks protocol 41 with it.
func (w *world) closed(walls bool) {
	t := w.t
	t.Helper()
	h := address(w.host, "2001:db8:2::/64")
	listens(t, w.host, "[::]:80")
	listens(t, w.box, "[::]:22")
	for _, to := range []string{"[" + h + "]:80", "[2001:db8:1::2]:22", "[2001:db8:2::1]:22"} {
		if connects(w.internet, to) {
			t.Errorf("%s is reached from outside", to)
		}
	}
	if !connects(w.other, "["+h+"]:80") || !connects(w.host, "[2001:db8:2::1]:22") {
		t.Error("nothing would be reached anyway")
	}
	if pings(w.internet, h) {
		t.Error("hosts answer pings from outside")
	}
	if out, err := w.internet.Try("dig +time=1 +tries=1 @2001:db8:1::2 www.example.net AAAA"); err == nil {
		t.Errorf("names are served to the outside: %s", out)
	}
	// What of the routed prefixes is nowhere is refused, and does not go back and forth.
	if out, _ := w.internet.Try("ping -6 -c 1 -W 2 2001:db8:8000:7::1"); strings.Contains(out, "Time exceeded") {
		t.Errorf("packets go round in circles: %s", out)
	}
	// A stranger's packets of protocol 41 reach nobody: their answer, or themselves, would be seen on the LAN.
	w.stranger.Sh("ip link add to-box type sit remote 203.0.113.2 local 203.0.113.66 ttl 255\nip link set to-box up\nip addr add 2001:db8:bad::1/64 dev to-box nodad\nip route add 2001:db8:2::/64 dev to-box")
	before := rx(w.box)
	w.stranger.Try("ping -6 -c 2 -i 0.2 -W 1 " + h)
	if after := rx(w.box); after != before {
		t.Errorf("a stranger's packets are taken: %s, before %s", after, before)
	}
	if walls {
		out := w.run("nft list ruleset")
		if !strings.Contains(out, `tunnel he-ipv6`) || !strings.Contains(out, "203.0.113.1") {
			t.Errorf("the firewall knows nothing of the tunnel: %s", out)
		}
	}
}

// rx is how many packets have come out of the tunnel.
func rx(n *nstest.NS) string {
	_, out, _ := strings.Cut(n.Sh("ip -s link show he-ipv6"), "RX:")
	return strings.Fields(strings.Split(out, "\n")[1])[1]
}

// moved: the box gets another address, and the broker is told once.
func (w *world) moved() {
	t := w.t
	t.Helper()
	if got := w.broker.answers(); !slices.Equal(got, []string{"203.0.113.2 203.0.113.2 good 203.0.113.2"}) {
		t.Errorf("until now the broker was told %q", got)
	}
	w.box.Sh("ip addr add 203.0.113.3/24 dev eth0\nip addr del 203.0.113.2/24 dev eth0\nip addr add 203.0.113.3/24 dev eth0\nip route replace default via 203.0.113.1")
	begin := time.Now()
	within(t, 20*time.Second, "hosts reach the internet from another address", func() bool { return pings(w.host, far) })
	t.Logf("renumbered: the internet is reached again after %.1f s", time.Since(begin).Seconds())
	if got := w.broker.answers(); !slices.Equal(got, []string{"203.0.113.3 203.0.113.3 good 203.0.113.3"}) {
		t.Errorf("the broker was told %q", got)
	}
}

// kept: somebody removes the device, and the watch makes it again.
func (w *world) kept() {
	w.t.Helper()
	w.box.Sh("ip link del he-ipv6")
	begin := time.Now()
	within(w.t, 20*time.Second, "the tunnel is back", func() bool { return pings(w.host, far) })
	w.t.Logf("removed: back after %.1f s", time.Since(begin).Seconds())
	w.box.Sh("ip addr del 2001:db8:2::1/64 dev eth1")
	within(w.t, 20*time.Second, "the address of the LAN is back", func() bool { return strings.Contains(w.run("ip addr show dev eth1"), "2001:db8:2::1/64") })
}

// boots: what a boot forgets is back after restore.
func (w *world) boots() {
	w.t.Helper()
	w.box.Sh("ip link del he-ipv6\nip addr flush dev eth1 scope global\nnft flush ruleset")
	w.run("provision restore")
	within(w.t, 20*time.Second, "the tunnel is back", func() bool { return pings(w.host, far) })
	if connects(w.internet, "["+address(w.host, "2001:db8:2::/64")+"]:80") {
		w.t.Error("what was closed is open after a boot")
	}
}
