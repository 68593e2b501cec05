package firewall

import (
	"slices"

	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/match"
)

// forward is what goes through this machine: first by the zone it comes from, then by the zone it
// goes to, so that a packet meets no rule of other pairs.
func (c *compiler) forward() {
	if !c.walls {
		c.passOn()
		return
	}
	rules := slices.Concat(
		[]nft.Rule{say("known connections", match.CtState(nft.StateEstablished|nft.StateRelated), match.Accept())},
		c.errors6(),
		[]nft.Rule{say("of no connection", match.CtState(nft.StateInvalid), match.Counter(), match.Drop())},
		noise(),
	)
	to := map[*zone]string{}
	for _, a := range c.zone {
		name := "forward." + a.name
		to[a] = name
		pairs := map[*zone]string{}
		for _, b := range c.zone {
			if in := c.pair(a, b); len(in) > 0 {
				pairs[b] = name + "." + b.name
				c.chain(pairs[b], nil, in...)
			}
		}
		in := c.dispatch(name+".zones", true, pairs)
		c.chain(name, nil, append(in, c.rest(a.forward, "forward "+a.name, "zone "+a.name+": through this machine", a.log)...)...)
	}
	rules = append(rules, c.dispatch("forward.zones", false, to)...)
	if c.p.Firewall.OtherInterfaces == allow {
		var into []nft.Rule
		for _, z := range c.zone {
			for _, out := range c.by(z, "", true) {
				into = append(into, say("interfaces of no zone: into zone "+z.name, out, match.Counter(), match.Drop()))
			}
		}
		rules = append(append(rules, into...), verdicts(allow, "interfaces of no zone", 0)...)
	} else {
		rules = append(rules, c.rest(deny, "forward no zone", "interfaces of no zone", true)...)
	}
	c.chain("forward", base("filter", "forward", prioFilter, "drop"), rules...)
}

// pair is what decides from one zone to another, in the order of the rules.
func (c *compiler) pair(a, b *zone) []nft.Rule {
	var out []nft.Rule
	for _, x := range c.rules {
		if x.to.self || !x.to.any && x.to.zone != b || x.send != nil && x.sendsToSelf() {
			continue
		}
		hairpin := x.hairpins(a, b)
		if !x.beginsIn(a) && !hairpin {
			continue
		}
		for _, in := range c.exactly(a, map[bool]end{false: x.from}[hairpin], false) {
			for _, o := range c.exactly(b, x.to, true) {
				out = append(out, c.filter(x, in, o)...)
			}
		}
	}
	for _, f := range c.forwards {
		if f.From == a.name && f.To == b.name {
			out = append(out, reaches(f)...)
		}
	}
	return out
}

// hairpins: who is in the same zone as a published server reaches it by the public address too.
func (x *rule) hairpins(a, b *zone) bool {
	return x.send != nil && a == b && x.to.zone == b && !x.beginsIn(a) && x.src.any && x.action == allow
}

// clamp lowers the segment size of TCP connections through this machine. The kernel takes the
// smaller of the routes to both ends (nft_rt.c), so one rule serves both directions.
func (c *compiler) clamp() {
	var rules []nft.Rule
	for _, z := range c.zone {
		if z.mss == 0 {
			continue
		}
		for _, out := range []bool{true, false} {
			for _, by := range c.by(z, "", out) {
				rules = append(rules, say("zone "+z.name+": mss", by, match.LowerMSS(z.mss)))
			}
		}
	}
	if c.p.Firewall.MSSClamp != "no" {
		rules = append(rules, say("mss-clamp", match.ClampMSS()))
	}
	if len(rules) > 0 {
		c.chain("segments", base("filter", "forward", prioMangle, "accept"), rules...)
	}
}
