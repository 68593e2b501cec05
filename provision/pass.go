package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// a pass keeps what is true only while the differences are made once.
type pass struct {
	*walk
	effects  int             // effects and triggers that succeeded
	stirred  bool            // something ran that may have changed what was read
	deferred map[string]bool // kinds in which an addition is still missing
	before   map[Ref]Attrs   // values of held references
}

// pass makes the differences once and returns the number of effects. Its error ends
// the walk; on the way back there is none but the context's.
func (w *walk) pass(ctx context.Context, steps []step) (int, error) {
	p := &pass{walk: w, deferred: map[string]bool{}, before: map[Ref]Attrs{}}
	ops := w.ops(steps)
	for n := 0; n < len(ops); n++ {
		if err := context.Cause(ctx); err != nil {
			return p.effects, err
		}
		var err error
		switch o := ops[n]; o.kind {
		case opStep:
			group := w.group(ops[n:])
			n += len(group) - 1
			err = p.steps(ctx, group)
		case opHold:
			err = p.hold(ctx, w.holds[o.i])
		case opRelease:
			err = p.release(ctx, w.holds[o.i])
		case opTrigger:
			// Not owed: what it depends on turned out to be right already.
			if !w.dirty[o.i] || w.mustWait(o.i) && p.effects > 0 {
				continue
			}
			if err = w.runTrigger(ctx, o.i); err == nil {
				p.effects++
			}
			p.stirred = p.stirred || !aloof(w.e.Actors[w.triggers[o.i].Do.Kind])
		}
		if err == nil {
			continue
		}
		if c := context.Cause(ctx); c != nil {
			return p.effects, c
		}
		if !w.back {
			return p.effects, err
		}
		w.trouble = append(w.trouble, err)
	}
	return p.effects, nil
}

// aloof: see Aloof.
func aloof(a Actor) bool {
	x, ok := a.(Aloof)
	return ok && x.Aloof()
}

// mustWait: a change that the trigger depends on has failed for now and comes again
// in the next pass, and the trigger with it.
func (w *walk) mustWait(i int) bool {
	for _, r := range w.triggers[i].On {
		if w.failures[r] != nil && !w.pending[r] {
			return true
		}
	}
	return false
}

// group returns the steps at the head of ops that can go in one transaction.
func (w *walk) group(ops []op) []step {
	kind := ops[0].step.ref.Kind
	group := []step{ops[0].step}
	if _, ok := w.e.Resources[kind].(Batcher); !ok {
		return group
	}
	for _, o := range ops[1:] {
		if o.kind != opStep || o.step.ref.Kind != kind || (o.step.want == nil) != (group[0].want == nil) {
			break
		}
		group = append(group, o.step)
	}
	return group
}

// steps makes one step, or several of one kind in one transaction.
func (p *pass) steps(ctx context.Context, group []step) error {
	if p.stirred {
		var err error
		if group, err = p.reread(ctx, group); err != nil {
			return p.failed(ctx, group, err)
		}
	}
	var now []step
	for _, s := range group {
		// Add before delete: while an addition of this kind is missing, what it
		// replaces stays, for a while.
		if s.want == nil && p.deferred[s.ref.Kind] && p.still == 0 && p.passes < attempts && p.idle < p.settle/2 {
			p.failures[s.ref] = fmt.Errorf("kept until what replaces it is there: %w", ErrPending)
			continue
		}
		now = append(now, s)
	}
	if len(now) == 0 {
		return nil
	}
	if err := p.prepare(now); err != nil {
		return p.failed(ctx, now, err)
	}
	err := p.set(ctx, now)
	if errors.Is(err, ErrStale) {
		// Our own effects may have changed it since it was read.
		fresh, rerr := p.reread(ctx, now)
		if rerr != nil {
			return p.failed(ctx, now, rerr)
		}
		if now, err = fresh, nil; len(now) > 0 {
			err = p.set(ctx, now)
		}
	}
	switch {
	case err == nil:
		for _, s := range now {
			p.done(s.ref, s.have, s.want, s.why, s.pruned)
		}
		return p.overdue(now)
	case len(now) > 1 && (p.back || transient(err)):
		// One of them has to wait, the others need not.
		for _, s := range now {
			if err := p.steps(ctx, []step{s}); err != nil {
				return err
			}
		}
	default:
		return p.failed(ctx, now, err)
	}
	return nil
}

// overdue owes the triggers of what has been pending and is done now: those ran when
// its daemon was told, before the change.
func (p *pass) overdue(steps []step) error {
	for _, s := range steps {
		if !p.pending[s.ref] {
			continue
		}
		delete(p.pending, s.ref)
		for i, t := range p.triggers {
			if slices.Contains(t.On, s.ref) {
				if err := p.mark(i); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// transient errors are for the next pass to mend.
func transient(err error) bool {
	return errors.Is(err, ErrPending) || errors.Is(err, ErrStale) || busy(err)
}

// reread reads the references of some steps once more and keeps what still differs.
func (w *walk) reread(ctx context.Context, group []step) ([]step, error) {
	refs := make([]Ref, len(group))
	for i, s := range group {
		refs[i] = s.ref
	}
	have := make(map[Ref]Attrs, len(refs))
	if err := w.e.read(ctx, refs, have, nil); err != nil {
		return group, err
	}
	var out []step
	for _, s := range group {
		if s, ok := w.e.differs(s.item, have[s.ref]); ok {
			out = append(out, s)
		}
	}
	return out, nil
}

// prepare makes everything durable that must be so before these steps: the
// snapshot, the triggers they owe, and the first value of what has appeared since.
func (w *walk) prepare(steps []step) error {
	if err := w.start(); err != nil {
		return err
	}
	var owed []int
	for i, t := range w.triggers {
		for _, s := range steps {
			if !w.pending[s.ref] && slices.Contains(t.On, s.ref) {
				owed = append(owed, i)
				break
			}
		}
	}
	if err := w.mark(owed...); err != nil {
		return err
	}
	for _, s := range steps {
		if s.mode == IfPresent {
			if err := w.late(s.ref, s.have); err != nil {
				return err
			}
		}
	}
	return nil
}

// late journals the value of a reference that was absent when the snapshot was
// taken and is not ours to create: without it, going back would not know it.
func (w *walk) late(ref Ref, have Attrs) error {
	if w.back || have == nil {
		return nil
	}
	i, ok := w.j.byRef[ref]
	if !ok || w.j.snap.Entries[i].Value != nil {
		return nil
	}
	en := w.j.snap.Entries[i]
	en.Value = wireAttrs(have)
	return w.j.add(record{Late: &en}, true)
}

func (w *walk) set(ctx context.Context, steps []step) error {
	res := w.e.Resources[steps[0].ref.Kind]
	if len(steps) == 1 {
		s := steps[0]
		return res.Set(ctx, s.ref.Name, s.have, s.want)
	}
	batch := make([]Step, len(steps))
	for i, s := range steps {
		batch[i] = Step{s.ref.Name, s.have, s.want}
	}
	return res.(Batcher).SetAll(ctx, batch)
}

// done records a successful effect.
func (p *pass) done(ref Ref, have, want Attrs, why string, pruned bool) {
	p.effects++
	c := classesOf(p.e.Resources[ref.Kind]).change(ref, have, want, why, pruned)
	p.res.Effects = append(p.res.Effects, c)
	p.res.Writes++
	p.e.log().Info(string(c.Op), "ref", ref.String(), "why", why, "back", p.back)
}

// failed sorts an error: what the next pass may mend is kept for it, anything else
// ends a walk forwards.
func (p *pass) failed(ctx context.Context, steps []step, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	for _, s := range steps {
		p.failures[s.ref] = err
		p.pending[s.ref] = p.pending[s.ref] || errors.Is(err, ErrPending)
		if s.want != nil && !busy(err) {
			p.deferred[s.ref.Kind] = true
		}
	}
	if p.back || transient(err) || p.vanished(ctx, steps) {
		return nil
	}
	if len(steps) == 1 {
		return fmt.Errorf("cannot %s %s: %w", steps[0].op(), steps[0].ref, err)
	}
	return fmt.Errorf("cannot change %d of %s, from %s on: %w", len(steps), steps[0].ref.Kind, steps[0].ref, err)
}

// vanished: all of it was there on its own account and has gone meanwhile.
func (p *pass) vanished(ctx context.Context, steps []step) bool {
	for _, s := range steps {
		if s.mode != IfPresent {
			return false
		}
		have, err := p.e.Resources[s.ref.Kind].Get(ctx, s.ref.Name)
		if err != nil || have != nil {
			return false
		}
	}
	return true
}
