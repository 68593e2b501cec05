package provision

import (
	"context"
	"errors"
	"fmt"
)

// read gets refs into have, each once: one dump per kind where the resource offers
// it. What is already in have is not read again. All errors are told at once; with
// bad they go there instead, by reference, and do not stand in each other's way.
func (e *Engine) read(ctx context.Context, refs []Ref, have map[Ref]Attrs, bad map[Ref]error) error {
	if e.Look != nil {
		ctx = e.Look(ctx)
	}
	var errs []error
	failed := func(r Ref, err error) {
		if bad != nil {
			bad[r] = err
			delete(have, r)
			return
		}
		errs = append(errs, err)
	}
	var kinds []string
	names := map[string][]string{}
	for _, r := range refs {
		if _, ok := have[r]; ok {
			continue
		}
		have[r] = nil
		if _, ok := names[r.Kind]; !ok {
			kinds = append(kinds, r.Kind)
		}
		names[r.Kind] = append(names[r.Kind], r.Name)
	}
	for _, kind := range kinds {
		res := e.Resources[kind]
		if l, ok := res.(Lister); ok && len(names[kind]) > 1 {
			all, err := l.List(ctx, names[kind])
			if err == nil {
				for _, n := range names[kind] {
					have[Ref{kind, n}] = all[n]
				}
				continue
			}
			if bad == nil {
				errs = append(errs, fmt.Errorf("cannot read %s: %w", kind, err))
				continue
			}
		}
		for _, n := range names[kind] {
			r := Ref{kind, n}
			if res == nil {
				failed(r, fmt.Errorf("cannot read %s: no such kind of state", r))
				continue
			}
			a, err := res.Get(ctx, n)
			if err != nil {
				failed(r, fmt.Errorf("cannot read %s: %w", r, err))
				continue
			}
			have[r] = a
		}
	}
	return errors.Join(errs...)
}

// step is one difference.
type step struct {
	*item
	n          int // place in the build-up order
	have, want Attrs
}

func (s step) op() Op {
	switch {
	case s.want == nil:
		return Delete
	case s.have == nil:
		return Create
	}
	return Update
}

// compare lists what differs, in build-up order.
func (e *Engine) compare(items []item, have map[Ref]Attrs) []step {
	var steps []step
	for i := range items {
		if s, ok := e.differs(&items[i], have[items[i].ref]); ok {
			s.n = i
			steps = append(steps, s)
		}
	}
	return steps
}

// differs compares one item. What exists only on its own account is not created
// by us.
func (e *Engine) differs(it *item, have Attrs) (step, bool) {
	if have == nil && it.want != nil && it.mode == IfPresent && it.whole == nil {
		return step{}, false
	}
	if have == nil && it.pruned && e.property(it.ref) {
		return step{}, false // gone with its bearer
	}
	cls := classesOf(e.Resources[it.ref.Kind])
	if !cls.differs(have, it.want) {
		return step{}, false
	}
	s := step{item: it, have: have, want: it.want}
	switch {
	case it.want == nil:
	case have != nil:
		s.want = cls.compared(it.want)
	case it.whole != nil:
		s.want = it.whole
	}
	return s, true
}

// inOrder puts creations and updates in build-up order before removals in reverse
// order: add before delete.
func inOrder(steps []step) []step {
	out := make([]step, 0, len(steps))
	for _, s := range steps {
		if s.want != nil {
			out = append(out, s)
		}
	}
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].want == nil {
			out = append(out, steps[i])
		}
	}
	return out
}
