package firewall

import (
	"net/netip"

	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/match"
)

// none is the address of a machine that has none yet.
func none(family int) netip.Prefix {
	if family == 6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 128)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 32)
}

// publish changes destinations: of what comes in, and of what this machine itself sends to an
// address that it publishes.
func (c *compiler) publish() {
	var in, own []nft.Rule
	for _, x := range c.rules {
		if x.send == nil {
			continue
		}
		for _, f := range x.families {
			t, changed := x.changed(f)
			if !changed {
				continue
			}
			to := t.destination()
			src := c.addr(x.src, f, false)
			for _, k := range c.kinds(x.traffic, f) {
				add := func(list *[]nft.Rule, iface, dst words) {
					*list = append(*list, say(x.name(), iface, match.NFProto(f), src, dst, k.word, match.Counter(), to))
				}
				for _, w := range c.arrivals(x, f) {
					add(&in, w[0], w[1])
				}
				if x.src.any && !x.dst.any && !t.self {
					add(&own, nil, c.addr(x.dst, f, true))
				}
			}
		}
	}
	if len(in) > 0 {
		c.chain("publish", base("nat", "prerouting", prioDstNAT, "accept"), in...)
	}
	if len(own) > 0 {
		c.chain("publish-own", base("nat", "output", prioDstNAT, "accept"), own...)
	}
}

// arrivals are the words for the interface and the address by which a published server is asked.
func (c *compiler) arrivals(x *rule, family int) [][2]words {
	dst := c.published(x, family)
	z := x.to.zone
	if z == nil || !x.dst.any || x.send.to[family].self {
		var out [][2]words
		for _, in := range c.where(x.from) {
			out = append(out, [2]words{in, dst})
		}
		if z != nil && x.hairpins(z, z) {
			for _, in := range c.by(z, "", false) {
				out = append(out, [2]words{in, dst})
			}
		}
		return out
	}
	// No address is named: any of this machine's, but on the server's own side not the one that
	// it has there, by which its own services are reached.
	var out [][2]words
	for _, from := range c.zone {
		if from == z || !x.beginsIn(from) {
			continue
		}
		for _, in := range c.by(from, x.from.iface, false) {
			out = append(out, [2]words{in, dst})
		}
	}
	if x.turnsBack() {
		for _, in := range c.by(z, "", false) {
			out = append(out, [2]words{in, match.Join(dst, elsewhere())})
		}
	}
	return out
}

// turnsBack: clients of the server's own zone reach it by the public address, and their
// packets leave by where they came in.
func (x *rule) turnsBack() bool {
	z := x.to.zone
	return z != nil && x.send != nil && (x.beginsIn(z) || x.hairpins(z, z))
}

// where are the words for where a rule begins, one rule each: none for any zone.
func (c *compiler) where(e end) []words {
	if e.zone == nil {
		return []words{nil}
	}
	return c.by(e.zone, e.iface, false)
}

// published is the word for the address that is published: whichever this machine has, when
// the rule names none, so that it may change.
func (c *compiler) published(x *rule, family int) words {
	if !x.dst.any {
		return c.addr(x.dst, family, true)
	}
	if t := x.send.to[family]; t.self {
		return nil // redirected wherever it goes: a local resolver for everybody
	}
	return match.FibDaddrType(match.Local)
}

// elsewhere holds for addresses that the incoming interface does not have.
func elsewhere() words {
	w := match.Not(match.FibDaddrType(match.Local))
	w[0] = nft.Expr{Fib: &nft.Fib{Result: "type", Flags: []string{"daddr", "iif"}, Reg: 1}}
	return w
}

// destination is the word that changes it.
func (t target) destination() words {
	switch {
	case t.self:
		return match.Redirect(t.port)
	case t.prefix.IsValid():
		return match.DNATPrefix(t.prefix)
	case t.port != 0:
		return match.DNAT(t.addrs.From, t.port)
	}
	return match.DNAT(t.addrs.From)
}

// hideSources changes sources where packets leave: first as rules say, then for clients that
// reach a published server from its own side, then as other parts ask, then as zones say. The
// incoming interface is known there since Linux 5.7; before, rules that ask for it never fit.
func (c *compiler) hideSources() {
	var rules []nft.Rule
	for _, x := range c.rules {
		rules = append(rules, c.hideRule(x)...)
	}
	for _, x := range c.rules {
		if !x.turnsBack() {
			continue
		}
		for _, in := range c.by(x.to.zone, "", false) {
			for _, out := range c.by(x.to.zone, x.to.iface, true) {
				for f := range families(x.send.to) {
					rules = append(rules, say(x.name(), in, out, match.CtStatus(nft.StatusDNAT), c.sentTo(x.send.to[f], f), match.Masquerade(f)))
				}
			}
		}
	}
	rules = append(rules, c.hideOut()...)
	for _, f := range c.forwards {
		a, b := c.named(f.From), c.named(f.To)
		if a == nil || b == nil || f.NAT == "no" || f.NAT == "" {
			continue
		}
		for _, in := range c.comes(f, a) {
			for _, out := range c.by(b, "", true) {
				rules = append(rules, masquerade(f.Why, f.NAT == "yes", in, out)...)
			}
		}
	}
	for _, z := range c.zone {
		for _, out := range c.by(z, "", true) {
			comment := "zone " + z.name + ": masquerade"
			switch {
			case z.masq6 == "yes":
				rules = append(rules, masquerade(comment, true, out)...)
			case z.masq6 == "auto":
				rules = append(rules, masquerade(comment, false, out)...)
			case z.masq4:
				rules = append(rules, say(comment, out, match.Masquerade(4)))
			}
		}
	}
	if len(rules) > 0 {
		c.chain("hide", base("nat", "postrouting", prioSrcNAT, "accept"), rules...)
	}
}

// families gives what a map by family has, in order.
func families(to map[int]target) func(func(int) bool) {
	return func(yield func(int) bool) {
		for _, f := range []int{4, 6} {
			if _, ok := to[f]; ok && !yield(f) {
				return
			}
		}
	}
}

func uniqueLocal() netip.Prefix { return netip.MustParsePrefix("fc00::/7") }

// masquerade hides IPv4, and IPv6 wholly or only what the internet could not answer.
func masquerade(comment string, all6 bool, when ...words) []nft.Rule {
	w := match.Join(when...)
	six := match.SAddr(uniqueLocal())
	if all6 {
		six = nil
	}
	return []nft.Rule{say(comment, w, match.Masquerade(4)), say(comment, w, six, match.Masquerade(6))}
}

// hideRule is one rule's nat-source. Its no ends the chain, before the zone is asked.
func (c *compiler) hideRule(x *rule) []nft.Rule {
	if x.hide == nil || x.action != allow || x.to.self {
		return nil
	}
	var out []nft.Rule
	outs := []words{nil}
	if x.to.zone != nil {
		outs = c.by(x.to.zone, x.to.iface, true)
	}
	for _, in := range c.where(x.from) {
		if x.from.self {
			in = words{{Fib: &nft.Fib{Result: "type", Flags: []string{"saddr"}, Reg: 1}}, match.FibDaddrType(match.Local)[1]}
		}
		for _, o := range outs {
			for _, f := range x.families {
				t := x.hide.to[f]
				end := match.Accept()
				switch {
				case x.hide.no:
				case t.auto:
					end = match.Masquerade(f)
				case t.prefix.IsValid():
					end = match.SNATPrefix(t.prefix)
				case t.addrs.From.IsValid():
					end = match.SNAT(t.addrs.From, t.addrs.To)
				default:
					continue // nothing is said of this family
				}
				ula := !x.src.any && (&addrs{v6: []match.Range{match.RangeOf(uniqueLocal())}}).covers(&x.src, 6)
				if t.ula && !ula && !x.src.overlaps(match.RangeOf(uniqueLocal())) {
					continue // none of its sources needs to be hidden
				}
				one := *x
				one.families = []int{f}
				c.each(&one, func(k kind, ws ...words) {
					ws = append([]words{in, o, match.NFProto(f)}, ws...)
					if t.ula && !ula {
						ws = append(ws, match.SAddr(uniqueLocal()))
					}
					out = append(out, say(x.name(), append(ws, end)...))
				})
			}
		}
	}
	return out
}
