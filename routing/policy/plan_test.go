package policy

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/rule"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func ip(s string) netip.Addr    { return netip.MustParseAddr(s) }

// twoNICs is a machine with two NICs, both families, and a container bridge.
func twoNICs() *facts.Facts {
	f := &facts.Facts{
		Machine: facts.Machine{Init: "systemd", Systemd: 252},
		Links: []facts.Link{
			{Index: 1, Name: "lo", ARPHRD: 772, Up: true},
			{Index: 2, Name: "eth0", PermMAC: "08:00:27:00:00:01", ARPHRD: 1, Up: true},
			{Index: 3, Name: "eth1", PermMAC: "08:00:27:00:00:02", ARPHRD: 1, Up: true},
			{Index: 4, Name: "docker0", Kind: "bridge", ARPHRD: 1, Up: true},
		},
		Files: map[string]facts.File{},
	}
	for _, a := range []struct {
		link   int
		prefix string
		scope  string
		temp   bool
	}{
		{1, "127.0.0.1/8", "host", false}, {2, "192.0.2.2/24", "global", false}, {2, "2001:db8::2/64", "global", false},
		{3, "198.51.100.7/24", "global", false}, {3, "198.51.100.8/24", "global", false}, {3, "203.0.113.9/32", "global", false},
		{3, "2001:db8:1::7/64", "global", false}, {3, "2001:db8:1::abcd/64", "global", true}, {3, "2001:db8:9::1/128", "global", false}, {3, "fe80::7/64", "link", false},
		{4, "172.17.0.1/16", "global", false}, {4, "fd00:17::1/64", "global", false},
	} {
		f.Addrs = append(f.Addrs, facts.Address{Link: a.link, Prefix: pfx(a.prefix), Scope: a.scope, Temporary: a.temp})
	}
	for _, r := range []facts.Route{
		{Dst: pfx("0.0.0.0/0"), Gateway: ip("192.0.2.1"), Link: 2, Metric: 100, Proto: facts.ProtoDHCP},
		{Dst: pfx("0.0.0.0/0"), Gateway: ip("198.51.100.1"), Link: 3, Metric: 200, Proto: facts.ProtoDHCP},
		{Dst: pfx("0.0.0.0/0"), Gateway: ip("198.51.100.1"), Link: 3, Metric: 5, Proto: facts.ProtoOurs},
		{Dst: pfx("192.0.2.0/24"), Link: 2, Proto: facts.ProtoKernel, Metric: 100},
		{Dst: pfx("198.51.100.0/24"), Link: 3, Proto: facts.ProtoKernel, Metric: 200},
		{Dst: pfx("172.17.0.0/16"), Link: 4, Proto: facts.ProtoKernel},
		{Dst: pfx("::/0"), Gateway: ip("fe80::1"), Link: 2, Metric: 100, Proto: facts.ProtoRA, Pref: "medium"},
		{Dst: pfx("::/0"), Gateway: ip("fe80::2"), Link: 3, Metric: 200, Proto: facts.ProtoRA, Pref: "low"},
		{Dst: pfx("::/0"), Gateway: ip("fe80::3"), Link: 3, Metric: 200, Proto: facts.ProtoRA, Pref: "high"},
		{Dst: pfx("2001:db8:1::/64"), Link: 3, Metric: 256, Proto: facts.ProtoKernel},
		{Dst: pfx("fe80::/64"), Link: 3, Metric: 256, Proto: facts.ProtoKernel},
	} {
		r.Table, r.Type = tableMain, "unicast"
		f.Routes = append(f.Routes, r)
	}
	for _, family := range []int{4, 6} {
		f.Rules = append(f.Rules, facts.Rule{Family: family, Priority: 0, Table: tableLocal, Action: "lookup", Proto: 2}, facts.Rule{Family: family, Priority: priorityMain, Table: tableMain, Action: "lookup", Proto: 2})
	}
	return f
}

func textOf(d provision.Desired) string {
	var b strings.Builder
	for _, w := range d.Wants {
		switch w.Kind {
		case file.Kind:
			fmt.Fprintf(&b, "%s\n", w.Ref)
			for line := range strings.Lines(w.Attrs[file.AttrContent]) {
				b.WriteString("  " + line)
			}
		default:
			b.WriteString(w.Kind + " " + w.Name)
			for _, k := range []string{route.AttrGateway, route.AttrSource, route.AttrMTU, route.AttrOnLink, rule.AttrSuppress} {
				if v := w.Attrs[k]; v != "" {
					b.WriteString(" " + k + " " + v)
				}
			}
			if w.Attrs["proto"] != "158" {
				b.WriteString(" WITHOUT OUR PROTO")
			}
			b.WriteByte('\n')
		}
	}
	for _, t := range d.Triggers {
		fmt.Fprintf(&b, "trigger %s: %s %v\n", t.Name, t.Do.Kind, t.Do.Args)
	}
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "%s %s: %s\n", n.Level, n.Subject, n.Text)
	}
	return b.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name + ".golden"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s: got\n%s\nwant\n%s%v", path, got, want, err)
	}
}

func zero() *uint32 { n := uint32(0); return &n }

func TestPlan(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(f *facts.Facts)
		in   Input
	}{
		{name: "replies", in: Input{Config: Config{PerNICReplies: true}}},
		{name: "replies-primary", in: Input{Config: Config{PerNICReplies: true, ReplyPrimary: true, ReplyInterfaces: []string{"eth*"}}}},
		{name: "replies-uplinks", in: Input{Config: Config{PerNICReplies: true}, Uplinks: []string{"eth0", "eth1"}}},
		{name: "replies-one-lan", in: Input{Config: Config{PerNICReplies: true}}, edit: func(f *facts.Facts) {
			f.Addrs = append(f.Addrs, facts.Address{Link: 2, Prefix: pfx("2001:db8:1::2/64"), Scope: "global"})
		}},
		{name: "replies-off-link-gateway", in: Input{Config: Config{PerNICReplies: true, ReplyInterfaces: []string{"eth1"}}}, edit: func(f *facts.Facts) {
			f.Addrs = []facts.Address{{Link: 3, Prefix: pfx("10.132.0.7/32"), Scope: "global"}}
			f.Routes = []facts.Route{
				{Dst: pfx("0.0.0.0/0"), Gateway: ip("192.0.2.1"), Link: 2, Table: tableMain, Type: "unicast"},
				{Dst: pfx("0.0.0.0/0"), Gateway: ip("10.132.0.1"), Link: 3, Metric: 100, Table: tableMain, Type: "unicast"},
			}
		}},
		{name: "replies-one-nic", in: Input{Config: Config{PerNICReplies: true}}, edit: func(f *facts.Facts) {
			f.Routes = f.Routes[:1]
		}},
		{name: "explicit", in: Input{Config: Config{
			Routes: []Route{
				{Via: "192.0.2.254", Interface: "eth0", Table: 100},
				{Via: "2001:db8::fe", Interface: "eth0", Table: 100, MTU: 1400, From: "2001:db8::2"},
				{To: "203.0.113.0/24", Interface: "wg0", Metric: 7},
				{To: "10.0.0.0/8", Type: "blackhole"},
				{To: "198.18.0.0/15", Via: "fe80::9", Interface: "eth1"},
				{Type: "unreachable", Table: 100, Metric: 4278198272},
				{To: "203.0.113.1", Via: "203.0.113.77", OnLink: true, Interface: "eth0"},
			},
			Rules: []Rule{
				{From: "192.0.2.77", Table: 100},
				{To: "2001:db8:5::/48", IIF: "usb0", Table: 100, Suppress: zero()},
				{FWMark: "0x10/0xff", Table: 100, Family: "ipv6"},
				{Not: true, FWMark: "0x1/0xf", Type: "prohibit", Priority: 20},
				{Protocol: "udp", DPort: "5000-5010", SPort: "53", OIF: "eth1", Table: 254, Priority: 30000},
			},
		}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.in.Facts = twoNICs()
			if tc.edit != nil {
				tc.edit(tc.in.Facts)
			}
			n, err := Allocate(tc.in)
			if err != nil {
				t.Fatal(err)
			}
			d, err := Plan(tc.in, n)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, tc.name, textOf(d))
			// Routes come before the rules that lead to them, whatever the configuration's order.
			seen := false
			for _, w := range d.Wants {
				seen = seen || w.Kind == rule.Kind
				if seen && w.Kind == route.Kind {
					t.Errorf("%s comes after a rule", w.Ref)
				}
			}
			for _, w := range d.Wants {
				var err error
				switch w.Kind {
				case route.Kind:
					_, err = route.Parse(w.Name)
				case rule.Kind:
					_, err = rule.Parse(w.Name)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestNothingAsked(t *testing.T) {
	in := Input{Facts: twoNICs()}
	n, err := Allocate(in)
	if err != nil {
		t.Fatal(err)
	}
	if d, err := Plan(in, n); err != nil || len(d.Wants)+len(d.Notes)+len(d.Triggers) != 0 {
		t.Errorf("wanted %v, %v", d, err)
	}
}

// A kernel without IPv6 is asked for nothing of it.
func TestNoIPv6(t *testing.T) {
	f := twoNICs()
	f.Rules = slices.DeleteFunc(f.Rules, func(r facts.Rule) bool { return r.Family == 6 })
	in := Input{Facts: f, Config: Config{Routes: []Route{{Type: "unreachable", Table: 100}}, Rules: []Rule{{IIF: "usb0", Table: 100}}}, Tunnels: []string{"wg0"}}
	n := allocated(t, in)
	d, err := Plan(in, n)
	if err != nil {
		t.Fatal(err)
	}
	d.Wants = append(d.Wants, n.Tunnel("wg0").Wants()...)
	golden(t, "no-ipv6", textOf(d))
}

func TestTunnel(t *testing.T) {
	in := Input{Facts: twoNICs(), Tunnels: []string{"wg0", "wg1"}}
	n, err := Allocate(in)
	if err != nil {
		t.Fatal(err)
	}
	one, two := n.Tunnel("wg0"), n.Tunnel("wg1")
	two.Families = []int{4}
	golden(t, "tunnels", textOf(provision.Desired{Wants: slices.Concat(one.Wants(), two.Wants())}))
	if one.Table == two.Table || one.Priority+1 >= two.Priority {
		t.Errorf("%+v and %+v share numbers", one, two)
	}
}

func TestProblems(t *testing.T) {
	for _, tc := range []struct {
		c    Config
		want []string
	}{
		{Config{ReplyPrimary: true}, []string{"per-nic-replies: is not true"}},
		{Config{PerNICReplies: true, ReplyInterfaces: []string{"a b", "*"}}, []string{"reply-interfaces[0]: \"a b\" is no name"}},
		{Config{MarkMask: 0xff1}, []string{"mark-mask: 0xff1 is not one whole byte"}},
		{Config{Routes: []Route{{To: "192.0.2.1/24", Interface: "eth0"}}}, []string{"routes[0].to: 192.0.2.1/24 has bits behind its length: write 192.0.2.0/24, or 192.0.2.1"}},
		{Config{Routes: []Route{{To: "x", Via: "y", From: "z", OnLink: true, MTU: 3, Table: 255}}}, []string{
			"routes[0].to: \"x\" is no prefix", "routes[0].via: \"y\" is no address", "routes[0].from: \"z\" is no address", "routes[0].table: 255 is the kernel's own", "routes[0].interface: is missing", "routes[0].mtu: 3 is less"}},
		{Config{Routes: []Route{{To: "2001:db8::/32", Via: "192.0.2.1", Interface: "eth0"}}}, []string{"routes[0]: mixes IPv4 and IPv6"}},
		{Config{Routes: []Route{{To: "10.0.0.0/8", Type: "drop"}, {To: "10.0.0.0/8", Type: "throw", Interface: "eth0"}}}, []string{"routes[0].type: \"drop\" is none of", "routes[1].type: throw packets go nowhere"}},
		{Config{Routes: []Route{{Via: "192.0.2.1", Interface: "eth0"}, {To: "default", Via: "192.0.2.2", Interface: "eth0"}}}, []string{"routes[1]: is the same destination, table and metric as routes[0]"}},
		{Config{Rules: []Rule{{}}}, []string{"rules[0].table: is missing"}},
		{Config{Rules: []Rule{{Type: "blackhole"}}}, []string{"rules[0]: would cut this machine off"}},
		{Config{Rules: []Rule{{From: "192.0.2.1", To: "2001:db8::/64", Table: 5}}}, []string{"rules[0]: mixes IPv4 and IPv6"}},
		{Config{Rules: []Rule{{From: "192.0.2.1", Family: "ipv6", Table: 5}}}, []string{"rules[0].family: ipv6 and the addresses do not go together"}},
		{Config{Rules: []Rule{{FWMark: "0x100/0xff", Table: 5}, {FWMark: "1/0", Table: 5}, {FWMark: "red", Table: 5}}}, []string{"rules[0].fwmark: \"0x100/0xff\" can never be", "rules[1].fwmark: \"1/0\" compares no bit", "rules[2].fwmark: \"red\" is no mark"}},
		{Config{Rules: []Rule{{DPort: "80", Table: 5}, {Protocol: "tcp", DPort: "9-8", Table: 5}, {Protocol: "sctp", Table: 5}}}, []string{"rules[0].port: wants a protocol that has ports", "rules[1].port: \"9-8\" is no port", "rules[2].protocol: \"sctp\" is none of"}},
		{Config{Rules: []Rule{{From: "192.0.2.1", Table: 5, Priority: 32766}}}, []string{"rules[0].priority: 32766 comes after the main table"}},
		{Config{Rules: []Rule{{From: "192.0.2.1", Table: 5}, {From: "192.0.2.1/32", Table: 5}}}, []string{"rules[1]: says the same as rules[0]"}},
		{Config{Rules: []Rule{{Protocol: "icmp", Family: "ipv6", Table: 5}}}, []string{"rules[0].protocol: there is no icmp in that family"}},
	} {
		var got []string
		for _, p := range tc.c.Problems() {
			got = append(got, p.Path+": "+p.Text)
		}
		ok := len(got) == len(tc.want)
		for i := range min(len(got), len(tc.want)) {
			ok = ok && strings.HasPrefix(got[i], tc.want[i])
		}
		if !ok {
			t.Errorf("%+v: got\n%s\nwant\n%s", tc.c, strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
		}
		if _, err := Plan(Input{Facts: twoNICs(), Config: tc.c}, Numbers{}); err == nil {
			t.Errorf("%+v is planned", tc.c)
		}
	}
}

// The figure is for 1,000 NICs and 10,000 rules of the configuration.
func BenchmarkPlan(b *testing.B) {
	in := Input{Facts: twoNICs(), Config: Config{PerNICReplies: true}}
	for i := range 1000 {
		in.Facts.Links = append(in.Facts.Links, facts.Link{Index: 10 + i, Name: fmt.Sprintf("ens%d", i), PermMAC: fmt.Sprintf("02:00:00:00:%02x:%02x", i/256, i%256), ARPHRD: 1, Up: true})
		net := fmt.Sprintf("10.%d.%d.", i/256, i%256)
		in.Facts.Addrs = append(in.Facts.Addrs, facts.Address{Link: 10 + i, Prefix: pfx(net + "9/24"), Scope: "global"})
		in.Facts.Routes = append(in.Facts.Routes, facts.Route{Dst: pfx(net + "0/24"), Link: 10 + i, Table: tableMain, Type: "unicast"},
			facts.Route{Dst: pfx("0.0.0.0/0"), Gateway: ip(net + "1"), Link: 10 + i, Metric: uint32(1000 + i), Table: tableMain, Type: "unicast"})
	}
	for i := range 10_000 {
		in.Config.Rules = append(in.Config.Rules, Rule{From: fmt.Sprintf("10.200.%d.%d", i/256, i%256), Table: 77})
	}
	b.ReportAllocs()
	for b.Loop() {
		n, err := Allocate(in)
		if err != nil {
			b.Fatal(err)
		}
		d, err := Plan(in, n)
		if err != nil || len(d.Wants) < 13_000 {
			b.Fatal(len(d.Wants), err)
		}
	}
}
