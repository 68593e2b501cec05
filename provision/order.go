package provision

import (
	"slices"
)

type opKind int

const (
	opStep opKind = iota
	opHold
	opRelease
	opTrigger
)

// op is one thing to be done in a pass.
type op struct {
	kind opKind
	step step // opStep
	i    int  // index of the hold or trigger
}

// ops puts the steps of a pass in order, with holds around what they protect and
// each trigger right behind the last change of what it depends on.
func (w *walk) ops(steps []step) []op {
	touching := map[Ref]bool{} // what may take holds and triggers into action
	for _, s := range steps {
		if !w.pending[s.ref] {
			touching[s.ref] = true
		}
	}
	active := map[int]bool{}
	held := map[Ref]bool{}
	for i, h := range w.holds {
		for _, r := range h.While {
			if touching[r] && r != h.Ref {
				active[i], held[h.Ref] = true, true
				break
			}
		}
	}
	var steady []step
	for _, s := range steps {
		if !held[s.ref] || w.have[s.ref] == nil { // else the release brings it to its value
			steady = append(steady, s)
		}
	}
	seq := w.order(steady, active)
	first, last := map[int]int{}, map[int]int{}
	for n, s := range seq {
		for i := range w.holds {
			if active[i] && slices.Contains(w.holds[i].While, s.ref) {
				if _, ok := first[i]; !ok {
					first[i] = n
				}
				last[i] = n
			}
		}
	}
	var ops []op
	for n, s := range seq {
		for i := range w.holds {
			if f, ok := first[i]; ok && f == n {
				ops = append(ops, op{kind: opHold, i: i})
			}
		}
		ops = append(ops, op{kind: opStep, step: s})
		for i := len(w.holds) - 1; i >= 0; i-- {
			if l, ok := last[i]; ok && l == n {
				ops = append(ops, op{kind: opRelease, i: i})
			}
		}
	}
	return w.withTriggers(ops, touching)
}

// order is inOrder, except that what is removed under a hold goes before what is
// built up behind it: an address cannot wait for a function to be removed while the
// gadget that carries it is held unbound.
func (w *walk) order(steps []step, active map[int]bool) []step {
	seq := inOrder(steps)
	for i := range w.holds {
		if !active[i] {
			continue
		}
		var under, rest []step
		last := -1
		for _, s := range seq {
			in := slices.Contains(w.holds[i].While, s.ref)
			if in {
				last = max(last, s.n)
			}
			if in && s.want == nil {
				under = append(under, s)
			} else {
				rest = append(rest, s)
			}
		}
		at := slices.IndexFunc(rest, func(s step) bool { return s.want == nil || s.n > last })
		if at < 0 {
			at = len(rest)
		}
		seq = slices.Concat(rest[:at], under, rest[at:])
	}
	return seq
}

// withTriggers inserts the triggers. What is owed already and touched by nothing in
// this pass comes first: later steps must see the world after it.
func (w *walk) withTriggers(ops []op, touching map[Ref]bool) []op {
	behind := map[int][]op{}
	for i, t := range w.triggers {
		at := -1
		for n, o := range ops {
			if w.touches(o, t, touching) {
				at = n
			}
		}
		if at >= 0 || w.dirty[i] {
			behind[at] = append(behind[at], op{kind: opTrigger, i: i})
		}
	}
	if len(behind) == 0 {
		return ops
	}
	out := append(make([]op, 0, len(ops)+len(w.triggers)), behind[-1]...)
	for n, o := range ops {
		out = append(out, o)
		out = append(out, behind[n]...)
	}
	return out
}

func (w *walk) touches(o op, t Trigger, touching map[Ref]bool) bool {
	switch o.kind {
	case opStep:
		return touching[o.step.ref] && slices.Contains(t.On, o.step.ref)
	case opHold, opRelease:
		return slices.Contains(t.On, w.holds[o.i].Ref)
	}
	return false
}
