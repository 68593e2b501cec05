// Package fib answers which route a packet takes, from facts alone: the policy rules
// by priority, in each table the longest prefix, then the lowest metric, as the kernel
// does it (net/core/fib_rules.c, net/ipv4/fib_trie.c, net/ipv6/route.c). Every rule and
// route that was considered is kept, so the answer can be explained.
package fib

import (
	"cmp"
	"fmt"
	"net/netip"
	"sort"

	"github.com/provision-net/provision/provision/facts"
)

// Query is a packet that this machine sends. Only Dst is needed.
type Query struct {
	Dst  netip.Addr
	Src  netip.Addr // bound source; the zero Addr lets the kernel choose one
	Iif  string     // empty: made here (the kernel then matches "iif lo")
	Oif  string     // bound device (SO_BINDTODEVICE)
	Mark uint32     // fwmark
}

// Kind is what becomes of the packet.
type Kind string

const (
	Unicast     Kind = "unicast"
	Local       Kind = "local"     // for this machine itself
	Broadcast   Kind = "broadcast" // to the link's broadcast address
	Unreachable Kind = "unreachable"
	Blackhole   Kind = "blackhole"
	Prohibit    Kind = "prohibit"
	NoRoute     Kind = "no route"
)

// Result is the decision.
type Result struct {
	Kind    Kind
	Link    int         // index of the outgoing device
	Gateway netip.Addr  // zero: the destination is on the link
	Src     netip.Addr  // bound or chosen source
	Route   facts.Route // what matched; zero for NoRoute and for rules that refuse
	Rule    facts.Rule
	// Hops are all next hops of a multipath route; Link and Gateway are the first.
	// The kernel picks one by a hash of the flow.
	Hops  []facts.Hop
	Steps []Step // the trace
}

// NextHop is the address that must answer ARP or ND: the gateway, or dst itself.
func (r Result) NextHop(dst netip.Addr) netip.Addr {
	if r.Gateway.IsValid() {
		return r.Gateway
	}
	return dst
}

// Sent reports whether the packet leaves or is delivered.
func (r Result) Sent() bool { return r.Kind == Unicast || r.Kind == Local || r.Kind == Broadcast }

// Step is one rule or route that was looked at.
type Step struct {
	Rule  facts.Rule
	Route *facts.Route // nil: the rule itself
	Taken bool
	Why   string
}

const tableLocal = 255

// Lookup decides about q.
func Lookup(f *facts.Facts, q Query) Result {
	q.Dst, q.Src = q.Dst.Unmap(), q.Src.Unmap()
	l := &lookup{f: f, q: q}
	if q.Dst.Zone() != "" {
		if q.Oif == "" {
			l.q.Oif = q.Dst.Zone()
		}
		l.q.Dst = q.Dst.WithZone("")
	}
	l.q.Src = q.Src.WithZone("")
	l.family = 6
	if l.q.Dst.Is4() {
		l.family = 4
	}
	if link, ok := f.LinkByName(l.q.Oif); ok {
		l.oif = link.Index
	} else if l.q.Oif != "" {
		return Result{Kind: NoRoute, Steps: []Step{{Why: "there is no device " + l.q.Oif}}}
	}
	l.rules()
	// An IPv4 socket bound to a device needs no route (ip_route_output_key_hash_rcu).
	// It asks for one all the same, but any refusal is overruled.
	if !l.out.Sent() && l.oif != 0 && l.family == 4 {
		l.out = Result{Kind: Unicast, Link: l.oif, Route: facts.Route{Dst: netip.PrefixFrom(l.q.Dst, 32), Link: l.oif, Scope: "link", Type: "unicast"}}
		l.step(facts.Rule{}, nil, true, "no route, but bound to %s: taken to be on the link", l.q.Oif)
	}
	l.out.Steps = l.steps
	if l.out.Sent() {
		l.out.Src = l.source()
	}
	return l.out
}

// Winner returns the route that an unbound packet to dst takes.
func Winner(f *facts.Facts, dst netip.Addr) (facts.Route, bool) {
	r := Lookup(f, Query{Dst: dst})
	return r.Route, r.Kind == Unicast
}

type lookup struct {
	f      *facts.Facts
	q      Query
	family int
	oif    int
	steps  []Step
	out    Result
}

func (l *lookup) step(r facts.Rule, route *facts.Route, taken bool, why string, args ...any) {
	l.steps = append(l.steps, Step{r, route, taken, fmt.Sprintf(why, args...)})
}

// rules walks the policy rules; without any (facts of a kernel without policy
// routing) the default ones.
func (l *lookup) rules() {
	var rules []facts.Rule
	for _, r := range l.f.Rules {
		if r.Family == l.family {
			rules = append(rules, r)
		}
	}
	if len(rules) == 0 {
		rules = []facts.Rule{
			{Family: l.family, Priority: 0, Table: tableLocal, Action: "lookup"},
			{Family: l.family, Priority: 32766, Table: 254, Action: "lookup"},
			{Family: l.family, Priority: 32767, Table: 253, Action: "lookup"},
		}
	}
	sort.SliceStable(rules, func(i, j int) bool { return rules[i].Priority < rules[j].Priority })
	for _, r := range rules {
		if !l.matches(r) {
			l.step(r, nil, false, "does not match")
			continue
		}
		switch r.Action {
		case "lookup":
			if l.table(r) {
				return
			}
		case string(Unreachable), string(Blackhole), string(Prohibit):
			l.step(r, nil, true, "refuses the packet")
			l.out = Result{Kind: Kind(r.Action), Rule: r}
			return
		default:
			l.step(r, nil, false, "is %s: goes on with the next", r.Action)
		}
	}
	l.out = Result{Kind: NoRoute}
}

// matches follows fib_rule_match, fib4_rule_match and fib6_rule_match.
func (l *lookup) matches(r facts.Rule) bool {
	iif := l.q.Iif
	if iif == "" {
		iif = "lo"
	}
	m := (r.Iif == "" || r.Iif == iif) &&
		(r.Oif == "" || r.Oif == l.q.Oif) &&
		(r.Mark^l.q.Mark)&r.Mask == 0 &&
		(!r.To.IsValid() || r.To.Contains(l.q.Dst)) &&
		(!r.From.IsValid() || r.From.Bits() == 0 || l.q.Src.IsValid() && r.From.Contains(l.q.Src))
	return m != r.Invert
}

// table looks into the table of a rule; false lets the next rule try.
func (l *lookup) table(rule facts.Rule) bool {
	var fit []facts.Route
	for _, r := range l.routes(rule.Table) {
		if r.Dst.Contains(l.q.Dst) && r.Dst.Addr().Is4() == (l.family == 4) {
			fit = append(fit, r)
		}
	}
	sort.SliceStable(fit, func(i, j int) bool {
		a, b := &fit[i], &fit[j]
		return cmp.Or(
			cmp.Compare(b.Dst.Bits(), a.Dst.Bits()),
			cmp.Compare(a.Metric, b.Metric),
			cmp.Compare(pref(b.Pref), pref(a.Pref)),
		) < 0
	})
	if len(fit) == 0 {
		l.step(rule, nil, false, "table %d has no route to %v", rule.Table, l.q.Dst)
		return false
	}
	taken := false
	for _, r := range fit {
		if taken {
			l.step(rule, &r, false, "loses: %s", l.loses(r))
			continue
		}
		hops := l.usable(r)
		if (r.Link != 0 || len(r.Hops) > 0) && len(hops) == 0 {
			l.step(rule, &r, false, "does not leave through %s", l.q.Oif)
			continue
		}
		if r.Type == "throw" {
			l.step(rule, &r, false, "throws: the next rule decides")
			return false
		}
		if rule.Suppresses && r.Dst.Bits() <= rule.Suppress && Kind(r.Type) == Unicast {
			l.step(rule, &r, false, "is suppressed: prefix length %d is not above %d", r.Dst.Bits(), rule.Suppress)
			return false
		}
		l.step(rule, &r, true, "longest prefix, lowest metric of table %d", rule.Table)
		taken = true
		l.out = Result{Kind: Kind(r.Type), Route: r, Rule: rule, Link: r.Link, Gateway: r.Gateway}
		if len(hops) > 0 {
			l.out.Link, l.out.Gateway = hops[0].Link, hops[0].Gateway
			if len(r.Hops) > 0 {
				l.out.Hops = hops
			}
		}
	}
	return taken
}

func (l *lookup) loses(r facts.Route) string {
	w := l.out.Route
	switch {
	case r.Dst.Bits() < w.Dst.Bits():
		return fmt.Sprintf("%v is a longer prefix", w.Dst)
	case r.Metric > w.Metric:
		return fmt.Sprintf("metric %d is higher than %d", r.Metric, w.Metric)
	case pref(r.Pref) < pref(w.Pref):
		return "lower router preference"
	}
	return "comes later with the same metric"
}

// pref orders router preferences (RFC 4191).
func pref(p string) int {
	switch p {
	case "high":
		return 1
	case "low":
		return -1
	}
	return 0
}

// usable returns the next hops through the bound device.
func (l *lookup) usable(r facts.Route) []facts.Hop {
	hops := r.Hops
	if len(hops) == 0 && r.Link != 0 {
		hops = []facts.Hop{{Gateway: r.Gateway, Link: r.Link}}
	}
	if l.oif == 0 {
		return hops
	}
	var out []facts.Hop
	for _, h := range hops {
		if h.Link == l.oif {
			out = append(out, h)
		}
	}
	return out
}

// routes returns a table. The table local is not in the facts; the addresses say
// what the kernel put there (fib_add_ifaddr, net/ipv4/fib_frontend.c).
func (l *lookup) routes(table uint32) []facts.Route {
	var out []facts.Route
	for _, r := range l.f.Routes {
		if r.Table == table {
			out = append(out, r)
		}
	}
	if table != tableLocal {
		return out
	}
	for _, a := range l.f.Addrs {
		link, _ := l.f.LinkByIndex(a.Link)
		addr := a.Prefix.Addr().Unmap()
		local := facts.Route{Dst: netip.PrefixFrom(addr, addr.BitLen()), Link: a.Link, Table: table, Type: string(Local), Src: addr, Proto: facts.ProtoKernel}
		if addr.Is6() {
			if !a.Tentative {
				local.Src = netip.Addr{}
				out = append(out, local)
			}
			continue
		}
		if !link.Up && len(l.f.Links) > 0 {
			continue
		}
		for _, p := range l.primaries(a.Link) { // a secondary address yields to its primary
			if p.Prefix.Masked() == a.Prefix.Masked() {
				local.Src = p.Prefix.Addr()
			}
		}
		out = append(out, local)
		bits := a.Prefix.Bits()
		if link.ARPHRD == arphrdLoopback {
			whole := local
			whole.Dst = netip.PrefixFrom(addr, bits).Masked()
			out = append(out, whole)
		} else if bits < 31 {
			b := local
			b.Dst = netip.PrefixFrom(lastOf(a.Prefix), 32)
			b.Type = string(Broadcast)
			out = append(out, b)
		}
	}
	return out
}

const arphrdLoopback = 772

// lastOf is the directed broadcast address of an IPv4 prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}
