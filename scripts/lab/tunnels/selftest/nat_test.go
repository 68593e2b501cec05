//go:build lab && linux

package selftest

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/rule"
)

// nft loads a ruleset into the router.
func (e *end) nft(rules string) {
	e.t.Helper()
	path := filepath.Join(e.t.TempDir(), "rules")
	if err := os.WriteFile(path, []byte(rules), 0o600); err != nil {
		e.t.Fatal(err)
	}
	if out, err := e.ns.Try("nft -f " + path); err != nil {
		e.t.Fatalf("%v %s", err, out)
	}
}

const masquerade = `table ip nat {
	chain out {
		type nat hook postrouting priority srcnat
		oifname "right" ip saddr 192.0.2.0/24 masquerade
	}
}`

// Behind a NAT that forgets after two seconds, a keepalive each second keeps the way open for the
// other side; without it the way closes.
func TestNATAndKeepalive(t *testing.T) {
	w := newWorld(t)
	w.hub.nft(masquerade)
	w.hub.ns.Sh("sysctl -q -w net.netfilter.nf_conntrack_udp_timeout=2 net.netfilter.nf_conntrack_udp_timeout_stream=2")
	w.hub.nft(`table ip filter {
	chain forward {
		type filter hook forward priority filter; policy drop
		iifname "left" accept
		ct state established,related accept
	}
}`)
	w.tunnel(right4 + ":2")
	w.left.put(peer(key(2).Public(), "", 1, "10.241.0.2/32", "fd00:241::2/128"))
	w.left.ping("10.241.0.2")
	if got := w.right.read("wg0").Peers[0].Endpoint.String(); !strings.HasPrefix(got, "198.51.100.1:") {
		t.Errorf("the right hears the left at %s, and there is a NAT between", got)
	}
	rest(t)
	w.right.ping("10.241.0.1")
	w.left.put(peer(key(2).Public(), "", 0, "10.241.0.2/32", "fd00:241::2/128"))
	rest(t)
	w.right.mute("10.241.0.1", "the NAT has forgotten")
	w.left.ping("10.241.0.2")
	w.right.ping("10.241.0.1")
}

// rest is longer than the NAT remembers what does not speak. Nothing can be waited for: that nothing
// happens is the case.
func rest(t *testing.T) {
	t.Helper()
	select {
	case <-time.After(3 * time.Second):
	case <-t.Context().Done():
	}
}

// Everything leaves by the tunnel but what carries the device's mark.
func TestPolicyRouting(t *testing.T) {
	w := newWorld(t)
	w.right.ns.Sh("ip addr add 203.0.113.7/32 dev lo\nip addr add 2001:db8:ffff::7/128 dev lo nodad")
	w.right.put(append(device("wg0", key(2), 2, 0, "10.241.0.2/24", "fd00:241::2/64"), peer(key(1).Public(), "", 0, "10.241.0.1/32", "fd00:241::1/128"))...)
	w.left.ns.Sh("sysctl -q -w net.ipv4.conf.all.src_valid_mark=1")
	wants := append(device("wg0", key(1), 1, 0xca6c, "10.241.0.1/24", "fd00:241::1/64"), peer(key(2).Public(), right4+":2", 0, "0.0.0.0/0", "::/0"))
	wants = append(wants, full()...)
	w.left.put(wants...)
	for _, far := range []string{"203.0.113.7", "2001:db8:ffff::7"} {
		w.left.ping(far)
		if out := w.left.ns.Sh("ping -n -c 100 -i 0.002 -W 2 " + far); !strings.Contains(out, " 0% packet loss") {
			t.Errorf("%s: %s", far, out)
		}
	}
	if out := w.left.ns.Sh("ip route get 203.0.113.7"); !strings.Contains(out, "dev wg0") {
		t.Errorf("without the mark: %s", out)
	}
	if out := w.left.ns.Sh("ip route get 203.0.113.7 mark 0xca6c"); !strings.Contains(out, "dev eth0") {
		t.Errorf("with the mark: %s", out)
	}
	// Connected networks do not go into the tunnel.
	w.left.ping("192.0.2.1")
}

// full are the routes and rules of a full tunnel, as wg-quick makes them.
func full() []provision.Want {
	var out []provision.Want
	none := 0
	for _, family := range []int{4, 6} {
		dst := netip.MustParsePrefix("0.0.0.0/0")
		if family == 6 {
			dst = netip.MustParsePrefix("::/0")
		}
		out = append(out,
			route.Want(route.Spec{Key: route.Key{Table: 51820, Dst: dst, Dev: "name:wg0", Metric: 1}}, ""),
			rule.Want(rule.Spec{Key: rule.Key{Family: family, Priority: 100, Target: 254}, Suppress: &none}, ""),
			rule.Want(rule.Spec{Key: rule.Key{Family: family, Priority: 101, Not: true, Mark: 0xca6c, Mask: 0xffffffff, Target: 51820}}, ""))
	}
	return out
}

// An error that comes back for a packet whose sender was translated is translated back. Userspace
// devices send none: what has no peer is dropped in silence.
func TestErrorThroughNAT(t *testing.T) {
	w := newWorld(t)
	if !w.left.kernel {
		t.Skip("skipped: userspace devices answer with no error for what has no peer")
	}
	w.tunnel(right4 + ":2")
	w.left.ping("10.241.0.2")
	w.right.ns.Sh("sysctl -q -w net.ipv4.ip_forward=1")
	w.right.nft(`table ip nat {
	chain out {
		type nat hook postrouting priority srcnat
		oifname "wg0" ip saddr 198.51.100.0/24 snat to 10.241.0.2
	}
}`)
	w.hub.ns.Sh("ip route add 10.241.0.1 via 198.51.100.2")
	w.hub.ping("10.241.0.1")
	w.right.drop(peer(key(1).Public(), "", 0).Ref)
	out, err := w.hub.ns.Try("ping -n -c 1 -W 2 10.241.0.1")
	if err == nil || !strings.Contains(out, "From 198.51.100.2 icmp_seq=1 Destination Host Unreachable") {
		t.Errorf("ping says %s, %v", out, err)
	}
}
