package provision

import (
	"errors"
	"fmt"
	"slices"
)

// within reports whether a reference is this engine's to look at and to change.
func (e *Engine) within(r Ref) bool { return e.Scope == nil || e.Scope(r) }

// checkScope refuses a goal that reaches beyond the scope.
func (e *Engine) checkScope(d Desired) error {
	if e.Scope == nil {
		return nil
	}
	var errs []error
	for _, w := range d.Wants {
		if !e.Scope(w.Ref) {
			errs = append(errs, fmt.Errorf("cannot want %s: it is outside the scope of this run", w.Ref))
		}
	}
	for _, h := range d.Holds {
		if !e.Scope(h.Ref) {
			errs = append(errs, fmt.Errorf("cannot hold %s: it is outside the scope of this run", h.Ref))
		}
	}
	return errors.Join(errs...)
}

// strangers refuses to go on while an earlier run of a wider scope could not be undone:
// this one's snapshot would not take over what that one owes.
func (b *earlier) strangers(e *Engine) error {
	if e.Scope == nil {
		return nil
	}
	var refs []Ref
	for _, j := range b.journals {
		for _, en := range j.snap.Entries {
			if r := en.Ref.ref(); !e.Scope(r) && !slices.Contains(refs, r) {
				refs = append(refs, r)
			}
		}
	}
	if len(refs) == 0 {
		return nil
	}
	return &StuckError{Refs: refs, Back: errors.New("an earlier apply is still to be undone, and this one speaks of a part only")}
}

// outside adds to next what the last commit said of references outside the scope:
// they stand, in their old places, and so do their triggers and holds.
func (e *Engine) outside(next, last *ledger) {
	if e.Scope == nil || last == nil {
		return
	}
	here := make(map[wireRef]bool, len(next.Refs))
	for _, r := range next.Refs {
		here[r.Ref] = true
	}
	after := map[wireRef][]ledgerRef{}
	var anchor wireRef
	for _, r := range last.Refs {
		if here[r.Ref] {
			anchor = r.Ref
		} else if !e.Scope(r.Ref.ref()) {
			after[anchor] = append(after[anchor], r)
		}
	}
	refs := append([]ledgerRef{}, after[wireRef{}]...)
	for _, r := range next.Refs {
		refs = append(refs, r)
		refs = append(refs, after[r.Ref]...)
	}
	next.Refs = refs
	for _, t := range last.Triggers {
		on := e.strange(t.On)
		if len(on) == 0 {
			continue
		}
		if i := slices.IndexFunc(next.Triggers, func(n wireTrigger) bool { return n.Name == t.Name }); i >= 0 {
			next.Triggers[i].On = unionWire(next.Triggers[i].On, on)
			continue
		}
		t.On = on
		next.Triggers = append(next.Triggers, t)
	}
	for _, h := range last.Holds {
		while := e.strange(h.While)
		if len(while) == 0 {
			continue
		}
		if i := slices.IndexFunc(next.Holds, func(n wireHold) bool { return n.Ref == h.Ref }); i >= 0 {
			next.Holds[i].While = unionWire(next.Holds[i].While, while)
			continue
		}
		h.While = while
		next.Holds = append(next.Holds, h)
	}
}

// strange returns those of refs that are outside the scope.
func (e *Engine) strange(refs []wireRef) []wireRef {
	var out []wireRef
	for _, r := range refs {
		if !e.Scope(r.ref()) {
			out = append(out, r)
		}
	}
	return out
}

func unionWire(a, b []wireRef) []wireRef {
	a = slices.Clone(a)
	for _, r := range b {
		if !slices.Contains(a, r) {
			a = append(a, r)
		}
	}
	return a
}
