package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/provision-net/provision/dnsdhcp/dns/cache"
	"github.com/provision-net/provision/dnsdhcp/dns/forward"
	"github.com/provision-net/provision/dnsdhcp/dns/zone"
)

// Config is everything that a Handler goes by. Begin with Defaults.
type Config struct {
	Links []Link
	// Machine has all addresses of this machine, for reverse names.
	Machine []netip.Addr

	Local  Local        // *zone.Zone; nil for no local data
	Routes *zone.Routes // names that go to another group than the link's own; nil for none
	Rebind *zone.Rebind // which answers from upstream are refused; nil for none

	Cache   cache.Config
	Forward forward.Config

	UDPSize    uint16        // largest reply over UDP, and what is announced by EDNS (RFC 9715: 1232 is not fragmented)
	StaleAfter time.Duration // upstreams that take longer are covered for by a stale answer, if there is one (RFC 8767 section 5: 1.8 s)

	Rate Rate
	TCP  TCP
	Log  int // questions that the query log holds while it is on
}

// Link is what questions of one interface are served by.
type Link struct {
	Name string // of the interface
	// Prefixes are the sources that are answered. Link-local IPv6 is always: it cannot come from elsewhere.
	Prefixes []netip.Prefix
	Own      []netip.Addr // what this machine's names stand for here
	Outside  bool         // its clients come in from afar: names of the zone's Inside are not answered here
	Domain   string       // where single labels are looked for first; empty for the zone's order
	Group    string       // of upstreams for what no route sends elsewhere
	Filter   []uint16     // types that are never given, be it AAAA or A
}

// Rate bounds what one client (an IPv4 address, an IPv6 /64) may ask. 0 PerSecond: no bound.
type Rate struct {
	PerSecond int
	Burst     int
	Clients   int // how many are told apart; of more, those that asked longest ago are forgotten
}

// TCP bounds connections (RFC 7766 section 6.2).
type TCP struct {
	Idle      time.Duration // without a question in work
	Total     int
	PerClient int
	Pipeline  int // questions in work on one connection
}

// Defaults serves no link and has no upstream.
func Defaults() Config {
	return Config{
		Cache: cache.Defaults(), Forward: forward.Defaults(),
		UDPSize: 1232, StaleAfter: 1800 * time.Millisecond,
		Rate: Rate{PerSecond: 1000, Burst: 2000, Clients: 4096},
		TCP:  TCP{Idle: 10 * time.Second, Total: 256, PerClient: 32, Pipeline: 32},
		Log:  512,
	}
}

// Validate says everything that is wrong with c.
func (c Config) Validate() error {
	errs := []error{c.Cache.Validate(), c.Forward.Validate()}
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	seen := map[string]bool{}
	for _, l := range c.Links {
		if l.Name == "" || seen[l.Name] {
			bad("link %q: without a name, or there twice", l.Name)
		}
		seen[l.Name] = true
		for _, p := range l.Prefixes {
			if !p.IsValid() || p.Addr().Is4In6() {
				bad("link %s: %v is not a prefix of clients", l.Name, p)
			}
		}
		if !slices.ContainsFunc(c.Forward.Groups, func(g forward.Group) bool { return g.Name == l.Group }) && l.Group != "" {
			bad("link %s: there is no group %q of upstreams", l.Name, l.Group)
		}
	}
	if c.UDPSize < 512 || c.UDPSize > 4096 {
		bad("UDP replies of up to %d bytes: must be 512 to 4096", c.UDPSize)
	}
	if c.StaleAfter <= 0 {
		bad("stale answers after %v: must be more than 0", c.StaleAfter)
	}
	if c.Rate.PerSecond < 0 || c.Rate.PerSecond > 0 && (c.Rate.Burst < 1 || c.Rate.Clients < 1 || c.Rate.Clients > 1<<20) {
		bad("%d questions a second in bursts of %d for %d clients: must be positive, and at most %d clients", c.Rate.PerSecond, c.Rate.Burst, c.Rate.Clients, 1<<20)
	}
	if c.TCP.Idle < time.Second || c.TCP.Total < 1 || c.TCP.PerClient < 1 || c.TCP.Pipeline < 1 {
		bad("TCP: %d connections, %d of a client, %d questions on each, idle for %v: must be 1 or more each", c.TCP.Total, c.TCP.PerClient, c.TCP.Pipeline, c.TCP.Idle)
	}
	if c.Log < 1 || c.Log > 1<<16 {
		bad("query log of %d questions: must be 1 to %d", c.Log, 1<<16)
	}
	return errors.Join(errs...)
}
