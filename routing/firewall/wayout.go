package firewall

import (
	"slices"

	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/match"
)

// The way out where nobody has written a zone: a machine that shares its connection has no
// firewall because of that. What comes to it stays as it is; only those who asked are passed on,
// by every interface that is not one of theirs, and nobody reaches them unasked.

func wayOut(to string) string {
	if to == "" {
		return "the way out"
	}
	return to
}

// out settles where a forward leads. The way out are the zones that face outside.
func (r *resolver) out(f intent.Forward) {
	switch {
	case f.To != "":
		r.forwards = append(r.forwards, f)
		return
	case !r.walls:
		return
	}
	found := false
	for _, z := range r.zone {
		if z.outside && z.name != f.From {
			found = true
			to := f
			to.To = z.name
			r.forwards = append(r.forwards, to)
		}
	}
	if !found {
		r.fail("zones", "%s asks for a way out, but no zone faces outside: write for example zones: {outside: {interfaces: [wlan0]}}", f.Why)
	}
}

// reaches are the rules that let a forward through, where also fits as well.
func reaches(f intent.Forward, also ...words) []nft.Rule {
	var out []nft.Rule
	rule := func(ws ...words) {
		out = append(out, say(f.Why, append(append(ws, also...), match.Counter(), match.Accept())...))
	}
	for _, in := range namedInterfaces(f.Interfaces) {
		if len(f.Destinations) == 0 {
			rule(in)
		}
		for _, d := range f.Destinations {
			rule(in, match.DAddr(d))
		}
	}
	return out
}

// unmanaged is what comes to this machine where there is no firewall: everything is let in, but from
// zones that may not manage it only answers, pings and what is served there.
func (c *compiler) unmanaged() {
	to := map[*zone]string{}
	for _, z := range c.zone {
		if z.manage != "no" {
			continue
		}
		to[z] = "input." + z.name
		c.chain(to[z], nil, slices.Concat(
			[]nft.Rule{
				say("known connections", match.CtState(nft.StateEstablished|nft.StateRelated), match.Accept()),
				say("what IPv6 cannot do without", match.L4Proto(match.ICMPv6), match.Jump("ipv6-needs")),
			},
			c.offers(func(intent.Service) bool { return true }),
			c.ping(z),
			verdicts(reject, "zone "+z.name+" may not manage this machine", 0))...)
	}
	if len(to) > 0 {
		c.needs6()
		c.chain("input", base("filter", "input", prioFilter, "accept"), c.dispatch("input.zones", false, to)...)
	}
}

// comes are the words for what a forward is for: its interfaces, or all of the zone.
func (c *compiler) comes(f intent.Forward, z *zone) []words {
	if len(f.Interfaces) > 0 {
		return namedInterfaces(f.Interfaces)
	}
	return c.by(z, "", false)
}

// passOn is the forward chain without a firewall: its policy is to accept, because what goes
// between others is none of its business.
func (c *compiler) passOn() {
	rules := []nft.Rule{say("known connections", match.CtState(nft.StateEstablished|nft.StateRelated), match.Accept())}
	to := map[*zone]string{}
	var into []nft.Rule
	for _, z := range c.zone {
		for _, out := range c.by(z, "", true) {
			for _, f := range c.in.Forwards {
				if f.From == "" && f.To == z.name { // from an interface of no zone, which it names
					into = append(into, reaches(f, out)...)
				}
			}
			into = append(into, say("nobody reaches zone "+z.name+" unasked", out, match.Counter(), match.Drop()))
		}
	}
	for _, z := range c.zone {
		var in []nft.Rule
		for _, out := range c.zone {
			for _, by := range c.by(out, "", true) {
				for _, f := range c.in.Forwards {
					if f.From == z.name && f.To == out.name {
						in = append(in, reaches(f, by)...)
					}
				}
				in = append(in, verdicts(reject, "to zone "+out.name, 0, by)...)
			}
		}
		for _, f := range c.in.Forwards {
			if f.From == z.name && f.To == "" {
				in = append(in, reaches(f)...)
			}
		}
		to[z] = "forward." + z.name
		c.chain(to[z], nil, append(in, verdicts(reject, "zone "+z.name+": through this machine", 0)...)...)
	}
	rules = append(append(rules, c.dispatch("forward.zones", false, to)...), into...)
	c.chain("forward", base("filter", "forward", prioFilter, "accept"), rules...)
}

// hideOut hides who is passed on, by whatever interface it is.
func (c *compiler) hideOut() []nft.Rule {
	var out []nft.Rule
	if c.walls || !slices.ContainsFunc(c.in.Forwards, func(f intent.Forward) bool { return f.To == "" && f.NAT != "" && f.NAT != "no" }) {
		return nil
	}
	for _, z := range c.zone {
		for _, by := range c.by(z, "", true) {
			out = append(out, say("within and to zone "+z.name, by, match.Accept()))
		}
	}
	for _, f := range c.in.Forwards {
		z := c.named(f.From)
		if z == nil || f.NAT == "no" || f.NAT == "" || f.To != "" {
			continue
		}
		for _, in := range c.comes(f, z) {
			out = append(out, masquerade(f.Why, f.NAT == "yes", in)...)
		}
	}
	return out
}
