package ra

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// compose builds the advertisement of now: what is wanted, and what is to be taken back.
func (m *Machine) compose(now clock.Instant, wants []want) Message {
	c := &m.cfg
	up := Uplink{Default6: m.default6.value, Forwarding: m.forwarding.value}
	msg := Message{
		HopLimit:       c.HopLimit,
		Managed:        c.Managed,
		Other:          c.Other,
		Preference:     c.Preference,
		RouterLifetime: c.routerLifetime(up),
		Reachable:      c.Reachable,
		Retrans:        c.Retrans,
		SourceMAC:      m.link.MAC,
		MTU:            m.mtu(),
		CaptivePortal:  c.CaptivePortal,
	}
	for _, w := range wants {
		msg.Prefixes = append(msg.Prefixes, w.Prefix)
	}
	msg.Prefixes = append(msg.Prefixes, m.book.withdrawn(now)...)

	if c.DNSSelf && m.self.IsValid() {
		msg.DNS = append(msg.DNS, DNS{m.self, c.dnsLifetime()})
	}
	for _, a := range c.DNS {
		if !c.DNSSelf || a != m.self {
			msg.DNS = append(msg.DNS, DNS{a, c.dnsLifetime()})
		}
	}
	for _, d := range c.Search {
		msg.Search = append(msg.Search, Search{strings.ToLower(strings.TrimSuffix(d, ".")), c.dnsLifetime()})
	}
	for _, r := range c.Routes {
		r.Lifetime = c.routeLifetime(r)
		if !up.Forwarding {
			r.Lifetime = 0
		}
		msg.Routes = append(msg.Routes, r)
	}
	for _, p := range c.NAT64 {
		msg.NAT64 = append(msg.NAT64, NAT64{p, c.nat64Lifetime()})
	}
	m.takeBack(now, &msg)
	return msg
}

// mtu is never more than the link's (RFC 4861 section 6.2.1), nor less than IPv6 needs.
func (m *Machine) mtu() uint32 {
	mtu := m.cfg.MTU
	if onLink := m.link.MTU; onLink > 0 && mtu != 0 {
		mtu = min(mtu, uint32(onLink))
	}
	if mtu < 1280 || mtu == MTUOfLink {
		return 0
	}
	return mtu
}

// takeBack adds what hosts were told before and is so no more, with lifetime 0.
func (m *Machine) takeBack(now clock.Instant, msg *Message) {
	for _, a := range m.dns.gone(now, func(a netip.Addr) bool {
		return slices.ContainsFunc(msg.DNS, func(d DNS) bool { return d.Addr == a })
	}, netip.Addr.Compare) {
		msg.DNS = append(msg.DNS, DNS{Addr: a})
	}
	for _, d := range m.search.gone(now, func(d string) bool {
		return slices.ContainsFunc(msg.Search, func(s Search) bool { return s.Domain == d })
	}, strings.Compare) {
		msg.Search = append(msg.Search, Search{Domain: d})
	}
	for _, p := range m.routes.gone(now, func(p netip.Prefix) bool {
		return slices.ContainsFunc(msg.Routes, func(r Route) bool { return r.Prefix == p })
	}, comparePrefix) {
		msg.Routes = append(msg.Routes, Route{Prefix: p})
	}
	for _, p := range m.nat64.gone(now, func(p netip.Prefix) bool {
		return slices.ContainsFunc(msg.NAT64, func(n NAT64) bool { return n.Prefix == p })
	}, comparePrefix) {
		msg.NAT64 = append(msg.NAT64, NAT64{Prefix: p})
	}
}

func comparePrefix(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

// announced notes what hosts know from now on.
func (m *Machine) announced(now clock.Instant, wants []want, msg *Message) {
	m.book.announce(now, wants)
	for _, d := range msg.DNS {
		m.dns.tell(now, d.Addr, d.Lifetime)
	}
	for _, s := range msg.Search {
		m.search.tell(now, s.Domain, s.Lifetime)
	}
	for _, r := range msg.Routes {
		m.routes.tell(now, r.Prefix, r.Lifetime)
	}
	for _, n := range msg.NAT64 {
		m.nat64.tell(now, n.Prefix, n.Lifetime)
	}
}

// withdraw turns an advertisement into a final one: no way out, no names, no routes through a machine that stops
// answering for them. Prefixes stay as they are: addresses work on the link without a router.
func withdraw(msg *Message) {
	msg.RouterLifetime = 0
	for i := range msg.DNS {
		msg.DNS[i].Lifetime = 0
	}
	for i := range msg.Search {
		msg.Search[i].Lifetime = 0
	}
	for i := range msg.Routes {
		msg.Routes[i].Lifetime = 0
	}
	for i := range msg.NAT64 {
		msg.NAT64[i].Lifetime = 0
	}
	msg.CaptivePortal = ""
}

// news says that hosts should be told of b at once when they know a: not when lifetimes merely run down, only when one
// has ended or begun; nor when something is left out, which tells them nothing.
func news(a, b *Message) bool {
	header := func(m *Message) Message {
		h := *m
		h.Prefixes, h.DNS, h.Search, h.Routes, h.NAT64 = nil, nil, nil, nil, nil
		return h
	}
	some := func(d time.Duration) time.Duration { return min(d, 1) }
	return !reflect.DeepEqual(header(a), header(b)) ||
		added(a.Prefixes, b.Prefixes, func(p Prefix) Prefix { p.Preferred, p.Valid = some(p.Preferred), 0; return p }) ||
		added(a.DNS, b.DNS, func(d DNS) DNS { d.Lifetime = some(d.Lifetime); return d }) ||
		added(a.Search, b.Search, func(s Search) Search { s.Lifetime = some(s.Lifetime); return s }) ||
		added(a.Routes, b.Routes, func(r Route) Route { r.Lifetime = some(r.Lifetime); return r }) ||
		added(a.NAT64, b.NAT64, func(n NAT64) NAT64 { n.Lifetime = some(n.Lifetime); return n })
}

// added says that b has an element that a has not, both as essence makes them.
func added[T comparable](a, b []T, essence func(T) T) bool {
	return slices.ContainsFunc(b, func(x T) bool {
		return !slices.ContainsFunc(a, func(y T) bool { return essence(x) == essence(y) })
	})
}

// shortened says that lifetimes are by more than rounding shorter than what is left of those that were announced at the
// instant at: the provider takes a prefix back.
func shortened(announced, prefixes []Prefix, at, now clock.Instant) bool {
	const rounding = 10 * time.Second
	return slices.ContainsFunc(prefixes, func(p Prefix) bool {
		return slices.ContainsFunc(announced, func(q Prefix) bool {
			return p.Prefix == q.Prefix && p.Preferred > 0 &&
				(p.Preferred < left(q.Preferred, at, now)-rounding || p.Valid < left(q.Valid, at, now)-rounding)
		})
	})
}
