package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/resource/rule"
)

// Two ways to the machine: the client comes by the second NIC, and the machine's best default route
// is by the first one, whose gateway knows no way to the client. Reverse paths are checked
// strictly everywhere.
func TestRepliesLeaveByTheirNIC(t *testing.T) {
	box, gw0, gw1, client := nstest.New(t), nstest.New(t), nstest.New(t), nstest.New(t)
	for _, ns := range []*nstest.NS{box, gw0, gw1, client} {
		quiet(ns, 1)
		ns.Sh("sysctl -qw net.ipv4.ip_forward=1\nsysctl -qw net.ipv6.conf.all.forwarding=1")
	}
	box.Pair("eth0", gw0, "lan")
	box.Pair("eth1", gw1, "lan")
	client.Pair("eth0", gw1, "wan")
	box.Sh(`ip addr add 192.0.2.2/24 dev eth0
		ip addr add 2001:db8::2/64 dev eth0
		ip addr add 198.51.100.2/24 dev eth1
		ip addr add 2001:db8:1::2/64 dev eth1
		ip link add docker0 type bridge
		ip link set docker0 up
		ip addr add 172.17.0.1/16 dev docker0
		ip route add default via 192.0.2.1 metric 100
		ip route add default via 198.51.100.1 metric 200
		ip -6 route add default via 2001:db8::1 metric 100
		ip -6 route add default via 2001:db8:1::1 metric 200`)
	gw0.Sh("ip addr add 192.0.2.1/24 dev lan\nip addr add 2001:db8::1/64 dev lan")
	gw1.Sh(`ip addr add 198.51.100.1/24 dev lan
		ip addr add 2001:db8:1::1/64 dev lan
		ip addr add 203.0.113.1/24 dev wan
		ip addr add 2001:db8:c::1/64 dev wan`)
	client.Sh(`ip addr add 203.0.113.7/24 dev eth0
		ip addr add 2001:db8:c::7/64 dev eth0
		ip route add default via 203.0.113.1
		ip -6 route add default via 2001:db8:c::1`)
	serve(t, box, "box")
	targets := []string{"198.51.100.2", "2001:db8:1::2"}
	for _, a := range targets {
		if pings(client, a, "-W 0.4") || talks(client, a, "box", 0) {
			t.Fatalf("%s answers already: this world shows nothing", a)
		}
	}

	in := Input{Facts: seen(t, box), Config: Config{PerNICReplies: true}}
	n := allocated(t, in)
	d, err := Plan(in, n)
	if err != nil {
		t.Fatal(err)
	}
	if pending := apply(t, box, d.Wants); pending != nil {
		t.Fatalf("pending: %v", pending)
	}
	for _, a := range targets {
		if !pings(client, a) {
			t.Errorf("%s does not answer a ping", a)
		}
		if !talks(client, a, "box", 0) {
			t.Errorf("%s does not answer by TCP", a)
		}
	}
	// The first NIC's own way is as before, and containers are reached directly.
	for _, a := range []string{"192.0.2.1", "2001:db8::1"} {
		if !pings(box, a) {
			t.Errorf("%s does not answer", a)
		}
	}
	if got := box.Sh("ip route get 172.17.0.9 from 198.51.100.2"); !strings.Contains(got, "dev docker0") {
		t.Errorf("to a container: %s", got)
	}
	// Planned again, with our own work in the facts, nothing differs.
	in.Facts, in.Memory = seen(t, box), n.Memory
	again, err := Plan(in, allocated(t, in))
	if err != nil || textOf(again) != textOf(d) {
		t.Errorf("the second plan is\n%s\nthe first was\n%s%v", textOf(again), textOf(d), err)
	}
	before := box.Sh("ip rule\nip -6 rule")
	revoke(t, box, d.Wants)
	if after := box.Sh("ip rule\nip -6 rule\nip route show table 15800\nip -6 route show table 15800"); strings.Contains(after, "158") || !strings.Contains(before, "proto 158") {
		t.Errorf("left over:\n%s", after)
	}
	if pings(client, targets[0], "-W 0.4") {
		t.Error("still answers")
	}
}

// A veth pair stands for the tunnel: the rules go by its name.
func TestFullTunnel(t *testing.T) {
	box, gw, far := nstest.New(t), nstest.New(t), nstest.New(t)
	for _, ns := range []*nstest.NS{box, gw, far} {
		quiet(ns, 0)
	}
	box.Pair("eth0", gw, "lan")
	box.Sh(`ip addr add 192.0.2.2/24 dev eth0
		ip addr add 2001:db8::2/64 dev eth0
		ip route add default via 192.0.2.1
		ip -6 route add default via 2001:db8::1`)
	gw.Sh("ip addr add 192.0.2.1/24 dev lan\nip addr add 2001:db8::1/64 dev lan")
	for _, ns := range []*nstest.NS{gw, far} { // both are the internet
		ns.Sh("ip addr add 203.0.113.80/32 dev lo\nip -6 addr add 2001:db8:80::80/128 dev lo")
	}
	serve(t, gw, "gw")
	serve(t, far, "far")

	in := Input{Facts: seen(t, box), Tunnels: []string{"tun0"}}
	n := allocated(t, in)
	tun := n.Tunnel("tun0")
	wants := tun.Wants()
	mark := fmt.Sprintf("-m %d", tun.Mark)
	step := func(name string, through map[string]string) {
		t.Helper()
		for _, f := range []struct {
			family         int
			internet, near string
		}{{4, "203.0.113.80", "192.0.2.1"}, {6, "2001:db8:80::80", "2001:db8::1"}} {
			for _, how := range []string{"plain", "marked"} {
				m, opt := 0, ""
				if how == "marked" {
					m, opt = int(tun.Mark), mark
				}
				g, r := echoes(gw, f.family), echoes(far, f.family)
				pings(box, f.internet, opt)
				got := map[[2]int]string{{0, 0}: "none", {1, 0}: "gw", {0, 1}: "far"}[[2]int{echoes(gw, f.family) - g, echoes(far, f.family) - r}]
				if want := through[how]; got != want {
					t.Errorf("%s: IPv%d %s ping went to %q, want %q", name, f.family, how, got, want)
				}
				if want := through[how]; want == "none" {
					if talks(box, f.internet, "gw", m) || talks(box, f.internet, "far", m) {
						t.Errorf("%s: IPv%d %s TCP got through", name, f.family, how)
					}
				} else if !talks(box, f.internet, want, m) {
					t.Errorf("%s: IPv%d %s TCP did not reach %s", name, f.family, how, want)
				}
			}
			if !pings(box, f.near) {
				t.Errorf("%s: the neighbour %s is not reached", name, f.near)
			}
		}
	}
	device := func() {
		box.Pair("tun0", far, "tun0")
		// A tunnel has no neighbours to ask for; a veth without ARP sends to its own address.
		box.Sh("ip link set tun0 address 02:00:00:00:00:09 arp off")
		far.Sh("ip link set tun0 address 02:00:00:00:00:09 arp off")
		box.Sh("ip addr add 10.9.0.2/32 dev tun0\nip -6 addr add fd09::2/128 dev tun0")
		far.Sh("ip addr add 10.9.0.1/32 dev tun0\nip route add 10.9.0.2 dev tun0\nip -6 route add fd09::2 dev tun0")
	}
	step("before", map[string]string{"plain": "gw", "marked": "gw"})
	pending := apply(t, box, wants)
	if len(pending) != 2 {
		t.Errorf("pending: %v", pending)
	}
	step("without the device", map[string]string{"plain": "none", "marked": "gw"})
	device()
	if pending := apply(t, box, wants); pending != nil {
		t.Errorf("pending: %v", pending)
	}
	step("up", map[string]string{"plain": "far", "marked": "gw"})
	judge(t, box, wants)
	box.Sh("ip link del tun0")
	step("device gone", map[string]string{"plain": "none", "marked": "gw"})
	revoke(t, box, wants)
	step("given up", map[string]string{"plain": "gw", "marked": "gw"})
}

// judge compares the rules that were wanted with what ip(8) reads.
func judge(t *testing.T, ns *nstest.NS, wants []provision.Want) {
	t.Helper()
	type listed struct {
		Priority uint32          `json:"priority"`
		Src      string          `json:"src"`
		SrcLen   int             `json:"srclen"`
		Not      json.RawMessage `json:"not"`
		Mark     string          `json:"fwmark"`
		Mask     string          `json:"fwmask"`
		Table    string          `json:"table"`
		Suppress any             `json:"suppress_prefixlen"`
		Protocol string          `json:"protocol"`
	}
	for _, family := range []int{4, 6} {
		var list []listed
		if err := json.Unmarshal([]byte(ns.Sh(fmt.Sprintf("ip -j -%d rule", family))), &list); err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, l := range list {
			if l.Protocol == "158" {
				got = append(got, fmt.Sprint(l.Priority, l.Not != nil, l.Mark, l.Mask, l.Table, l.Suppress != nil))
			}
		}
		for _, w := range wants {
			k, err := rule.Parse(w.Name)
			if w.Kind != rule.Kind || err != nil || k.Family != family {
				continue
			}
			mark, mask, table := "", "", fmt.Sprint(k.Target)
			if k.Mask != 0 {
				mark, mask = fmt.Sprintf("0x%x", k.Mark), fmt.Sprintf("0x%x", k.Mask)
			}
			if k.Target == tableMain {
				table = "main"
			}
			want = append(want, fmt.Sprint(k.Priority, k.Not, mark, mask, table, w.Attrs[rule.AttrSuppress] != ""))
		}
		if !slices.Equal(got, want) {
			t.Errorf("IPv%d: ip lists\n%s\nwanted\n%s", family, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}
