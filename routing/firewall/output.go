package firewall

import (
	"slices"

	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/match"
)

// output is what this machine sends itself. Without a word about it there is no chain: it may.
func (c *compiler) output() {
	listed := c.p.Firewall.OwnTraffic == "listed"
	var own []nft.Rule
	for _, x := range c.rules {
		if !x.from.self {
			continue
		}
		if x.to.zone == nil {
			own = append(own, c.filter(x)...)
			continue
		}
		for _, out := range c.by(x.to.zone, x.to.iface, true) {
			own = append(own, c.filter(x, out)...)
		}
	}
	if !listed && len(own) == 0 {
		return
	}
	rules := []nft.Rule{
		say("this machine itself", match.OIFName("lo"), match.Accept()),
		say("known connections", match.CtState(nft.StateEstablished|nft.StateRelated), match.Accept()),
	}
	if !listed {
		c.chain("output", base("filter", "output", prioFilter, "accept"), append(rules, own...)...)
		return
	}
	rules = slices.Concat(rules, c.ownJobs(), own)
	rules = append(rules, c.rest(reject, "output", "own-traffic: listed", true)...)
	c.chain("output", base("filter", "output", prioFilter, "drop"), rules...)
}

// ownJobs is what a router sends to do its work: control messages, DHCP, answers of its servers
// that are no part of a connection (a reply to a broadcast), tunnels, and own-services.
func (c *compiler) ownJobs() []nft.Rule {
	ok := func(comment string, ws ...words) nft.Rule { return say(comment, append(ws, match.Accept())...) }
	out := []nft.Rule{
		ok("ICMP", match.NFProto(4), match.L4Proto(match.ICMP)),
		ok("ICMPv6", match.NFProto(6), match.L4Proto(match.ICMPv6)),
		ok("IGMP", match.NFProto(4), match.L4Proto(2)),
		ok("DHCP client", match.NFProto(4), match.SPort(match.UDP, 68), match.DPort(0, 67)),
		ok("DHCPv6 client", match.NFProto(6), match.SPort(match.UDP, 546), match.DPort(0, 547)),
	}
	for _, s := range c.in.Services {
		if s.Proto != "udp" || len(s.Ports) == 0 {
			continue
		}
		for _, o := range outNames(s.Interfaces) {
			out = append(out, ok("answers of "+s.Name, o, c.ports(match.UDP, mergePorts(single(s.Ports)), true)))
		}
	}
	for _, e := range c.in.Endpoints {
		proto, known := protocol(e.Proto)
		if !known || !e.Addr.IsValid() {
			continue
		}
		a := e.Addr.Unmap()
		var to addrs
		to.add(match.Range{From: a, To: a})
		word := match.L4Proto(proto)
		if hasPorts(proto) && e.Port != 0 {
			word = match.DPort(proto, e.Port)
		}
		out = append(out, ok("tunnel "+e.Tunnel, c.addr(to, match.Family(a), true), word))
	}
	for _, k := range c.kinds(c.own, 0) {
		out = append(out, say("own-services", k.word, match.Counter(), match.Accept()))
	}
	return out
}

func outNames(names []string) []words {
	if len(names) == 0 {
		return []words{nil}
	}
	var out []words
	for _, n := range names {
		out = append(out, match.OIFName(n))
	}
	return out
}

// spoofing drops packets whose sender is not where they come from. Who has no IPv6 address yet has
// no route and is let by; for IPv4 the kernel sees to DHCP itself (nft_fib4_eval).
func (c *compiler) spoofing() {
	var jump []nft.Rule
	for _, z := range c.zone {
		if !z.antiSpoofing {
			continue
		}
		for _, in := range c.by(z, "", false) {
			jump = append(jump, say("zone "+z.name+": anti-spoofing", in, match.Jump("spoofed")))
		}
	}
	if len(jump) == 0 {
		return
	}
	rules := []nft.Rule{
		say("IPv6 of a machine without an address", match.SAddr(none(6)), match.L4Proto(match.ICMPv6), match.Return()),
	}
	spoofed := match.NoReversePath()
	rules = append(rules, c.logRefused("spoofed", 0, spoofed)...)
	rules = append(rules, say("anti-spoofing", spoofed, match.Counter(), match.Drop()))
	c.chain("spoofed", nil, rules...)
	c.chain("anti-spoofing", base("filter", "prerouting", prioSpoofing, "accept"), jump...)
}
