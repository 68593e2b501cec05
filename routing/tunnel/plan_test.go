package tunnel

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/routing/tunnel/update"
)

func he() Tunnel {
	return Tunnel{Remote: "216.66.80.26", Address: "2001:db8:1::2/64", Routed: []string{"2001:db8:2::/64", "2001:db8:8000::/48"},
		LAN:    []LAN{{Interface: "eth1"}, {Interface: "eth2"}, {Interface: "wlan1", Prefix: "2001:db8:8000:5::/64"}},
		Update: update.Config{ID: "1", User: "me", KeyFile: "/etc/provision/he.key"}}
}

func TestPlan(t *testing.T) {
	c := Config{"he-ipv6": he()}
	zones := func(iface string) string { return map[string]string{"eth1": "home"}[iface] }
	r, err := Plan(Input{Outside: "wan", ZoneOf: zones}, c)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range r.Desired.Wants {
		got = append(got, fmt.Sprintf("%s %v", w.Ref, map[string]string(w.Attrs)))
	}
	want := []string{
		"route:inet6 table 254 unreachable 2001:db8:2::/64 metric 4278198272 map[gateway: mtu: onlink: proto:158 source:]",
		"route:inet6 table 254 unreachable 2001:db8:8000::/48 metric 4278198272 map[gateway: mtu: onlink: proto:158 source:]",
		"sit:he-ipv6 map[dev: fwmark: local: owner:provision pmtudisc:1 remote:216.66.80.26 ttl:255]",
		"address:name:he-ipv6 2001:db8:1::2/64 map[flags:nodad]",
		"link:name:he-ipv6 map[mtu:1480 up:true]",
		"route:inet6 table 254 default dev name:he-ipv6 metric 1024 map[gateway: mtu: onlink: proto:158 source:]",
		"address:name:eth1 2001:db8:2::1/64 map[flags:nodad]",
		"address:name:eth2 2001:db8:8000::1/64 map[flags:nodad]",
		"address:name:wlan1 2001:db8:8000:5::1/64 map[flags:nodad]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("wants\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	i := r.Intents
	if len(i.Members) != 1 || i.Members[0].Zone != "wan" || i.Members[0].Manage != "no" || !i.Members[0].Joins {
		t.Errorf("members %+v", i.Members)
	}
	if len(i.Endpoints) != 1 || i.Endpoints[0].Proto != "41" || i.Endpoints[0].Addr != netip.MustParseAddr("216.66.80.26") {
		t.Errorf("endpoints %+v", i.Endpoints)
	}
	if len(i.Forwards) != 3 || i.Forwards[0].From != "home" || i.Forwards[1].From != "" || i.Forwards[0].Destinations[0].String() != "::/0" {
		t.Errorf("forwards %+v", i.Forwards)
	}
	if len(i.Served) != 3 || i.Served[0].Prefix.String() != "2001:db8:2::/64" || i.Served[0].MTU != 1480 {
		t.Errorf("served %+v", i.Served)
	}
	if len(i.Services) != 1 || i.Services[0].From[0].String() != "66.220.2.74/32" {
		t.Errorf("services %+v", i.Services)
	}
	if r, err := Plan(Input{}, nil); err != nil || len(r.Desired.Wants)+len(r.Intents.Members) > 0 {
		t.Errorf("nothing is asked for, and planned: %+v %v", r, err)
	}
}

func TestNotes(t *testing.T) {
	p := netip.MustParsePrefix
	f := &facts.Facts{Links: []facts.Link{{Index: 2, Name: "eth0"}, {Index: 3, Name: "eth1"}, {Index: 9, Name: "he-ipv6"}},
		Addrs:  []facts.Address{{Link: 2, Prefix: p("100.64.3.4/24"), Scope: "global"}},
		Routes: []facts.Route{{Dst: p("0.0.0.0/0"), Link: 2, Table: 254}, {Dst: p("::/0"), Link: 2, Table: 254, Metric: 100}, {Dst: p("::/0"), Link: 9, Table: 254, Metric: 1024}}}
	r, err := Plan(Input{Facts: f}, Config{"he-ipv6": he()})
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(r.Desired.Notes)
	for _, want := range []string{"RFC 6598", "eth0 has an IPv6 way out of its own with the metric 100", "no interface eth2", "no interface wlan1"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if len(r.Desired.Notes) != 4 {
		t.Errorf("%d notes: %s", len(r.Desired.Notes), text)
	}
}

func TestProblems(t *testing.T) {
	if p := (Config{"he-ipv6": he()}).Problems(); len(p) > 0 {
		t.Error(p)
	}
	for _, tc := range []struct {
		path, text string
		change     func(*Tunnel)
	}{
		{"x.type", "6in4", func(t *Tunnel) { t.Type = "gre" }},
		{"x.remote", "missing", func(t *Tunnel) { t.Remote = "" }},
		{"x.remote", "no IPv4 address", func(t *Tunnel) { t.Remote = "tserv1.fra1.he.net" }},
		{"x.local", "leave it out", func(t *Tunnel) { t.Local = "::1" }},
		{"x.interface", "outer packets", func(t *Tunnel) { t.Interface = "x" }},
		{"x.address", "missing", func(t *Tunnel) { t.Address = "" }},
		{"x.address", "length", func(t *Tunnel) { t.Address = "2001:db8:1::2" }},
		{"x.address", "an address in it", func(t *Tunnel) { t.Address = "2001:db8:1::/64" }},
		{"x.mtu", "1280", func(t *Tunnel) { t.MTU = 1200 }},
		{"x.route", "neither", func(t *Tunnel) { t.Route = "full" }},
		{"x.metric", "leaves out", func(t *Tunnel) { t.Route, t.Metric = "none", 5 }},
		{"x.routed[0]", "no IPv6 prefix", func(t *Tunnel) { t.Routed[0] = "2001:db8:2::1/64" }},
		{"x.routed[1]", "lies in", func(t *Tunnel) { t.Routed[1], t.LAN = "2001:db8:2::/48", t.LAN[:2] }},
		{"x.routed[0]", "own network", func(t *Tunnel) { t.Routed[0] = "2001:db8:1::/64" }},
		{"x.lan[0].interface", "the tunnel itself", func(t *Tunnel) { t.LAN[0].Interface = "x" }},
		{"x.lan[1].interface", "already", func(t *Tunnel) { t.LAN[1].Interface = "eth1" }},
		{"x.lan[2].prefix", "none of the routed", func(t *Tunnel) { t.LAN[2].Prefix = "2001:db8:9::/64" }},
		{"x.lan[2].prefix", "no /64", func(t *Tunnel) { t.LAN[2].Prefix = "2001:db8:8000:5::/72" }},
		{"x.lan[1]", "no routed prefix left", func(t *Tunnel) { t.Routed, t.LAN = t.Routed[:1], t.LAN[:2] }},
		{"x.lan[0]", "under routed", func(t *Tunnel) { t.Routed, t.LAN = nil, t.LAN[:1] }},
		{"x.update.user", "missing", func(t *Tunnel) { t.Update.User = "" }},
	} {
		tun := he()
		tc.change(&tun)
		p := Config{"x": tun}.Problems()
		if len(p) != 1 || p[0].Path != tc.path || !strings.Contains(p[0].Text, tc.text) {
			t.Errorf("%s %q: %v", tc.path, tc.text, p)
		}
	}
	if p := (Config{"sit0": he(), "b": he()}).Problems(); !strings.Contains(fmt.Sprint(p), "the kernel makes a device") || !strings.Contains(fmt.Sprint(p), "the other end of b already") {
		t.Error(p)
	}
}

// FuzzSubnets: no network is given out twice, and none that is not routed here.
func FuzzSubnets(f *testing.F) {
	f.Add("2001:db8:2::/64", "2001:db8:8000::/48", "2001:db8:8000:1::/64", 3)
	f.Add("2001:db8::/63", "2001:db8:4::/62", "", 6)
	f.Fuzz(func(t *testing.T, a, b, fixed string, n int) {
		tun := Tunnel{Routed: []string{a, b}, LAN: []LAN{{Interface: "f", Prefix: fixed}}}
		for i := range min(max(n, 0), 20) {
			tun.LAN = append(tun.LAN, LAN{Interface: fmt.Sprint(i)})
		}
		list, _ := tun.subnets()
		seen := map[netip.Prefix]bool{}
		for _, s := range list {
			if !s.Prefix.IsValid() {
				continue
			}
			inside := false
			for _, r := range tun.Routed {
				p, ok := prefix(r)
				inside = inside || ok && p.Bits() <= 64 && p.Contains(s.Prefix.Addr())
			}
			if seen[s.Prefix] || !inside || s.Prefix.Bits() != 64 || !s.Prefix.Contains(Router(s.Prefix).Addr()) {
				t.Errorf("%s of %v", s.Prefix, tun.Routed)
			}
			seen[s.Prefix] = true
		}
	})
}
