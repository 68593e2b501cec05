package policy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/resource/nft"
)

// load sets a table and compares what is read back.
func load(t *testing.T, ns *nstest.NS, table nft.Table) {
	t.Helper()
	for _, p := range table.Problems() {
		t.Error(p)
	}
	w := nft.Own(table, "test")
	ns.Do(func() {
		var r nft.Resource
		have, err := r.Get(t.Context(), w.Name)
		if err == nil {
			err = r.Set(t.Context(), w.Name, have, w.Attrs)
		}
		if err == nil {
			have, err = r.Get(t.Context(), w.Name)
		}
		if err != nil || have[nft.AttrTable] != w.Attrs[nft.AttrTable] {
			t.Errorf("the table reads back otherwise: %v\n%s", err, have[nft.AttrTable])
		}
	})
}

// loosen does what routing/forward makes of Loose.
func loosen(t *testing.T, ns *nstest.NS, in Input, n Numbers, names ...string) {
	t.Helper()
	var got []string
	for _, l := range Loose(in, n) {
		got = append(got, l.Interface)
		ns.Sh(fmt.Sprintf("sysctl -qw net.ipv4.conf.%s.rp_filter=2", l.Interface))
		if l.Marked {
			ns.Sh(fmt.Sprintf("sysctl -qw net.ipv4.conf.%s.src_valid_mark=1", l.Interface))
		}
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("loose: %v, want %v", got, names)
	}
}

// reaches is talks; what is expected to work may take a moment (neighbours are looked for).
func reaches(ns *nstest.NS, addr, text string, mark int, want bool) bool {
	for end := time.Now().Add(5 * time.Second); ; {
		if got := talks(ns, addr, text, mark); got || !want || time.Now().After(end) {
			return got
		}
	}
}

// A container's port is published on both NICs; the client comes by the second one. The answer has
// the container's source address when it is routed.
func TestPublishedPortAnswersByItsNIC(t *testing.T) {
	t.Parallel()
	box, gw, client, container := nstest.New(t), nstest.New(t), nstest.New(t), nstest.New(t)
	for _, ns := range []*nstest.NS{box, gw, client, container} {
		quiet(ns, 1)
		ns.Sh("sysctl -qw net.ipv4.ip_forward=1\nsysctl -qw net.ipv6.conf.all.forwarding=1")
	}
	box.Pair("eth0", nstest.New(t), "lan") // where the best default route leads, and nothing answers
	box.Pair("eth1", gw, "lan")
	client.Pair("eth0", gw, "wan")
	box.Pair("docker0", container, "eth0")
	box.Sh(`ip addr add 192.0.2.2/24 dev eth0
		ip addr add 2001:db8::2/64 dev eth0
		ip addr add 198.51.100.2/24 dev eth1
		ip addr add 2001:db8:1::2/64 dev eth1
		ip addr add 172.17.0.1/16 dev docker0
		ip addr add fd00:17::1/64 dev docker0
		ip route add default via 192.0.2.1 metric 100
		ip route add default via 198.51.100.1 metric 200
		ip -6 route add default via 2001:db8::1 metric 100
		ip -6 route add default via 2001:db8:1::1 metric 200
		nft add table inet docker
		nft add chain inet docker pre { type nat hook prerouting priority dstnat; }
		nft add rule inet docker pre ip daddr 198.51.100.2 tcp dport 7777 dnat ip to 172.17.0.2
		nft add rule inet docker pre ip6 daddr 2001:db8:1::2 tcp dport 7777 dnat ip6 to fd00:17::2`)
	gw.Sh(`ip addr add 198.51.100.1/24 dev lan
		ip addr add 2001:db8:1::1/64 dev lan
		ip addr add 203.0.113.1/24 dev wan
		ip addr add 2001:db8:c::1/64 dev wan`)
	client.Sh(`ip addr add 203.0.113.7/24 dev eth0
		ip addr add 2001:db8:c::7/64 dev eth0
		ip route add default via 203.0.113.1
		ip -6 route add default via 2001:db8:c::1`)
	container.Sh(`ip addr add 172.17.0.2/16 dev eth0
		ip addr add fd00:17::2/64 dev eth0
		ip route add default via 172.17.0.1
		ip -6 route add default via fd00:17::1`)
	serve(t, container, "container")
	talk := func(when string, want4, want6 bool) {
		t.Helper()
		for addr, want := range map[string]bool{"198.51.100.2": want4, "2001:db8:1::2": want6} {
			if got := reaches(client, addr, "container", 0, want); got != want {
				t.Errorf("%s: %s answers: %v, want %v", when, addr, got, want)
			}
		}
	}
	in := Input{Facts: seen(t, box), Config: Config{PerNICReplies: true}}
	n := allocated(t, in)
	d, err := Plan(in, n)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, box, d.Wants)
	talk("tables alone", false, false)
	load(t, box, Marks(in, n))
	apply(t, box, MarkRules(in, n))
	talk("marks, and a strict filter", false, true)
	loosen(t, box, in, n, "eth1")
	talk("marks", true, true)
	// The container itself goes out as before.
	if got := box.Sh("ip route get 203.0.113.7 from 172.17.0.2 iif docker0"); !strings.Contains(got, "dev eth0") {
		t.Errorf("the container's own packets: %s", got)
	}
	if again := MarkRules(Input{Facts: seen(t, box), Config: in.Config, Memory: n.Memory}, n); fmt.Sprint(again) != fmt.Sprint(MarkRules(in, n)) || len(again) != 2 {
		t.Errorf("again: %v", again)
	}
	for _, family := range []string{"-4", "-6"} {
		marked(t, box, family, "0x2000000/0xff000000 15800")
	}
	revoke(t, box, MarkRules(in, n))
	for _, family := range []string{"-4", "-6"} {
		marked(t, box, family, "")
	}
}

// marked compares rules with a mark with what ip(8) reads.
func marked(t *testing.T, ns *nstest.NS, family, want string) {
	t.Helper()
	var list []struct{ FWMark, FWMask, Table, Protocol string }
	if err := json.Unmarshal([]byte(ns.Sh("ip -j "+family+" rule")), &list); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range list {
		if l.FWMark != "" && l.Protocol == "158" {
			got = append(got, l.FWMark+"/"+l.FWMask+" "+l.Table)
		}
	}
	if strings.Join(got, ", ") != want {
		t.Errorf("%s: ip lists %v, want %s", family, got, want)
	}
}

// Answers to the outer packets of a tunnel come in where the filter is strict, and they do when the
// tunnel's device is away and the way back is "unreachable".
func TestOuterAnswersComeIn(t *testing.T) {
	t.Parallel()
	box, gw := nstest.New(t), nstest.New(t)
	quiet(box, 1)
	quiet(gw, 0)
	box.Pair("eth0", gw, "lan")
	box.Sh(`ip addr add 192.0.2.2/24 dev eth0
		ip addr add 2001:db8::2/64 dev eth0
		ip route add default via 192.0.2.1
		ip -6 route add default via 2001:db8::1`)
	gw.Sh("ip addr add 192.0.2.1/24 dev lan\nip addr add 2001:db8::1/64 dev lan\nip addr add 203.0.113.80/32 dev lo\nip -6 addr add 2001:db8:80::80/128 dev lo")
	serve(t, gw, "gw")
	for _, addr := range []string{"203.0.113.80", "2001:db8:80::80"} {
		if !reaches(box, addr, "gw", 0, true) {
			t.Fatalf("%s does not answer without any rule", addr)
		}
	}
	in := Input{Facts: seen(t, box), Tunnels: []string{"tun0"}}
	n := allocated(t, in)
	apply(t, box, n.Tunnel("tun0").Wants())
	try := func(when string, want4 bool) {
		t.Helper()
		for addr, want := range map[string]bool{"203.0.113.80": want4, "2001:db8:80::80": true} {
			if got := reaches(box, addr, "gw", int(n.Direct), want); got != want {
				t.Errorf("%s: %s answers: %v, want %v", when, addr, got, want)
			}
			if want && !pings(box, addr, fmt.Sprint("-m ", n.Direct)) {
				t.Errorf("%s: %s does not answer a ping", when, addr)
			}
		}
	}
	held := func(when string) {
		t.Helper()
		if talks(box, "203.0.113.80", "gw", 0) || talks(box, "2001:db8:80::80", "gw", 0) {
			t.Errorf("%s: what has no mark leaves beside the tunnel", when)
		}
	}
	try("rules alone", false)
	box.Sh("sysctl -qw net.ipv4.conf.eth0.rp_filter=2")
	try("a loose filter alone", false)
	load(t, box, Marks(in, n))
	loosen(t, box, in, n, "eth0")
	try("marks, device away", true)
	held("device away")
	box.Pair("tun0", nstest.New(t), "tun0")
	box.Sh("ip addr add 10.9.0.2/32 dev tun0")
	if pending := apply(t, box, n.Tunnel("tun0").Wants()); pending != nil {
		t.Errorf("pending: %v", pending)
	}
	try("marks, device there", true)
	held("device there")
	// With the marks the filter could have stayed strict.
	box.Sh("sysctl -qw net.ipv4.conf.eth0.rp_filter=1")
	try("marks, strict", true)
}

// Who needs no marks gets no chain, no rule and no other filter.
func TestMarksOnlyWhereNeeded(t *testing.T) {
	for name, in := range map[string]Input{
		"nothing": {Facts: twoNICs()},
		"nothing inside": {Config: Config{PerNICReplies: true}, Facts: func() *facts.Facts {
			f := twoNICs()
			f.Addrs = f.Addrs[:len(f.Addrs)-2]
			keep := f.Routes[:0]
			for _, r := range f.Routes {
				if r.Link != 4 {
					keep = append(keep, r)
				}
			}
			f.Routes = keep
			return f
		}()},
	} {
		n := allocated(t, in)
		if table, rules, loose := Marks(in, n), MarkRules(in, n), Loose(in, n); len(table.Chains)+len(rules)+len(loose) != 0 {
			t.Errorf("%s: %v, %v, %v", name, table, rules, loose)
		}
	}
	in := Input{Facts: twoNICs(), Config: Config{PerNICReplies: true, ReplyPrimary: true}, Tunnels: []string{"wg0"}}
	n := allocated(t, in)
	golden(t, "marks", nft.Text(Marks(in, n))+textOf(provision.Desired{Wants: MarkRules(in, n)})+fmt.Sprintf("%+v\n", Loose(in, n)))
}
