package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// hold brings a reference into the state in which others may be changed. What does
// not exist cannot be in the way.
func (p *pass) hold(ctx context.Context, h Hold) error {
	for again := true; ; again = false {
		have, err := p.e.Resources[h.Ref.Kind].Get(ctx, h.Ref.Name)
		if err != nil {
			return fmt.Errorf("cannot hold %s: %w", h.Ref, err)
		}
		if have == nil {
			return nil
		}
		if _, ok := p.before[h.Ref]; !ok {
			p.before[h.Ref] = have
		}
		if !classesOf(p.e.Resources[h.Ref.Kind]).differs(have, h.Attrs) {
			return nil
		}
		err = p.setHeld(ctx, h.Ref, have, h.Attrs, "held while others change", false)
		if err == nil || !again || !errors.Is(err, ErrStale) {
			return err
		}
	}
}

// release brings it to its own wanted value, or back to the one before the hold.
func (p *pass) release(ctx context.Context, h Hold) error {
	was, held := p.before[h.Ref]
	if !held {
		return nil
	}
	own := slices.IndexFunc(p.items, func(it item) bool { return it.ref == h.Ref })
	it := &item{ref: h.Ref, want: Attrs{}, why: "released"}
	for k := range h.Attrs {
		it.want[k] = was[k]
	}
	if own >= 0 {
		it = &p.items[own]
	}
	for again := true; ; again = false {
		have, err := p.e.Resources[h.Ref.Kind].Get(ctx, h.Ref.Name)
		if err != nil {
			return fmt.Errorf("cannot release %s: %w", h.Ref, err)
		}
		if have == nil && own < 0 {
			return nil // it went with what was removed
		}
		s, differs := p.e.differs(it, have)
		if !differs {
			return nil
		}
		err = p.setHeld(ctx, h.Ref, s.have, s.want, it.why, it.pruned)
		if err == nil || !transient(err) {
			return err
		}
		if again && errors.Is(err, ErrStale) {
			continue
		}
		if own < 0 {
			return err // no later pass would look at it again
		}
		return p.failed(ctx, []step{s}, err)
	}
}

func (p *pass) setHeld(ctx context.Context, ref Ref, have, want Attrs, why string, pruned bool) error {
	if err := p.start(); err != nil {
		return err
	}
	// What this run makes was absent before it, though it is there by now.
	own := slices.IndexFunc(p.items, func(it item) bool { return it.ref == ref })
	if own < 0 || p.items[own].mode == IfPresent {
		if err := p.late(ref, have); err != nil {
			return err
		}
	}
	var owed []int
	for i, t := range p.triggers {
		if slices.Contains(t.On, ref) {
			owed = append(owed, i)
		}
	}
	if err := p.mark(owed...); err != nil {
		return err
	}
	p.stirred = true
	if err := p.e.Resources[ref.Kind].Set(ctx, ref.Name, have, want); err != nil {
		return fmt.Errorf("cannot bring %s to %s: %w", ref, classesOf(p.e.Resources[ref.Kind]).mask(want), err)
	}
	p.done(ref, have, want, why, pruned)
	return nil
}
