package dnsdhcp

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/link"
)

// idle is a server that has not been started, with its table.
func idle(t *testing.T, c Config) *Server {
	t.Helper()
	s, err := New(Options{Config: c})
	if err != nil {
		t.Fatal(err)
	}
	s.log = slog.New(slog.DiscardHandler)
	s.table = lease.NewTable(lease.Options{Clock: s.clock})
	return s
}

// Interfaces whose names fit a pattern come and go for ever, each with another name; what is kept of them does not grow.
func TestLinksThatNeverComeBackAreForgotten(t *testing.T) {
	s := idle(t, Config{Links: []Rule{{Match: Match{Name: "vnet*"}}, {Match: Match{Name: "usb0"}}}})
	add := func(name string, left int) {
		st := s.newStation(name)
		st.rule, st.left = s.config.ruleFor(name, nil), clock.Instant(left)
		s.stations[name], s.networks[name] = st, lease.Network{Name: name}
		s.networkGauges(name)
	}
	add("usb0", 0) // named, and away for longest
	add("vnet9999", 0)
	s.stations["vnet9999"].link = link.Link{Index: 7} // it is there
	for i := range 10 * maxAway {
		add(fmt.Sprint("vnet", i), i)
		s.forgetAway()
	}
	if len(s.stations) != maxAway+2 || len(s.networks) != maxAway+2 {
		t.Errorf("%d links and %d networks are kept", len(s.stations), len(s.networks))
	}
	for _, name := range []string{"usb0", "vnet9999", fmt.Sprint("vnet", 10*maxAway-1)} {
		if s.stations[name] == nil {
			t.Errorf("%s is forgotten", name)
		}
	}
	var text strings.Builder
	s.counters.WritePrometheus(&text)
	if n := strings.Count(text.String(), gaugeFree+"{"); n != maxAway+2 {
		t.Errorf("%d networks have figures", n)
	}
}

// What cannot be used is shown as long as it is so.
func TestProblemsAtRunTimeEnd(t *testing.T) {
	s := idle(t, Config{})
	s.note("dns", errors.New("no good"))
	s.note("export", nil)
	if len(s.noted) != 1 || s.noted["dns"] != "no good" {
		t.Error(s.noted)
	}
	s.note("dns", nil)
	if len(s.noted) != 0 {
		t.Error(s.noted)
	}
}

func TestRelayedClientsMayAskUs(t *testing.T) {
	off := false
	c := resolveOK(t, Config{
		Links: []Rule{{Match: Match{Name: "eth1"}}},
		Relayed: []Relayed{
			{Subnet: "10.9.0.0/24"}, {Subnet: "10.10.0.0/24", NameServers: []string{"9.9.9.9"}}, {Subnet: "10.11.0.0/24", DHCP4: DHCP4{Enabled: &off}},
		},
	})
	v := c.plan(c.rules[0], link.Link{Name: "eth1", Index: 2, Up: true, Addrs: addrs("10.0.0.1/24")}, "pi")
	if got := fmt.Sprint(v.dnsLink.Prefixes); got != "[10.0.0.0/24 10.9.0.0/24]" {
		t.Errorf("queries are taken from %s", got)
	}
}

func TestReservedCountsAddresses(t *testing.T) {
	c := resolveOK(t, Config{Links: []Rule{{Match: Match{Name: "eth1"}}}, Hosts: []Host{
		{Name: "a", MACs: []string{"52:54:00:00:00:01"}, Address: "10.0.0.5"}, {Name: "b", MACs: []string{"52:54:00:00:00:02"}},
	}})
	v := c.plan(c.rules[0], link.Link{Name: "eth1", Index: 2, Up: true, Addrs: addrs("10.0.0.1/24")}, "pi")
	if n := reservedIn(v.table); n != 1 || len(v.table.Reservations) != 2 {
		t.Errorf("%d of %d", n, len(v.table.Reservations))
	}
}
