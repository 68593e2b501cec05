package firewall

import (
	"slices"

	"github.com/provision-net/provision/routing/match"
)

// shadows finds rules that never decide anything, because an earlier one already decides all
// that they could. The other way round they contradict it: an error. Saying the same again is
// only worth a note.
func (r *resolver) shadows() {
	// Rules between other zones cover nothing of a rule, so each is compared with those only that
	// may, by the zones that it is between (nil: any, or this machine).
	type between struct{ from, to *zone }
	type asked struct {
		*rule
		span // what the rule can cover
	}
	earlier := map[between][]asked{}
	for _, b := range r.rules {
		earlier[between{b.from.zone, b.to.zone}] = nil
	}
	for _, b := range r.rules {
		list, needed := earlier[between{b.from.zone, b.to.zone}], needs(b.traffic)
		for i := range list {
			a := &list[i]
			if a.first > needed.first || a.last < needed.last || !a.covers(b) {
				continue
			}
			if a.action == b.action && sameNAT(a.rule, b) {
				r.note(b.path, "is never asked: %s already says the same for all of it", a.name())
			} else {
				r.fail(b.path, "is never asked and contradicts %s, which comes first and decides all of it: put this rule before it or leave it out", a.name())
			}
			break
		}
		entry := asked{b, gives(b.traffic)}
		for k, list := range earlier {
			if (b.from.zone == nil || b.from.zone == k.from) && (b.to.zone == nil || b.to.zone == k.to) {
				earlier[k] = append(list, entry)
			}
		}
	}
}

// span is from the lowest to the highest port: the ports of one rule are only among those of
// another within it, which alone tells most of the many pairs apart.
type span struct{ first, last uint16 }

// needs is the span of the ports that are named; it is empty where none is.
func needs(ts []traffic) span {
	s := span{first: 65535}
	for i := range ts {
		for _, p := range ts[i].ports {
			s.first, s.last = min(s.first, p.From), max(s.last, p.To)
		}
	}
	return s
}

// gives is the span of the ports that are covered: all of them where one protocol names none.
func gives(ts []traffic) span {
	if ts == nil || slices.ContainsFunc(ts, func(t traffic) bool { return len(t.ports) == 0 }) {
		return span{0, 65535}
	}
	return needs(ts)
}

func sameNAT(a, b *rule) bool {
	return a.conf.NATSource == b.conf.NATSource && a.conf.NATDestination == b.conf.NATDestination
}

// covers says that every packet that reaches b fits a as well.
func (a *rule) covers(b *rule) bool {
	if !a.from.begins(&b.from) || !a.to.ends(&b.to) || a.send != nil && b.send == nil {
		return false
	}
	// What tells rules apart most often comes first: the pairs are many.
	if a.traffic != nil && b.traffic == nil {
		return false
	}
	for i := range b.traffic {
		if a.traffic != nil && !coversOne(a.traffic, &b.traffic[i]) {
			return false
		}
	}
	for _, f := range b.families {
		if !slices.Contains(a.families, f) || !a.src.covers(&b.src, f) || !a.meets(b, f) {
			return false
		}
	}
	return true
}

func coversOne(ts []traffic, b *traffic) bool {
	for i := range ts {
		if ts[i].covers(b) {
			return true
		}
	}
	return false
}

// meets compares destinations as the rules see them: a rule that changes them is compared by
// what it takes, one that does not meets packets that were already changed.
func (a *rule) meets(b *rule, family int) bool {
	if a.send != nil || b.send == nil {
		return a.dst.covers(&b.dst, family)
	}
	t, changed := b.send.to[family]
	if !changed {
		return a.dst.covers(&b.dst, family)
	}
	if t.self || t.port != 0 && a.traffic != nil {
		return a.dst.any && a.traffic == nil
	}
	var after addrs
	after.add(t.all())
	return a.dst.covers(&after, family)
}

// begins says that everything that begins at b begins at a. Any is not this machine itself.
func (a *end) begins(b *end) bool {
	if a.any {
		return !b.self
	}
	return a.same(b)
}

// ends says that everything that ends at b ends at a. Any is this machine too.
func (a *end) ends(b *end) bool { return a.any || a.same(b) }

func (a *end) same(b *end) bool {
	if a.self || b.self || b.any {
		return a.self && b.self
	}
	return a.zone == b.zone && (a.iface == "" || a.iface == b.iface || b.iface != "" && match.Covers(a.iface, b.iface))
}
