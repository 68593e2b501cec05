package agent

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/dnsdhcp"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/routing/wireguard"
)

func TestResolving(t *testing.T) {
	c := wireguard.Config{
		"wg0": {Reach: []string{"internet"}},
		"wg1": {Peers: map[string]wireguard.Peer{"phone": {Client: &wireguard.Client{}}}},
		"wg2": {Peers: map[string]wireguard.Peer{"phone": {Client: &wireguard.Client{DNS: []string{"9.9.9.9"}}}, "site": {}}},
		"wg3": {Route: wireguard.RouteFull, Reach: []string{"peers"}},
		"wg4": {ListenPort: 51820},
	}
	if got := resolving(c); !slices.Equal(got, []string{"wg0", "wg1"}) {
		t.Errorf("asked are %v", got)
	}
	rules := tunnelRules(dnsdhcp.Config{Links: []dnsdhcp.Rule{{Match: dnsdhcp.Match{Name: "wg1*"}}}}, resolving(c))
	if len(rules) != 1 || rules[0].Match.Name != "wg0" {
		t.Fatalf("%+v", rules)
	}
	r := rules[0]
	for what, on := range map[string]*bool{"dhcp4": r.DHCP4.Enabled, "ra": r.RA.Enabled, "dhcp6": r.DHCP6.Enabled, "mdns": r.MDNS.Enabled, "own names": r.DNS.OwnNames} {
		if on == nil || *on {
			t.Errorf("%s is served in a tunnel", what)
		}
	}
	if p := (dnsdhcp.Config{Links: rules}).Problems(); len(p) > 0 {
		t.Error(p)
	}
	if s := served(dnsdhcp.Config{Links: rules}, 0); len(s.Services) != 2 || s.Services[0].Name != "dns" || s.Services[0].Interfaces[0] != "wg0" {
		t.Errorf("%+v", s)
	}
}

func TestInsideNames(t *testing.T) {
	c := wireguard.Config{
		"wg0": {ListenPort: 51820, PublicEndpoint: "vpn.example.org:443", Peers: map[string]wireguard.Peer{
			"a": {Client: &wireguard.Client{Endpoint: "home.example.org"}}, "b": {Client: &wireguard.Client{Endpoint: "192.0.2.1:51820"}}, "c": {Endpoint: "other.example.org:51820"}}},
		"wg1": {ListenPort: 51821, PublicEndpoint: "vpn.example.org"},
		"wg2": {ListenPort: 51822, PublicEndpoint: "bare"},
		"wg3": {PublicEndpoint: "nobody.example.org"},
	}
	if got := strings.Join(insideNames([]string{"written.example.org"}, c), " "); got != "written.example.org home.example.org vpn.example.org" {
		t.Errorf("%q", got)
	}
}

func prefixList(t *testing.T, text string) []netip.Prefix {
	t.Helper()
	var out []netip.Prefix
	for _, s := range strings.Fields(text) {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestDrawnAddresses(t *testing.T) {
	tun := &tunnels{facts: &facts.Facts{}, all: wireguard.Config{"wg0": {Addresses: []string{"10.1.2.1/24", "fd12:3456:789a:1::1/64"}}}}
	for range 20 {
		list, err := tun.draw()
		if err != nil || len(list) != 2 {
			t.Fatal(list, err)
		}
		// The site keeps its number.
		if list[1] != "fd12:3456:789a:2::1/64" {
			t.Errorf("the second tunnel has %s", list[1])
		}
		if p := netip.MustParsePrefix(list[0]); p.Bits() != 24 || p.Addr().As4()[3] != 1 || p.Overlaps(netip.MustParsePrefix("10.1.2.0/24")) {
			t.Errorf("IPv4: %s", p)
		}
	}
	first := &tunnels{facts: &facts.Facts{}}
	a, _ := first.draw()
	b, _ := first.draw()
	if a[1] == b[1] || !strings.HasPrefix(a[1], "fd") {
		t.Errorf("two sites have %s and %s", a[1], b[1])
	}
}

func TestRoutedPrefix(t *testing.T) {
	for _, tt := range []struct {
		routes []facts.Route
		addrs  string
		want   string
		note   string
	}{
		{nil, "2001:db8:5::5/64", "", ""},
		{[]facts.Route{{Dst: netip.MustParsePrefix("2001:db8:100::/56"), Type: "unreachable", Proto: 4}}, "", "2001:db8:100:ff::/64", ""},
		{[]facts.Route{{Dst: netip.MustParsePrefix("2001:db8:100::/56"), Type: "blackhole", Proto: 4}}, "2001:db8:100:ff::1/64", "2001:db8:100:fe::/64", ""},
		{[]facts.Route{{Dst: netip.MustParsePrefix("2001:db8:100::/64"), Type: "unreachable", Proto: 4}}, "", "2001:db8:100::/64", ""},
		{[]facts.Route{{Dst: netip.MustParsePrefix("2001:db8:100::/60"), Type: "unreachable", Proto: 16}}, "", "", "--prefix 2001:db8:100:f::/64"},
		{[]facts.Route{{Dst: netip.MustParsePrefix("fd00::/48"), Type: "unreachable", Proto: 4}, {Dst: netip.MustParsePrefix("10.0.0.0/8"), Type: "blackhole"}}, "", "", ""},
	} {
		f := &facts.Facts{Routes: tt.routes}
		for _, p := range prefixList(t, tt.addrs) {
			f.Addrs = append(f.Addrs, facts.Address{Prefix: p})
		}
		var out WireguardOutcome
		got := (&tunnels{facts: f}).routed(&out)
		if s := strings.Replace(got.String(), "invalid Prefix", "", 1); s != tt.want {
			t.Errorf("%v: %s, want %s", tt.routes, s, tt.want)
		}
		if (len(out.Notes) > 0) != (tt.note != "") || tt.note != "" && !strings.Contains(out.Notes[0].Text, tt.note) {
			t.Errorf("%v: notes %v", tt.routes, out.Notes)
		}
	}
	for in, want := range map[string]string{"2001:db8:1::/48": "2001:db8:1::1/64", "2001:db8:1:2:3::/80": "2001:db8:1:2:3::1/80"} {
		if got, err := publicAddress(netip.MustParsePrefix(in)); err != nil || got != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
	for _, in := range []string{"fd00::/64", "192.0.2.0/24", "2001:db8::/128", "fe80::/64"} {
		if got, err := publicAddress(netip.MustParsePrefix(in)); err == nil {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func TestPublicEndpoint(t *testing.T) {
	def := func(family int) facts.Route {
		r := facts.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: 2, Table: 254, Type: "unicast"}
		if family == 6 {
			r.Dst = netip.MustParsePrefix("::/0")
		}
		return r
	}
	for _, tt := range []struct{ addrs, want, note string }{
		{"203.0.113.5/24 2001:db8::5/64", "203.0.113.5", ""},
		{"192.168.1.2/24 2001:db8::5/64", "2001:db8::5", "by IPv6 only"},
		{"192.168.1.2/24 fd00::5/64", "", "private, so the router"},
		{"100.64.3.4/10", "", "private, so the router"},
		{"", "", "no way out yet"},
	} {
		f := &facts.Facts{Links: []facts.Link{{Index: 2, Name: "eth0"}}, Routes: []facts.Route{def(4), def(6)}}
		for _, p := range prefixList(t, tt.addrs) {
			f.Addrs = append(f.Addrs, facts.Address{Link: 2, Prefix: p, Scope: "global"})
		}
		out := WireguardOutcome{Interface: "wg0"}
		got := (&tunnels{facts: f}).publicEndpoint(&out)
		if got != tt.want || (len(out.Notes) > 0) != (tt.note != "") || tt.note != "" && !strings.Contains(out.Notes[0].Text, tt.note) {
			t.Errorf("%s: %q, %v; want %q, %q", tt.addrs, got, out.Notes, tt.want, tt.note)
		}
	}
}

func TestNextOfEveryNetwork(t *testing.T) {
	i := wireguard.Interface{Addresses: []string{"10.1.2.1/24", "fd12:3456:789a:1::1/64", "2001:db8:1:2::1/64"},
		Peers: map[string]wireguard.Peer{"phone": {AllowedIPs: []string{"10.1.2.2/32", "fd12:3456:789a:1::2/128"}}, "server": {AllowedIPs: []string{"2001:db8:1:2::3/128"}}}}
	got, err := (&tunnels{}).next(i)
	if err != nil || !slices.Equal(got, prefixList(t, "10.1.2.4/32 fd12:3456:789a:1::4/128 2001:db8:1:2::4/128")) {
		t.Errorf("%v %v", got, err)
	}
	if _, err := (&tunnels{}).next(wireguard.Interface{Addresses: []string{"10.1.2.1/30"}, Peers: map[string]wireguard.Peer{"a": {AllowedIPs: []string{"10.1.2.2/32"}}}}); err == nil || !strings.Contains(err.Error(), "it is full") {
		t.Errorf("%v", err)
	}
}

func TestRoutesOfAPeer(t *testing.T) {
	f := &facts.Facts{Links: []facts.Link{{Index: 2, Name: "lan0", ARPHRD: 1}, {Index: 3, Name: "eth0", ARPHRD: 1}},
		Addrs: []facts.Address{{Link: 2, Prefix: netip.MustParsePrefix("192.168.1.1/24"), Scope: "global"}, {Link: 3, Prefix: netip.MustParsePrefix("203.0.113.5/24"), Scope: "global"}}}
	i := wireguard.Interface{Addresses: []string{"10.1.2.1/24", "fd00:1::1/64"}, Reach: []string{"internet"}}
	for _, tt := range []struct {
		o    WireguardPeer
		want string
	}{
		{WireguardPeer{}, ""},
		{WireguardPeer{Route: PeerFull}, ""},
		{WireguardPeer{Route: PeerSplit}, "10.1.2.0/24 192.168.1.0/24 fd00:1::/64"},
		{WireguardPeer{Route: PeerLAN}, "10.1.2.1/32 192.168.1.0/24 fd00:1::1/128"},
		{WireguardPeer{AllowedIPs: prefixList(t, "10.0.0.0/8")}, "10.0.0.0/8"},
		{WireguardPeer{Except: prefixList(t, "0.0.0.0/1 8000::/1")}, "128.0.0.0/1 ::/1"},
	} {
		var out WireguardOutcome
		got, err := (&tunnels{facts: f, device: "wg0"}).routesOf(i, tt.o, &out)
		if want := prefixList(t, tt.want); err != nil || !slices.Equal(got, want) {
			t.Errorf("%+v: %v %v, want %v", tt.o, got, err, want)
		}
	}
	if _, err := (&tunnels{facts: &facts.Facts{}}).routesOf(i, WireguardPeer{Route: PeerLAN}, &WireguardOutcome{}); err == nil {
		t.Error("a LAN that is not there is reached")
	}
}
