package conntrack

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/host/nstest"
)

// A client's flow that is masqueraded ends; the box's own and one that is translated to another
// address stay.
func TestForget(t *testing.T) {
	client, box, far := nstest.New(t), nstest.New(t), nstest.New(t)
	client.Pair("eth0", box, "lan")
	box.Pair("wan", far, "peer")
	client.Sh("ip addr add 10.9.0.2/24 dev eth0\nip route add default via 10.9.0.1\nip addr add fd00:9::2/64 dev eth0 nodad\nip -6 route add default via fd00:9::1")
	box.Sh(`ip addr add 10.9.0.1/24 dev lan
		ip addr add fd00:9::1/64 dev lan nodad
		ip addr add 192.0.2.2/24 dev wan
		ip addr add 192.0.2.3/24 dev wan
		ip addr add 2001:db8::2/64 dev wan nodad
		sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
		nft add table inet t
		nft add chain inet t p { type nat hook postrouting priority 100; }
		nft add rule inet t p oifname wan ip saddr 10.9.0.2 ip daddr 192.0.2.8 snat ip to 192.0.2.3
		nft add rule inet t p oifname wan iifname lan masquerade`)
	far.Sh("ip addr add 192.0.2.9/24 dev peer\nip addr add 192.0.2.8/24 dev peer\nip addr add 2001:db8::9/64 dev peer nodad")
	client.Sh("ping -c 1 -W 2 192.0.2.9\nping -c 1 -W 2 192.0.2.8\nping -c 1 -W 2 2001:db8::9")
	box.Sh("ping -c 1 -W 2 192.0.2.9\nping -c 1 -W 2 2001:db8::9")
	table := func() string {
		out, err := box.Try("cat /proc/thread-self/net/nf_conntrack")
		if err != nil {
			return "" // CONFIG_NF_CONNTRACK_PROCFS is optional
		}
		return out
	}
	forget := func(list ...string) (n int) {
		var addrs []netip.Addr
		for _, s := range list {
			addrs = append(addrs, netip.MustParseAddr(s))
		}
		var err error
		box.Do(func() { n, err = Forget(t.Context(), addrs) })
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := table()
	if n := forget(); n != 0 {
		t.Errorf("without addresses: %d", n)
	}
	if n := forget("192.0.2.77", "2001:db8::77"); n != 0 {
		t.Errorf("of nobody: %d", n)
	}
	if n := forget("192.0.2.2", "2001:db8::2"); n != 2 {
		t.Errorf("ended %d flows, want 2: %s", n, before)
	}
	if n := forget("192.0.2.2", "2001:db8::2"); n != 0 {
		t.Errorf("again: %d", n)
	}
	after := table()
	if b, a := strings.Count(before, "\n"), strings.Count(after, "\n"); b > 0 && a != b-2 {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	if n := forget("192.0.2.3"); n != 1 {
		t.Errorf("SNAT: %d", n)
	}
}
