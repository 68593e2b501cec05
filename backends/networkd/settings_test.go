package networkd

import (
	"testing"

	"github.com/provision-net/provision/backends/networkd/unit"
)

func TestSettings(t *testing.T) {
	both := "[DHCP]\nRouteMetric=100\n"
	for _, c := range []struct {
		text    string
		version int
		m4, m6  uint32
	}{
		{"", 252, 1024, 1024},
		{both, 252, 100, 100},
		{both + "[DHCPv4]\nRouteMetric=7\n", 252, 7, 100},
		{"[DHCPv4]\nRouteMetric=7\n" + both, 252, 7, 100},
		{both + "[IPv6AcceptRA]\nRouteMetric=8\n", 252, 100, 8},
		{both + "[IPv6AcceptRA]\nRouteMetric=1:2:3\n", 257, 100, 2},
		{both + "[IPv6AcceptRA]\nRouteMetric=8\n", 247, 100, 100},
		{both + "[DHCPv6]\nRouteMetric=8\n", 247, 100, 8},
		{both + "[DHCPv6]\nRouteMetric=8\n", 252, 100, 100},
		{both + "[DHCPv4]\nRouteMetric=7\n", 245, 7, 7},
		{"[DHCPv4]\nRouteMetric=7\n" + both, 245, 100, 100},
		{both + "[DHCP]\nRouteMetric=never\n", 252, 100, 100},
		{"[DHCPv4]\nRouteMetric=4294967296\n", 252, 1024, 1024},
	} {
		s := ReadSettings(unit.Parse("f", c.text).Entries, c.version)
		if s.Metric4.Metric != c.m4 || s.Metric6.Metric != c.m6 {
			t.Errorf("%q on %d: %v %v, want %d %d", c.text, c.version, s.Metric4, s.Metric6, c.m4, c.m6)
		}
	}
	s := ReadSettings(unit.Parse("f", "[Network]\nDHCP=ipv4\nGateway=10.0.0.1\nGateway=fe80::1\n[Route]\nGateway=10.0.0.2\nMetric=5\n[Route]\nDestination=10.1.0.0/16\nGateway=10.0.0.3\n"+
		"[Route]\nGateway=10.0.0.4\nTable=7\n[Route]\nDestination=::/0\nGateway=_ipv6ra\n").Entries, 252)
	if got := len(s.StaticOf(4)); got != 2 || s.StaticOf(4)[1].Metric != "5" || len(s.StaticOf(6)) != 2 {
		t.Errorf("static routes: %+v", s.Static)
	}
	if !s.DHCP4 || s.DHCP6 || !s.RA {
		t.Errorf("%+v", s)
	}
}

func FuzzReadSettings(f *testing.F) {
	f.Add("[Network]\nDHCP=yes\n[DHCP]\nRouteMetric=1:2:3\n[Route]\nGateway=1.2.3.4\nMetric=\n")
	f.Fuzz(func(_ *testing.T, text string) {
		for _, version := range []int{0, 243, 247, 257} {
			ReadSettings(unit.Parse("f", text).Entries, version)
		}
	})
}
