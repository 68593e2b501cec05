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
	earlier := map[between][]*rule{}
	for _, b := range r.rules {
		earlier[between{b.from.zone, b.to.zone}] = nil
	}
	for _, b := range r.rules {
		for _, a := range earlier[between{b.from.zone, b.to.zone}] {
			if !a.covers(b) {
				continue
			}
			if a.action == b.action && sameNAT(a, b) {
				r.note(b.path, "is never asked: %s already says the same for all of it", a.name())
			} else {
				r.fail(b.path, "is never asked and contradicts %s, which comes first and decides all of it: put this rule before it or leave it out", a.name())
			}
			break
		}
		for k, list := range earlier {
			if (b.from.zone == nil || b.from.zone == k.from) && (b.to.zone == nil || b.to.zone == k.to) {
				earlier[k] = append(list, b)
			}
		}
	}
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
