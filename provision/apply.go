package provision

import (
	"context"
	"errors"
	"slices"
	"time"
)

const defaultSettle = 10 * time.Second

// Apply brings the machine to d and verifies it, or goes back to where it was.
// Errors are *LockedError, *PendingError, *FailedError (gone back), *StuckError
// (could not), *VersionError and *CorruptError; any other means that nothing was
// begun. When ctx ends, it goes back.
func (e *Engine) Apply(ctx context.Context, d Desired, opt ApplyOptions) (Result, error) {
	return e.apply(ctx, d, opt, giveUpOwned)
}

// Revert returns everything that was ever applied to its first-seen value. What
// somebody else has changed since is left and named in Result.Foreign, unless
// force; it stays known, so that a later Revert can be forced.
func (e *Engine) Revert(ctx context.Context, force bool) (Result, error) {
	how := revertOwned
	if force {
		how = giveUpAll
	}
	return e.apply(ctx, Desired{}, ApplyOptions{}, how)
}

// giving says what happens to what is no longer wanted but changed by others.
type giving int

const (
	giveUpOwned giving = iota // left and forgotten
	revertOwned               // left and remembered
	giveUpAll                 // returned to its first-seen value all the same
)

// attempt is one apply under way.
type attempt struct {
	*Engine
	d       Desired
	opt     ApplyOptions
	how     giving
	look    *look
	earlier *earlier
	walk    *walk
	first   map[Ref]Attrs // first-seen values as they were written
	until   confirm       // deadline of opt.Confirm
	res     *Result
}

func (e *Engine) apply(ctx context.Context, d Desired, opt ApplyOptions, how giving) (Result, error) {
	var res Result
	res.Effects = []Change{}
	if e.Store == nil {
		return res, errors.New("cannot apply: no state directory")
	}
	d, err := e.check(d)
	if err != nil {
		return res, err
	}
	lock, err := e.Store.Lock(ctx)
	if err != nil {
		return res, err
	}
	defer lock.Unlock()
	before, err := e.settle(ctx, lock, &res)
	if err != nil {
		return res, err
	}
	if err := before.strangers(e); err != nil {
		return res, err
	}
	if opt.Replan != nil && (lock.waited || res.Recovered || len(before.journals) > 0 || before.commit() != opt.Basis) {
		if d, opt, err = opt.Replan(ctx); err != nil {
			return res, err
		}
		if d, err = e.check(d); err != nil {
			return res, err
		}
	}
	if opt.Settle <= 0 {
		opt.Settle = defaultSettle
	}
	a := &attempt{Engine: e, d: d, opt: opt, how: how, earlier: before, res: &res}
	if err := a.prepare(ctx); err != nil {
		return res, err
	}
	err = a.reach(ctx, lock)
	res.Notes = append(res.Notes, a.look.notes...)
	res.Foreign = a.look.foreign
	return res, err
}

// prepare reads everything. Nothing is written yet.
func (a *attempt) prepare(ctx context.Context) error {
	st := a.earlier.stored
	first := map[Ref]Attrs{}
	var err error
	if st.ledger != nil {
		if first, err = a.Store.readFirst(); err != nil {
			return err
		}
	}
	a.look, err = a.Engine.look(ctx, a.d, st.ledger, first, a.how == giveUpAll)
	if err != nil {
		return err
	}
	lk := a.look
	a.walk = a.newWalk(lk.items, lk.holds, lk.triggers, a.res)
	a.walk.have, a.walk.fresh, a.walk.settle = lk.have, true, a.opt.Settle
	for i, t := range lk.triggers {
		a.walk.dirty[i] = slices.Contains(a.earlier.owed, t.Name)
	}
	return nil
}

// reach walks, verifies and commits, or goes back.
func (a *attempt) reach(ctx context.Context, lock *Lock) error {
	actx, cancel := context.WithCancelCause(ctx)
	stop := func() { cancel(context.Canceled) }
	defer func() { stop() }()
	a.walk.begin = func(have map[Ref]Attrs) (*journal, error) {
		lock.record(a.clock().Now())
		j, err := a.begin(actx, have)
		if err == nil {
			end := a.watch(actx, cancel)
			stop = func() { cancel(context.Canceled); end() }
		}
		return j, err
	}
	err := a.converge(actx)
	if err == nil && a.walk.j != nil && a.opt.Guard != nil && a.opt.GuardFor > 0 {
		Waiting{Text: "watching whether the next hops of SSH sessions go on answering", Limit: a.opt.GuardFor}.Tell(actx)
		select {
		case <-actx.Done():
			err = context.Cause(actx)
		case <-a.clock().After(a.opt.GuardFor):
		}
	}
	if err == nil {
		err = context.Cause(actx)
	}
	stop()
	if err == nil {
		err = a.commit()
	}
	if err == nil {
		return nil
	}
	if a.walk.j == nil {
		return &FailedError{Cause: err}
	}
	a.log().Info("going back", "cause", err) // the error that is returned says it too
	if back := a.goBack(ctx, a.walk.j, a.res); back != nil {
		back.Cause = err
		return back
	}
	return &FailedError{Cause: err, Begun: true}
}

// watch cancels the attempt when the guard reports something or the time for a
// confirmation is over. The returned function ends it.
func (a *attempt) watch(ctx context.Context, cancel context.CancelCauseFunc) func() {
	timer := func() bool { return false }
	if a.opt.Confirm > 0 {
		timer = time.AfterFunc(a.opt.Confirm, func() { cancel(ErrExpired) }).Stop
	}
	done := make(chan struct{})
	if a.opt.Guard == nil {
		close(done)
	} else {
		go func() {
			defer close(done)
			for ctx.Err() == nil {
				if err := a.opt.Guard(ctx); err != nil {
					cancel(&GuardError{err})
					return
				}
				select {
				case <-ctx.Done():
				case <-a.clock().After(guardPause):
				}
			}
		}()
	}
	return func() {
		timer()
		// A guard that does not honour its context must not hold up the way back.
		select {
		case <-done:
		case <-time.After(time.Second):
		}
	}
}

// guardPause is the time between two questions to the guard.
const guardPause = 50 * time.Millisecond

// converge walks until nothing differs and every expectation holds.
func (a *attempt) converge(ctx context.Context) error {
	w := a.walk
	have := a.look.have
	for {
		if err := w.run(ctx); err != nil {
			return err
		}
		a.abandon()
		if w.j != nil || w.idle > 0 {
			have = map[Ref]Attrs{}
			refs := make([]Ref, 0, len(a.d.Expect))
			for _, x := range a.d.Expect {
				refs = append(refs, x.Ref)
			}
			for _, x := range a.look.report {
				refs = append(refs, x.Ref)
			}
			if err := a.read(ctx, refs, have, nil); err != nil {
				return err
			}
		}
		a.res.Unmet = a.unmet(a.look.report, have)
		var failed []Unmet
		again := false
		for _, x := range a.d.Expect {
			if u, ok := a.holds(x, have); ok {
				continue
			} else if !failing(u) {
				a.res.Unmet = append(a.res.Unmet, u)
			} else {
				failed = append(failed, u)
				again = w.remindVia(x.Via) || again
			}
		}
		switch {
		case len(failed) == 0:
			for _, it := range w.items {
				if it.mode == IfPresent && it.want != nil && w.have[it.ref] == nil {
					a.res.Unmet = append(a.res.Unmet, classesOf(a.Resources[it.ref.Kind]).unmet(
						Want{Ref: it.ref, Attrs: it.want, Why: it.why, Mode: it.mode}, nil))
				}
			}
			return nil
		case len(w.trouble) > 0:
			return errors.Join(w.trouble...)
		case again:
		case w.idle >= w.settle:
			return &UnmetError{Unmet: failed, After: w.idle}
		default:
			refs := make([]Ref, 0, len(failed))
			for _, u := range failed {
				refs = append(refs, u.Ref)
			}
			if err := w.wait(ctx, refs); err != nil {
				return err
			}
		}
	}
}

// abandon leaves what a daemon keeps though nobody wants it any more.
func (a *attempt) abandon() {
	w, lk := a.walk, a.look
	left := w.abandoned()
	if len(left) == 0 {
		return
	}
	w.items = slices.DeleteFunc(w.items, func(it item) bool { return slices.Contains(left, it.ref) })
	for _, r := range left {
		if lk.ledger != nil && slices.ContainsFunc(lk.ledger.Refs, func(l ledgerRef) bool {
			return l.Ref.ref() == r && a.followed(l, lk.ledger.Key, w.have[r])
		}) {
			continue
		}
		lk.foreign = append(lk.foreign, r)
		lk.notes = append(lk.notes, Note{Level: "warning", Subject: r.String(), Text: "left as it is: its daemon keeps it"})
	}
}
