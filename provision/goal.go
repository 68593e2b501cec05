package provision

import (
	"crypto/rand"
	"maps"
	"slices"
	"time"
)

// item is one reference and the value that a walk brings it to.
type item struct {
	ref    Ref
	want   Attrs // nil: absent
	whole  Attrs // what to create it with when it is missing; nil: want
	mode   Mode
	via    []string
	why    string
	pruned bool
}

// goal is a Desired seen in the light of the past: what was wanted last time and
// is not wanted now is part of it.
type goal struct {
	items    []item // in build-up order, nothing of mode Report
	holds    []Hold
	triggers []Trigger
	expect   []Want
	report   []Want // wants of mode Report
	notes    []Note
	foreign  []Ref // given up, but somebody else has changed it: left alone
	given    []Ref // no longer in the ledger when this is committed
}

// prunable returns what the last commit wanted, within the scope, and d does not.
func (e *Engine) prunable(d Desired, l *ledger) []ledgerRef {
	if l == nil {
		return nil
	}
	wanted := make(map[Ref]bool, len(d.Wants))
	for _, w := range d.Wants {
		if w.Mode != Report {
			wanted[w.Ref] = true
		}
	}
	var out []ledgerRef
	for _, r := range l.Refs {
		if !wanted[r.Ref.ref()] && e.within(r.Ref.ref()) {
			out = append(out, r)
		}
	}
	return out
}

// goal puts together what is wanted and what has to return to its first-seen value.
// Without force, what somebody else has changed since is left alone.
func (e *Engine) goal(d Desired, l *ledger, first, have map[Ref]Attrs, force bool) goal {
	g := goal{expect: d.Expect, notes: slices.Clone(d.Notes)}
	last := map[Ref]ledgerRef{}
	if l != nil {
		for _, r := range l.Refs {
			last[r.Ref.ref()] = r
		}
	}
	var items []item
	for _, w := range d.Wants {
		if w.Mode == Report {
			g.report = append(g.report, w)
			continue
		}
		it := item{ref: w.Ref, want: w.Attrs, mode: w.Mode, via: w.Via, why: w.Why}
		if r, ok := last[w.Ref]; ok {
			it.want = e.giveUpAttrs(&g, w, r, l.Key, first, have[w.Ref])
			if r.Last == nil && w.Attrs != nil && w.Mode == Must {
				it.whole = overlay(first[w.Ref], w.Attrs) // we removed it: give back what w does not speak of
			}
		}
		items = append(items, it)
	}
	pruned := map[Ref]item{}
	for _, r := range e.prunable(d, l) {
		ref := r.Ref.ref()
		g.given = append(g.given, ref)
		if it, ok := e.giveUp(&g, r, l.Key, first, have[ref], force); ok {
			pruned[ref] = it
		}
	}
	g.items = weave(items, pruned, l)
	g.triggers, g.holds = d.Triggers, d.Holds
	if len(pruned) > 0 {
		g.triggers = e.oldTriggers(d.Triggers, fromWireTriggers(l.Triggers), pruned)
		g.holds = e.oldHolds(d.Holds, fromWireHolds(l.Holds), pruned)
	}
	return g
}

// overlay returns base with attrs on top.
func overlay(base, attrs Attrs) Attrs {
	out := attrs.clone()
	for k, v := range base {
		if _, ok := attrs[k]; !ok {
			out[k] = v
		}
	}
	return out
}

// followed reports whether the daemon of a value that was only lent has given it another
// one than ours: that is what its files say now, or what its network does.
func (e *Engine) followed(r ledgerRef, key []byte, have Attrs) bool {
	d, ok := e.Resources[r.Ref.ref().Kind].(Delegate)
	return ok && d.Delegated() && r.Lent && !owned(r, key, have)
}

// lost reports whether a reference is in a state of a Loser.
func (e *Engine) lost(ref Ref, have Attrs) bool {
	l, ok := e.Resources[ref.Kind].(Loser)
	return ok && have != nil && l.Lost(ref.Name, have)
}

// property reports whether a reference is a Property.
func (e *Engine) property(ref Ref) bool {
	p, ok := e.Resources[ref.Kind].(Property)
	return ok && p.Property()
}

// giveUp decides about one reference that nobody wants any more.
func (e *Engine) giveUp(g *goal, r ledgerRef, key []byte, first map[Ref]Attrs, have Attrs, force bool) (item, bool) {
	ref := r.Ref.ref()
	cls := classesOf(e.Resources[ref.Kind])
	before, known := first[ref]
	leave := func(why string) (item, bool) {
		g.foreign = append(g.foreign, ref)
		g.notes = append(g.notes, Note{Level: "warning", Subject: ref.String(), Text: why})
		return item{}, false
	}
	if e.Resources[ref.Kind] == nil {
		return leave("left as it is: this program knows no such kind of state")
	}
	if r.Lent && (have == nil || before == nil) {
		return item{}, false
	}
	if have == nil && e.property(ref) {
		return item{}, false // gone with its bearer
	}
	if !known {
		return leave("left as it is: its first value is not known")
	}
	it := item{ref: ref, whole: before, why: "no longer wanted: back to what was there first", pruned: true}
	switch {
	case before == nil:
	case have == nil:
		it.want = before
	default:
		it.want = Attrs{}
		for k := range r.Last {
			it.want[k] = before[k]
		}
		if r.Last == nil { // we removed it
			it.want = before
		}
	}
	if !cls.differs(have, it.want) {
		return item{}, false
	}
	if !owned(r, key, have) && !force && !e.lost(ref, have) {
		if e.followed(r, key, have) {
			return item{}, false
		}
		return leave("left as it is: somebody else has changed it since")
	}
	if r.Lent {
		it.mode, it.whole = IfPresent, nil // never created by us
	}
	return it, true
}

// owned reports whether have is what was last written.
func owned(r ledgerRef, key []byte, have Attrs) bool {
	if r.Last == nil || have == nil {
		return r.Last == nil && have == nil
	}
	for k, d := range r.Last {
		if digest(key, r.Ref.ref(), k, have[k]) != d {
			return false
		}
	}
	return true
}

// giveUpAttrs returns the attributes to be set for w: its own, and the first-seen
// values of those that the last commit wrote and w no longer lists.
func (e *Engine) giveUpAttrs(g *goal, w Want, r ledgerRef, key []byte, first map[Ref]Attrs, have Attrs) Attrs {
	want, before := w.Attrs, first[w.Ref]
	if want == nil || have == nil || before == nil {
		return want
	}
	for k, d := range r.Last {
		if _, ok := w.Attrs[k]; ok || have[k] == before[k] {
			continue
		}
		if digest(key, w.Ref, k, have[k]) != d {
			g.notes = append(g.notes, Note{Level: "warning", Subject: w.Ref.String(),
				Text: "its " + k + " is no longer wanted and left as it is: somebody else has changed it since"})
			continue
		}
		if len(want) == len(w.Attrs) {
			want = want.clone()
		}
		want[k] = before[k]
	}
	return want
}

// weave puts what is given up behind its predecessor in the old build-up order, so
// that removal takes it down before what it stands on, and going back builds it up
// after.
func weave(items []item, pruned map[Ref]item, l *ledger) []item {
	if len(pruned) == 0 {
		return items
	}
	here := make(map[Ref]bool, len(items))
	for _, it := range items {
		here[it.ref] = true
	}
	after := map[Ref][]item{}
	var anchor Ref
	for _, r := range l.Refs {
		ref := r.Ref.ref()
		if here[ref] {
			anchor = ref
		} else if it, ok := pruned[ref]; ok {
			after[anchor] = append(after[anchor], it)
		}
	}
	out := make([]item, 0, len(items)+len(pruned))
	out = append(out, after[Ref{}]...)
	for _, it := range items {
		out = append(out, it)
		out = append(out, after[it.ref]...)
	}
	return out
}

// oldTriggers adds the triggers that the last commit had for what is given up now.
// A trigger of the same name is today's: it knows the daemon as it is today.
func (e *Engine) oldTriggers(now, old []Trigger, pruned map[Ref]item) []Trigger {
	out := slices.Clone(now)
	for _, t := range old {
		on := given(t.On, pruned)
		if len(on) == 0 || e.Actors[t.Do.Kind] == nil {
			continue
		}
		if i := slices.IndexFunc(out, func(o Trigger) bool { return o.Name == t.Name }); i >= 0 {
			out[i].On = union(slices.Clone(out[i].On), on)
			continue
		}
		t.On = on
		out = append(out, t)
	}
	return out
}

// oldHolds adds the holds that the last commit had for what is given up now. What one
// of them holds changes too, under those that were around it: the way back, which knows
// only what differs, could not restore it otherwise.
func (e *Engine) oldHolds(now, old []Hold, pruned map[Ref]item) []Hold {
	out := slices.Clone(now)
	moves := maps.Clone(pruned)
	for _, h := range old {
		if len(given(h.While, pruned)) > 0 {
			moves[h.Ref] = item{}
		}
	}
	for _, h := range old {
		while := given(h.While, moves)
		if _, ok := pruned[h.Ref]; ok {
			while = h.While // it is in the way of what stays as well, until it has gone
		}
		if len(while) == 0 || e.Resources[h.Ref.Kind] == nil {
			continue
		}
		if i := slices.IndexFunc(out, func(o Hold) bool { return o.Ref == h.Ref }); i >= 0 {
			out[i].While = union(slices.Clone(out[i].While), while)
			continue
		}
		h.While = while
		out = append(out, h)
	}
	return out
}

func given(refs []Ref, pruned map[Ref]item) []Ref {
	var out []Ref
	for _, r := range refs {
		if _, ok := pruned[r]; ok {
			out = append(out, r)
		}
	}
	return out
}

// nextLedger is what a commit of d writes. have is the machine as it is then.
func (e *Engine) nextLedger(d Desired, l *ledger, have map[Ref]Attrs, now time.Time) *ledger {
	next := &ledger{Time: now, Triggers: toWireTriggers(d.Triggers), Holds: toWireHolds(d.Holds), Refs: []ledgerRef{}}
	last := map[Ref]ledgerRef{}
	if l != nil {
		next.Seq, next.Key = l.Seq, l.Key
		for _, r := range l.Refs {
			last[r.Ref.ref()] = r
		}
	}
	if len(next.Key) == 0 {
		next.Key = make([]byte, 32)
		rand.Read(next.Key)
	}
	for _, w := range d.Wants {
		if w.Mode == Report {
			continue
		}
		r := ledgerRef{Ref: toWireRef(w.Ref), Lent: w.Mode == IfPresent}
		if r.Lent && have[w.Ref] == nil {
			if old, ok := last[w.Ref]; ok {
				next.Refs = append(next.Refs, old)
			}
			continue
		}
		if old, ok := last[w.Ref]; ok && !old.Lent {
			r.Lent = false // once created by us, always ours to remove
		}
		if w.Attrs != nil {
			r.Last = wireAttrs{}
			for k, v := range classesOf(e.Resources[w.Kind]).compared(w.Attrs) {
				r.Last[k] = digest(next.Key, w.Ref, k, v)
			}
		}
		next.Refs = append(next.Refs, r)
	}
	e.outside(next, l)
	return next
}

// wrote reports whether what is there is this program's own work.
func (e *Engine) wrote(ref Ref, have Attrs) bool {
	switch a := e.Resources[ref.Kind].(type) {
	case NamedAuthor:
		return a.WroteNamed(ref.Name, have)
	case Author:
		return a.Wrote(have)
	}
	return false
}

// firstSeen returns the first-seen values as they are once d is begun: those of
// the ledger, and the present values of what is wanted for the first time. It
// returns nil when nothing is new.
func (e *Engine) firstSeen(d Desired, l *ledger, first, have map[Ref]Attrs) map[Ref]Attrs {
	last := map[Ref]ledgerRef{}
	out := map[Ref]Attrs{}
	if l != nil {
		for _, r := range l.Refs {
			ref := r.Ref.ref()
			last[ref] = r
			if v, ok := first[ref]; ok {
				out[ref] = v
			}
		}
	}
	changed := len(out) != len(first)
	for _, w := range d.Wants {
		if w.Mode == Report {
			continue
		}
		r, ok := last[w.Ref]
		now := have[w.Ref]
		if !ok {
			if now == nil && w.Mode == IfPresent {
				continue
			}
			if now != nil && e.wrote(w.Ref, now) {
				now = nil
			}
			out[w.Ref] = now
			changed = true
			continue
		}
		if r.Last == nil || now == nil || out[w.Ref] == nil {
			continue
		}
		for k := range w.Attrs {
			if _, ok := r.Last[k]; !ok && out[w.Ref][k] != now[k] && classesOf(e.Resources[w.Kind]).of(k) != Initial {
				out[w.Ref] = out[w.Ref].clone()
				out[w.Ref][k] = now[k]
				changed = true
			}
		}
	}
	if !changed {
		return nil
	}
	return out
}
