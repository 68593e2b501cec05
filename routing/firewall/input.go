package firewall

import (
	"slices"

	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/match"
)

// input is what comes to this machine.
func (c *compiler) input() {
	rules := slices.Concat(
		[]nft.Rule{
			say("this machine itself", match.IIFName("lo"), match.Accept()),
			say("known connections", match.CtState(nft.StateEstablished|nft.StateRelated), match.Accept()),
			say("what IPv6 cannot do without", match.L4Proto(match.ICMPv6), match.Jump("ipv6-needs")),
			say("of no connection", match.CtState(nft.StateInvalid), match.Counter(), match.Drop()),
		},
		c.groupWork(),
		noise(),
		c.management(),
		c.offers(func(s intent.Service) bool { return !s.Multicast }),
		c.tunnels(),
	)
	to := map[*zone]string{}
	for _, z := range c.zone {
		name := "input." + z.name
		to[z] = name
		in := c.ping(z)
		for _, x := range c.rules {
			if x.send != nil && !x.sendsToSelf() || !x.to.self && !x.to.any || !x.beginsIn(z) || c.isEarly(x) {
				continue
			}
			for _, also := range c.exactly(z, x.from, false) {
				in = append(in, c.filter(x, also)...)
			}
		}
		c.chain(name, nil, append(in, c.rest(z.input, "input "+z.name, "zone "+z.name+": to this machine", z.log)...)...)
	}
	rules = append(rules, c.dispatch("input.zones", false, to)...)
	if c.p.Firewall.OtherInterfaces == allow {
		rules = append(rules, verdicts(allow, "interfaces of no zone", 0)...)
	} else {
		rules = append(rules, c.rest(deny, "input no zone", "interfaces of no zone", true)...)
	}
	c.needs6()
	c.chain("input", base("filter", "input", prioFilter, "drop"), rules...)
}

// beginsIn says whether packets from the zone can fit the rule.
//
//go:noinline
func (x *rule) beginsIn(z *zone) bool { return x.from.any || x.from.zone == z }

// exactly is the word for a rule that is for one interface of the zone: none if it is for all.
func (c *compiler) exactly(z *zone, e end, out bool) []words {
	if e.iface == "" {
		return []words{nil}
	}
	return c.by(z, e.iface, out)
}

func (x *rule) sendsToSelf() bool {
	for _, t := range x.send.to {
		if t.self {
			return true
		}
	}
	return false
}

// noise is dropped without a word: what is said to everybody, and is nobody's here. The routing
// tables know it on devices without a link layer too, which pkttype does not.
func noise() []nft.Rule {
	var out []nft.Rule
	for _, typ := range []uint32{match.Broadcast, match.Multicast} {
		out = append(out, say("noise", match.FibDaddrType(typ), match.Drop()))
	}
	return out
}

// groupWork is what needs broadcast or multicast, and so comes before noise is dropped.
func (c *compiler) groupWork() []nft.Rule {
	out := []nft.Rule{
		say("DHCP client", match.NFProto(4), match.SPort(match.UDP, 67), match.DPort(0, 68), match.Accept()),
		say("DHCPv6 client", match.SAddr(linkLocal()), match.SPort(match.UDP, 547), match.DPort(0, 546), match.Accept()),
	}
	for _, z := range c.zone {
		if z.outside {
			continue
		}
		// Without an answer to the querier, switches that listen in keep multicast from us.
		for _, in := range c.by(z, "", false) {
			out = append(out, say("IGMP", in, match.NFProto(4), match.L4Proto(2), match.FibDaddrType(match.Multicast), match.Accept()))
		}
	}
	out = append(out, c.offers(func(s intent.Service) bool { return s.Multicast })...)
	for _, x := range c.rules {
		if !c.isEarly(x) {
			continue
		}
		for _, z := range c.zone {
			if !x.beginsIn(z) {
				continue
			}
			for _, in := range c.by(z, x.from.iface, false) {
				out = append(out, c.filter(x, in)...)
			}
		}
	}
	return out
}

// isEarly: a rule that speaks of nothing but broadcast and multicast addresses would come too
// late behind the rule that drops noise.
func (c *compiler) isEarly(x *rule) bool {
	return (x.to.self || x.to.any) && x.send == nil && x.dst.within(c.everybody())
}

// management lets this machine be managed from zones that have it.
func (c *compiler) management() []nft.Rule {
	var out []nft.Rule
	for _, z := range c.zone {
		if !z.management {
			continue
		}
		for _, in := range c.by(z, "", false) {
			for _, f := range []int{4, 6} {
				if !c.admins.has(f) || c.admins.any && f == 6 {
					continue
				}
				if c.admins.any {
					f = 0
				}
				for _, k := range c.kinds(c.mgmt, f) {
					out = append(out, say("management from zone "+z.name, in, c.addr(c.admins, f, false), k.word, match.Counter(), match.Accept()))
				}
			}
		}
	}
	return out
}

// offers lets in what other parts of the program serve.
func (c *compiler) offers(which func(intent.Service) bool) []nft.Rule {
	var out []nft.Rule
	for _, s := range c.in.Services {
		proto, ok := protocol(s.Proto)
		if !ok || !which(s) {
			continue
		}
		comment := s.Name
		if s.Why != "" {
			comment += " (" + s.Why + ")"
		}
		from := addrs{any: len(s.From) == 0}
		for _, p := range s.From {
			from.add(match.RangeOf(p))
		}
		from.v4, from.v6 = match.Merge(from.v4), match.Merge(from.v6)
		ports := mergePorts(single(s.Ports))
		for _, in := range namedInterfaces(s.Interfaces) {
			for _, f := range familiesOf(s.Family, from) {
				var family words
				if f != 0 {
					family = match.NFProto(f)
				}
				out = append(out, say(comment, in, family, c.addr(from, f, false), c.ports(proto, ports, false), match.Counter(), match.Accept()))
			}
		}
	}
	return out
}

// familiesOf lists what rules are needed for: 0 is one rule for both.
func familiesOf(family int, from addrs) []int {
	if family == 0 && from.any {
		return []int{0}
	}
	var out []int
	for _, f := range []int{4, 6} {
		if (family == 0 || family == f) && from.has(f) {
			out = append(out, f)
		}
	}
	return out
}

func namedInterfaces(names []string) []words {
	if len(names) == 0 {
		return []words{nil}
	}
	var out []words
	for _, n := range names {
		out = append(out, match.IIFName(n))
	}
	return out
}

// tunnels lets outer packets of tunnels in that have no ports: connection tracking forgets a
// quiet one in minutes, and the other end may speak first.
func (c *compiler) tunnels() []nft.Rule {
	var out []nft.Rule
	for _, e := range c.in.Endpoints {
		proto, ok := protocol(e.Proto)
		if !ok || hasPorts(proto) || !e.Addr.IsValid() {
			continue
		}
		a := e.Addr.Unmap()
		var from addrs
		from.add(match.Range{From: a, To: a})
		out = append(out, say("tunnel "+e.Tunnel, c.addr(from, match.Family(a), false), match.L4Proto(proto), match.Counter(), match.Accept()))
	}
	return out
}
