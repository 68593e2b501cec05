package firewall_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/routing/firewall"
)

// managed is a machine with two NICs and the given SSH sessions.
func managed(sessions ...facts.Session) *facts.Facts {
	prefix := netip.MustParsePrefix
	return &facts.Facts{
		Links: []facts.Link{{Index: 1, Name: "lo", ARPHRD: 772, Up: true}, {Index: 2, Name: "eth0", ARPHRD: 1, Up: true}, {Index: 3, Name: "eth1", ARPHRD: 1, Up: true}},
		Addrs: []facts.Address{{Link: 1, Prefix: prefix("127.0.0.1/8"), Scope: "host"}, {Link: 2, Prefix: prefix("192.0.2.2/24"), Scope: "global"},
			{Link: 2, Prefix: prefix("2001:db8:1::2/64"), Scope: "global"}, {Link: 3, Prefix: prefix("10.0.0.1/24"), Scope: "global"}},
		Routes: []facts.Route{
			{Dst: prefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.0.2.1"), Link: 2, Table: 254, Type: "unicast"},
			{Dst: prefix("192.0.2.0/24"), Link: 2, Table: 254, Type: "unicast", Scope: "link"},
			{Dst: prefix("10.0.0.0/24"), Link: 3, Table: 254, Type: "unicast", Scope: "link"},
			{Dst: prefix("::/0"), Gateway: netip.MustParseAddr("2001:db8:1::1"), Link: 2, Table: 254, Type: "unicast"},
			{Dst: prefix("2001:db8:1::/64"), Link: 2, Table: 254, Type: "unicast"}},
		Rules: []facts.Rule{{Family: 4, Priority: 0, Table: 255, Action: "lookup"}, {Family: 4, Priority: 32766, Table: 254, Action: "lookup"},
			{Family: 6, Priority: 0, Table: 255, Action: "lookup"}, {Family: 6, Priority: 32766, Table: 254, Action: "lookup"}},
		SSH: sessions,
	}
}

func session(local, remote string, mine bool) facts.Session {
	return facts.Session{Local: netip.MustParseAddrPort(local), Remote: netip.MustParseAddrPort(remote), Mine: mine}
}

func TestCuts(t *testing.T) {
	zones := "zones: {inside: {interfaces: [eth1]}, outside: {interfaces: [eth0]}}\n"
	out, in := session("192.0.2.2:22", "203.0.113.5:50000", true), session("10.0.0.1:22", "10.0.0.9:50000", true)
	out6, odd := session("[2001:db8:1::2]:22", "[2001:db8:77::1]:50000", true), session("10.0.0.1:2222", "10.0.0.9:50000", true)
	for _, c := range []struct {
		name, policy string
		sessions     []facts.Session
		want         []string // a word of each reason
	}{
		{"from inside", zones, []facts.Session{in}, nil},
		{"from outside", zones, []facts.Session{out}, []string{"203.0.113.5 by eth0 to port 22 would be dropped in chain input.outside (zone outside: to this machine)"}},
		{"from outside by IPv6", zones, []facts.Session{out6}, []string{"2001:db8:77::1 by eth0"}},
		{"allowed from outside", zones + "firewall: {rules: [{source-interface: outside, destination-interface: self, port: [ssh], source: [203.0.113.0/24], action: allow}]}", []facts.Session{out}, nil},
		{"management from elsewhere", zones + "firewall: {management: {from: [10.0.0.8]}}", []facts.Session{in}, []string{"rejected in chain input.inside"}},
		{"a rule's own name", zones + "firewall: {rules: [{destination-interface: self, action: deny, note: shut}]}", []facts.Session{out}, []string{"(rules[0] shut)"}},
		{"another port", zones, []facts.Session{odd}, []string{"port 2222"}},
		{"another port that is named", zones + "firewall: {management: {services: [tcp/2222]}}", []facts.Session{odd}, nil},
		{"no zone", "zones: {outside: {interfaces: [eth0]}}", []facts.Session{in}, []string{"interfaces of no zone"}},
		{"somebody else's", zones, []facts.Session{session("192.0.2.2:22", "203.0.113.6:1", false), in}, nil},
		{"nobody's own", zones, []facts.Session{session("192.0.2.2:22", "203.0.113.6:1", false), session("10.0.0.1:22", "10.0.0.9:1", false)}, []string{"203.0.113.6"}},
		{"the port is sent elsewhere", zones + "firewall: {rules: [{source-interface: outside, destination-interface: inside, port: [ssh], nat-destination: 10.0.0.7, action: allow}]}", []facts.Session{out}, []string{"another machine by eth1"}},
		{"answers with own-traffic listed", zones + "firewall: {rules: [{source-interface: outside, destination-interface: self, action: allow}], own-traffic: listed}", []facts.Session{out}, nil},
		{"itself", zones, []facts.Session{session("127.0.0.1:22", "127.0.0.1:5", true)}, nil},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			cuts := firewall.Cuts(compile(t, read(t, c.policy), intent.Set{}), managed(c.sessions...))
			if len(cuts) != len(c.want) {
				t.Fatalf("%+v, want %d", cuts, len(c.want))
			}
			for i, w := range c.want {
				if !strings.Contains(cuts[i].Why, w) {
					t.Errorf("%s, want ... %s ...", cuts[i].Why, w)
				}
			}
		})
	}
	if firewall.Cuts(compile(t, read(t, zones), intent.Set{}), nil) != nil {
		t.Error("no facts, but cuts")
	}
}
