package egress

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	a := netip.MustParseAddr
	tunnel := Tunnel{Device: "wg0", Addresses: []netip.Prefix{netip.MustParsePrefix("10.9.0.5/32"), netip.MustParsePrefix("fd09::5/128")}, Families: []int{4, 6}, MTU: 1420, DNS: []netip.Addr{a("10.9.0.1")}}
	fine := func() Seen {
		return Seen{Present: true, Up: true, Handshake: 20 * time.Second, Families: []Family{
			{Family: 4, Target: a("9.9.9.9"), Way: Way{"wg0", a("10.9.0.5")}, Passes: 1420},
			{Family: 6, Target: a("2620:fe::fe"), Way: Way{"wg0", a("fd09::5")}, Passes: 1420}},
			Servers: []Server{{Addr: a("127.0.0.53"), From: "/etc/resolv.conf"}, {Addr: a("10.9.0.1"), From: "systemd-resolved for wg0", Way: Way{"wg0", a("10.9.0.5")}}}}
	}
	if r := Judge(tunnel, fine()); !r.OK() || len(r.Findings) != 8 {
		t.Errorf("all is well: %+v", r)
	}
	for _, tt := range []struct {
		what  string
		do    func(*Tunnel, *Seen)
		level Level
		text  string
	}{
		{"no device", func(_ *Tunnel, s *Seen) { s.Present = false }, Broken, "there is no wg0"},
		{"down", func(_ *Tunnel, s *Seen) { s.Up = false }, Broken, "is down"},
		{"never answered", func(_ *Tunnel, s *Seen) { s.Handshake = -1 }, Broken, "ever answered"},
		{"old", func(_ *Tunnel, s *Seen) { s.Handshake = time.Hour }, Hint, "1h0m0s ago"},
		{"IPv6 beside", func(_ *Tunnel, s *Seen) { s.Families[1].Way = Way{"eth0", a("2001:db8::7")} }, Leak, "leaves by eth0 with the address 2001:db8::7, not by wg0"},
		{"not carried and out", func(t *Tunnel, s *Seen) { t.Families = []int{4}; s.Families[1].Way = Way{"eth0", a("2001:db8::7")} }, Leak, "does not carry it, and it leaves by eth0"},
		{"not carried and held", func(t *Tunnel, s *Seen) { t.Families = []int{4}; s.Families[1].Way = Way{} }, Good, "nothing leaves"},
		{"no way", func(_ *Tunnel, s *Seen) { s.Families[0].Way = Way{} }, Broken, "there is none"},
		{"silent", func(_ *Tunnel, s *Seen) { s.Families[0].Answer = "no answer in time" }, Broken, "does not answer: no answer in time"},
		{"source", func(_ *Tunnel, s *Seen) { s.Families[0].Way.Source = a("192.0.2.7") }, Leak, "not one of the tunnel's"},
		{"bound", func(_ *Tunnel, s *Seen) { s.Families[0].Beside = []string{"eth0"} }, Hint, "binds to eth0"},
		{"bound under a kill switch", func(t *Tunnel, s *Seen) { t.KillSwitch = true; s.Families[0].Beside = []string{"eth0"} }, Leak, "binds to eth0"},
		{"MTU", func(_ *Tunnel, s *Seen) { s.Families[1].Passes = 1280 }, Broken, "write mtu: 1280"},
		{"names beside", func(_ *Tunnel, s *Seen) {
			s.Servers[1] = Server{Addr: a("192.168.7.1"), From: "/etc/resolv.conf", Way: Way{"eth0", a("192.168.7.9")}}
		}, Leak, "192.168.7.1 (/etc/resolv.conf) is asked by eth0"},
		{"names of some domains", func(t *Tunnel, s *Seen) {
			t.DNSDomains = []string{"~corp.example"}
			s.Servers = append(s.Servers, Server{Addr: a("192.168.7.1"), Way: Way{Device: "eth0"}})
		}, Hint, "for what is not of ~corp.example"},
		{"names nowhere", func(_ *Tunnel, s *Seen) { s.Servers[1].Way = Way{} }, Broken, "no route leads to 10.9.0.1"},
		{"others", func(t *Tunnel, _ *Seen) { t.DNS = []netip.Addr{a("10.9.0.2")} }, Hint, "dns names others"},
	} {
		u, s := tunnel, fine()
		tt.do(&u, &s)
		r := Judge(u, s)
		found := false
		for _, f := range r.Findings {
			found = found || f.Level == tt.level && strings.Contains(f.Text, tt.text)
		}
		if !found {
			t.Errorf("%s: want %s %q in %s", tt.what, tt.level, tt.text, fmt.Sprint(r.Findings))
		}
		if r.OK() != (tt.level == Good || tt.level == Hint) {
			t.Errorf("%s: OK is %v: %v", tt.what, r.OK(), r.Findings)
		}
	}
}
