package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A walk brings items to their values: towards a goal, or back to a snapshot. It
// is the only code that changes a machine.
//
// It goes in passes: read everything, compare, make the differences in order. The
// next pass sees what the effects did to everything else (unbinding a gadget drops
// its addresses), so there is no need to predict it. A walk ends when a pass finds
// nothing to do.
type walk struct {
	e        *Engine
	j        *journal // nil until begun
	items    []item
	holds    []Hold
	triggers []Trigger
	back     bool // going back: go on after errors
	settle   time.Duration
	// begin makes the snapshot durable before the first effect.
	begin func(have map[Ref]Attrs) (*journal, error)
	res   *Result

	have     map[Ref]Attrs // as the last pass read it
	fresh    bool          // have is new: the next pass need not read
	unread   map[Ref]error // going back: what could not be read
	dirty    []bool        // triggers owed
	ran      []bool        // triggers that ran in this walk
	again    []bool        // triggers that ran again though nothing differed
	pending  map[Ref]bool  // references whose daemon has been told
	passes   int           // with effects
	still    int           // in a row without any, and without a daemon to wait for
	idle     time.Duration // waited since the last effect
	pause    time.Duration
	failures map[Ref]error // of the last pass
	trouble  []error       // going back: of triggers and the journal
}

// maxPasses bounds the passes with effects: a machine on which each pass finds new
// differences has a second writer, and fighting it is not provisioning.
const maxPasses = 8

// attempts is how often in a row a pass may achieve nothing.
const attempts = 3

// Pauses between passes that could do nothing: a daemon answers within
// milliseconds or takes seconds.
const (
	minPause = 20 * time.Millisecond
	maxPause = 500 * time.Millisecond
)

func (e *Engine) newWalk(items []item, holds []Hold, triggers []Trigger, res *Result) *walk {
	n := len(triggers)
	return &walk{e: e, items: items, holds: holds, triggers: triggers, res: res, pending: map[Ref]bool{},
		dirty: make([]bool, n), ran: make([]bool, n), again: make([]bool, n), pause: minPause}
}

// run walks until nothing differs. Forwards the first real error ends it; back, it
// goes on with everything else and returns what could not be done.
func (w *walk) run(ctx context.Context) error {
	w.still = 0
	for {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		steps, err := w.read(ctx)
		if err != nil {
			return err
		}
		if len(steps) == 0 && len(w.unread) == 0 && !slices.Contains(w.dirty, true) {
			w.failures, w.trouble = nil, nil
			return nil
		}
		if w.passes >= maxPasses {
			return w.unfinished(steps, fmt.Errorf("no rest after %d passes", maxPasses))
		}
		w.failures, w.trouble = map[Ref]error{}, nil
		effects, err := w.pass(ctx, steps)
		if err != nil {
			return err
		}
		waits := w.waits(steps)
		if w.back && slices.Contains(w.dirty, true) {
			waits = false
		}
		if effects > 0 {
			w.passes++
			w.still, w.idle, w.pause = 0, 0, minPause
			if !waits {
				continue
			}
		} else if w.remind(steps) {
			continue
		}
		if waits {
			if w.idle >= w.settle {
				return w.unfinished(steps, nil)
			}
		} else if w.still++; w.still > attempts {
			return w.unfinished(steps, nil)
		}
		refs := make([]Ref, 0, len(steps))
		for _, s := range steps {
			refs = append(refs, s.ref)
		}
		if err := w.wait(ctx, refs); err != nil {
			return err
		}
	}
}

// wait lets a daemon bring refs about.
func (w *walk) wait(ctx context.Context, refs []Ref) error {
	Waiting{Refs: refs}.Tell(ctx) // settle bounds the pauses since the last effect, which is not all of the wait
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-w.e.clock().After(w.pause):
	}
	w.idle += w.pause
	w.pause = min(2*w.pause, maxPause)
	return nil
}

// read looks at everything and compares.
func (w *walk) read(ctx context.Context) ([]step, error) {
	if !w.fresh {
		refs := make([]Ref, len(w.items))
		for i := range w.items {
			refs[i] = w.items[i].ref
		}
		have := make(map[Ref]Attrs, len(refs))
		w.unread = nil
		if w.back {
			w.unread = map[Ref]error{}
		}
		if err := w.e.read(ctx, refs, have, w.unread); err != nil {
			return nil, err
		}
		w.have = have
	}
	w.fresh = false
	steps := w.e.compare(w.items, w.have)
	if len(w.unread) > 0 {
		steps = slices.DeleteFunc(steps, func(s step) bool { return w.unread[s.ref] != nil })
	}
	return steps, nil
}

// waits reports whether all that is left is for daemons to bring about. On the way
// back nobody waits for what is absent and may be; what is there and wrong is waited
// for (a route keeps the new metric until its daemon has brought the old one), but
// fails nothing.
func (w *walk) waits(steps []step) bool {
	left := false
	for _, s := range steps {
		err := w.failures[s.ref]
		if err == nil || w.back && s.mode == IfPresent && (s.have == nil || !errors.Is(err, ErrPending)) {
			continue
		}
		if !errors.Is(err, ErrPending) {
			return false
		}
		left = true
	}
	return left && len(w.trouble) == 0 && len(w.unread) == 0
}

// unfinished says what is left of steps and why.
func (w *walk) unfinished(steps []step, why error) error {
	u := &UnmetError{After: w.idle}
	var errs []error
	for _, s := range steps {
		if w.back && s.mode == IfPresent {
			continue
		}
		err := w.failures[s.ref]
		if s.pruned && errors.Is(err, ErrPending) {
			continue // see abandoned
		}
		if err != nil && !errors.Is(err, ErrPending) {
			errs = append(errs, fmt.Errorf("%s: %w", s.ref, err))
			continue
		}
		cls := classesOf(w.e.Resources[s.ref.Kind])
		u.Unmet = append(u.Unmet, cls.unmet(Want{Ref: s.ref, Attrs: s.want, Why: s.why, Mode: s.mode}, s.have))
	}
	if len(u.Unmet) > 0 {
		errs = append(errs, u)
	}
	for _, it := range w.items {
		if err := w.unread[it.ref]; err != nil && it.mode != IfPresent {
			errs = append(errs, err)
		}
	}
	errs = append(errs, w.trouble...)
	if len(errs) > 0 && why != nil {
		errs = append(errs, why)
	}
	return errors.Join(errs...)
}

// abandoned are references that are no longer wanted and that their daemon keeps all
// the same. It owns them: a goal that does not speak of them cannot fail because of
// them.
func (w *walk) abandoned() []Ref {
	var refs []Ref
	for _, it := range w.items {
		if it.pruned && errors.Is(w.failures[it.ref], ErrPending) {
			refs = append(refs, it.ref)
		}
	}
	return refs
}

// remind runs the triggers of what does not hold though nothing that they depend
// on differs: the daemon may never have heard of it, or have forgotten.
func (w *walk) remind(steps []step) bool {
	did := false
	for _, s := range steps {
		if w.pending[s.ref] {
			did = w.remindVia(s.via) || did
		}
	}
	return did
}

// remindVia runs each trigger at most once more: at once if it has not run in this
// walk, else when half the time is over.
func (w *walk) remindVia(via []string) bool {
	did := false
	for i, t := range w.triggers {
		if !slices.Contains(via, t.Name) || w.again[i] || w.ran[i] && w.idle < w.settle/2 {
			continue
		}
		w.again[i] = true
		if err := w.mark(i); err != nil {
			w.trouble = append(w.trouble, err)
			continue
		}
		did = true // the next pass runs it: it is owed now
	}
	return did
}

// start makes the snapshot durable, once.
func (w *walk) start() error {
	if w.j != nil {
		return nil
	}
	j, err := w.begin(w.have)
	if err != nil {
		return err
	}
	w.j = j
	return nil
}

// mark journals triggers as owed before the first change of what they depend on.
func (w *walk) mark(list ...int) error {
	if len(list) == 0 {
		return nil
	}
	if err := w.start(); err != nil {
		return err
	}
	var owed []int
	for _, i := range list {
		w.dirty[i] = true
		if !w.j.dirty[i] {
			owed = append(owed, i)
		}
	}
	if len(owed) == 0 {
		return nil
	}
	return w.note(record{Dirty: owed}, true)
}

// note adds a journal record. A full disk must not stop the way back: the files to
// be restored may be what filled it.
func (w *walk) note(r record, sync bool) error {
	err := w.j.add(r, sync)
	if err != nil && w.back {
		w.e.log().Warn("cannot journal", "err", err)
		return nil
	}
	return err
}

// runTrigger carries out one action and clears it from the journal.
func (w *walk) runTrigger(ctx context.Context, i int) error {
	t := w.triggers[i]
	a := w.e.Actors[t.Do.Kind]
	if a == nil {
		return fmt.Errorf("cannot run trigger %s: no such kind of action: %s", t.Name, t.Do.Kind)
	}
	if err := w.mark(i); err != nil {
		return err
	}
	w.e.log().Info("trigger", "name", t.Name, "why", t.Why)
	Waiting{Action: t.Do}.Tell(ctx)
	if err := a.Do(ctx, t.Do); err != nil {
		return fmt.Errorf("cannot run trigger %s: %w", t.Name, err)
	}
	w.dirty[i], w.ran[i] = false, true
	w.res.Triggers = append(w.res.Triggers, t.Name)
	w.res.Writes++
	return w.note(record{Clean: []int{i}}, false)
}
