package firewall

import (
	"net/netip"
	"slices"

	"github.com/provision-net/provision/routing/match"
)

// settle judges a rule as a whole: what its fields mean together.
func (r *resolver) settle(x *rule) {
	x.families = nil
	for _, f := range []int{4, 6} {
		if x.src.has(f) && x.dst.has(f) && x.speaks(f) && (x.send == nil || x.carries(f)) {
			x.families = append(x.families, f)
		}
	}
	p := x.path
	if len(x.families) == 0 {
		switch {
		case x.send != nil && x.src.has(4) == x.src.has(6):
			r.fail(p+".nat-destination", "is of one family and destination of the other: a packet cannot change its family")
		default:
			r.fail(p, "never fits: source, destination and port have no family in common (IPv4 or IPv6)")
		}
		return
	}
	switch {
	case x.from.self && x.to.self:
		r.fail(p+".destination-interface", "what this machine sends to itself is always allowed: leave the rule out")
	case x.from.self && x.send != nil:
		r.fail(p+".nat-destination", "cannot be changed for what this machine sends itself")
	case x.action != allow && x.hide != nil && !x.hide.no:
		r.fail(p+".nat-source", "makes no sense with action %s: the packet goes nowhere", x.action)
	case x.action != allow && x.send != nil:
		r.fail(p+".nat-destination", "makes no sense with action %s: the packet goes nowhere", x.action)
	case x.hide != nil && !x.hide.no && x.to.self:
		r.fail(p+".nat-source", "makes no sense for what goes to this machine: sources are changed where packets leave")
	case x.hide != nil && !x.hide.no && x.to.any && len(r.zone) > 1:
		r.fail(p+".nat-source", "needs a destination-interface: without it packets to the inside would be hidden too")
	}
	if x.hide != nil {
		for _, f := range []int{4, 6} {
			if t, ok := x.hide.to[f]; ok && !t.auto && !slices.Contains(x.families, f) {
				r.fail(p+".nat-source", "has an IPv%d address, but the rule has no IPv%d packet: a packet cannot change its family", f, f)
			}
		}
	}
	if x.send != nil {
		r.settleSend(x)
	}
	r.prefixes(x)
}

// speaks says whether the rule's protocols exist in the family.
func (x *rule) speaks(family int) bool {
	return x.traffic == nil || slices.ContainsFunc(x.traffic, func(t traffic) bool { return t.family() == 0 || t.family() == family })
}

// carries says what becomes of a family in a rule with nat-destination: it is sent elsewhere,
// or goes on untouched because destination names addresses of it. A destination that is any
// does not: that would open everything behind the router.
func (x *rule) carries(family int) bool {
	_, named := x.send.to[family]
	return named || !x.dst.any
}

func (r *resolver) settleSend(x *rule) {
	p := x.path + ".nat-destination"
	self := false
	for _, f := range []int{4, 6} {
		t, ok := x.send.to[f]
		if !ok {
			continue
		}
		self = self || t.self
		if !slices.Contains(x.families, f) && !t.self {
			r.fail(p, "has an IPv%d address, but the rule has no IPv%d packet: a packet cannot change its family", f, f)
		}
		if t.port == 0 {
			continue
		}
		if x.traffic == nil {
			r.fail(p, "has a port, so the rule needs to say of which protocol: port: [tcp/%d]", t.port)
		}
		for _, w := range x.traffic {
			switch {
			case !hasPorts(w.proto):
				r.fail(p, "has a port, but the rule's protocol has none")
			case len(w.ports) != 1 || w.ports[0].From != w.ports[0].To:
				r.fail(p, "has one port for several: leave the port out, and every port keeps its number, or write a rule for each")
			}
		}
	}
	if !self && x.to.any {
		r.note(x.path+".nat-destination", "without destination-interface, clients on the server's own side do not reach it by the published address")
	}
	switch {
	case self && x.to.zone != nil:
		r.fail(x.path+".destination-interface", "is %s, but nat-destination is this machine: write self", x.conf.DestinationInterface)
	case !self && x.to.self:
		r.fail(x.path+".destination-interface", "is self, but nat-destination is another machine: name the zone that it is in")
	}
}

// prefixes holds a translation of prefixes to equal lengths.
func (r *resolver) prefixes(x *rule) {
	check := func(path string, a addrs, t target, family int) {
		if !t.prefix.IsValid() {
			return
		}
		rs := a.of(family)
		if len(rs) != 1 || !isPrefix(rs[0], t.prefix.Bits()) {
			r.fail(path, "is a prefix of length %d, so the rule needs exactly one prefix of the same length to translate", t.prefix.Bits())
		}
	}
	if x.hide != nil {
		for f := range families(x.hide.to) {
			check(x.path+".nat-source", x.src, x.hide.to[f], f)
		}
	}
	if x.send != nil {
		for f := range families(x.send.to) {
			check(x.path+".nat-destination", x.dst, x.send.to[f], f)
		}
	}
}

// isPrefix says whether the range is a prefix of that length.
func isPrefix(r match.Range, bits int) bool {
	p, err := r.From.Prefix(bits)
	return err == nil && p.Addr() == r.From && match.LastOf(p) == r.To
}

// asPrefix is the prefix that a range is, if it is one.
func asPrefix(r match.Range) (netip.Prefix, bool) {
	for bits := range r.From.BitLen() + 1 {
		if isPrefix(r, bits) {
			return netip.PrefixFrom(r.From, bits), true
		}
	}
	return netip.Prefix{}, false
}
