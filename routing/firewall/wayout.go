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

// reaches are the rules that let a forward through.
func reaches(f intent.Forward) []nft.Rule {
	var out []nft.Rule
	for _, in := range namedInterfaces(f.Interfaces) {
		if len(f.Destinations) == 0 {
			out = append(out, say(f.Why, in, match.Counter(), match.Accept()))
		}
		for _, d := range f.Destinations {
			out = append(out, say(f.Why, in, match.DAddr(d), match.Counter(), match.Accept()))
		}
	}
	return out
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
			into = append(into, say("nobody reaches zone "+z.name+" unasked", out, match.Counter(), match.Drop()))
		}
	}
	for _, z := range c.zone {
		var in []nft.Rule
		for _, out := range c.zone {
			for _, by := range c.by(out, "", true) {
				in = append(in, verdicts(reject, "to zone "+out.name, 0, by)...)
			}
		}
		for _, f := range c.in.Forwards {
			if f.From == z.name {
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
