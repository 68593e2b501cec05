package provision

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const defaultBack = 2 * time.Minute

// earlier is what runs before this one have left undone and could not be settled.
type earlier struct {
	journals []*journal
	base     map[Ref]Attrs // what they could not restore, as it should be
	owed     []string      // triggers they could not run
	seq      uint64        // highest number in use
	stored   *stored       // what is known of the past once they are settled
}

// commit is the number of the last commit, 0 if there is none.
func (b *earlier) commit() uint64 {
	if b.stored.ledger == nil {
		return 0
	}
	return b.stored.ledger.Seq
}

// forget drops them: a newer snapshot or commit stands in for them.
func (b *earlier) forget() error {
	for _, j := range b.journals {
		if err := j.drop(); err != nil {
			return err
		}
	}
	b.journals = nil
	return nil
}

// settle finishes what earlier runs have left: an interrupted run and an expired
// confirmation go back. One that still waits is *PendingError. What cannot be
// restored does not stop a new apply, which may be the cure: its snapshot takes
// over the values that should be there.
func (e *Engine) settle(ctx context.Context, lock *Lock, res *Result) (*earlier, error) {
	b := &earlier{base: map[Ref]Attrs{}}
	st, err := e.Store.load()
	if err != nil {
		return nil, err
	}
	for _, name := range st.active {
		j, err := e.Store.openJournal(name)
		if err != nil {
			return nil, err
		}
		b.seq = max(b.seq, j.snap.Seq)
		if left := j.waiting(e.clock()); left > 0 {
			return nil, &PendingError{Left: left}
		}
		lock.record(e.clock().Now())
		stuck := e.goBack(ctx, j, res)
		if stuck == nil {
			res.GoneBack, res.Recovered = false, true
			continue
		}
		if err := context.Cause(ctx); err != nil {
			return nil, stuck
		}
		if len(stuck.Refs) == 0 && !owes(j) {
			return nil, stuck // the state itself cannot be written
		}
		b.journals = append(b.journals, j)
		for _, r := range stuck.Refs {
			b.base[r] = Attrs(j.snap.Entries[j.byRef[r]].Value)
		}
		for i, t := range j.snap.Triggers {
			if j.dirty[i] {
				b.owed = append(b.owed, string(t.Name))
			}
		}
		res.NotRestored = nil
		res.Notes = append(res.Notes, Note{Level: "warning", Subject: "state", Text: stuck.Error()})
	}
	if b.stored = st; len(st.active) > 0 {
		if b.stored, err = e.Store.load(); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func owes(j *journal) bool {
	for _, d := range j.dirty {
		if d {
			return true
		}
	}
	return false
}

// goBack walks to the snapshot. It has its own time limit, because it is needed
// most when the caller's context has ended. It returns nil when the machine is as
// it was and the run is forgotten.
func (e *Engine) goBack(ctx context.Context, j *journal, res *Result) *StuckError {
	limit := e.BackTimeout
	if limit <= 0 {
		limit = defaultBack
	}
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), limit, fmt.Errorf("not back within %s", limit))
	defer cancel()
	if err := e.turnBack(j); err != nil {
		return &StuckError{Back: err}
	}
	var sub Result
	w := e.newWalk(backItems(j.snap), fromWireHolds(j.snap.Holds), fromWireTriggers(j.snap.Triggers), &sub)
	w.back, w.j, w.settle = true, j, j.snap.Settle
	copy(w.dirty, j.dirty)
	if w.settle <= 0 {
		w.settle = defaultSettle
	}
	err := w.run(ctx)
	res.Effects = append(res.Effects, sub.Effects...)
	res.Triggers = append(res.Triggers, sub.Triggers...)
	res.Writes += sub.Writes
	if err == nil {
		if err := e.finishBack(j); err != nil {
			return &StuckError{Back: err}
		}
		res.GoneBack = true
		return nil
	}
	lctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	stuck := &StuckError{Back: err, Refs: w.notRestored(lctx)}
	res.NotRestored = append(res.NotRestored, stuck.Refs...)
	if err := j.add(record{Back: true, Stuck: toWireRefs(stuck.Refs)}, true); err != nil {
		stuck.Back = errors.Join(stuck.Back, err)
	}
	return stuck
}

// turnBack makes sure that the next process goes back too, if this one dies on the
// way: the run no longer counts as committed or as waiting.
func (e *Engine) turnBack(j *journal) error {
	st, err := e.Store.load()
	if err != nil {
		return err
	}
	if st.ledger != nil && st.ledger.Seq >= j.snap.Seq && j.name == snapshotName(j.snap.Seq) {
		rolling := rollingName(j.snap.Seq)
		if err := e.Store.mark(); err != nil {
			return err
		}
		if err := e.Store.files.Rename(j.name, rolling); err != nil {
			return fmt.Errorf("cannot write the state: %w", err)
		}
		j.name = rolling
		return e.Store.syncDir()
	}
	if j.confirm != nil && !j.back {
		// Without this record a process that dies now leaves the rest to the one
		// that sees the confirmation expire: late, but not wrong.
		if err := j.add(record{Back: true}, true); err != nil {
			e.log().Warn("cannot journal", "err", err)
		}
	}
	return nil
}

// finishBack forgets the run, and what it had committed.
func (e *Engine) finishBack(j *journal) error {
	st, err := e.Store.load()
	if err != nil {
		return err
	}
	if st.ledger != nil && st.ledger.Seq >= j.snap.Seq {
		if len(j.snap.Given) > 0 {
			first, err := e.Store.readFirst()
			if err != nil {
				return err
			}
			for _, s := range j.snap.Given {
				first[s.Ref.ref()] = Attrs(s.Value)
			}
			if err := errors.Join(e.Store.writeFirst(first), e.Store.syncDir()); err != nil {
				return err
			}
		}
		if err := e.Store.writeLedger(j.snap.Prev); err != nil {
			return err
		}
	}
	return j.drop()
}

// backItems turns a snapshot into the goal of the way back.
func backItems(s *snapshot) []item {
	var items []item
	for _, en := range s.Entries {
		it := item{ref: en.Ref.ref(), mode: en.Mode, why: "back to the value before"}
		value := Attrs(en.Value)
		switch {
		case value == nil && (en.Held || en.Mode == IfPresent):
			continue // not made by the run, so not its to remove
		case value == nil:
		case en.Delete:
			it.want = value
		default:
			it.want, it.whole = Attrs{}, value
			for _, k := range en.Keys {
				it.want[string(k)] = value[string(k)]
			}
		}
		items = append(items, it)
	}
	return items
}

// notRestored names what still differs.
func (w *walk) notRestored(ctx context.Context) []Ref {
	w.fresh = false
	steps, err := w.read(ctx)
	var refs []Ref
	for _, it := range w.items {
		if it.mode == IfPresent {
			continue
		}
		differs := err != nil || w.unread[it.ref] != nil
		for _, s := range steps {
			differs = differs || s.ref == it.ref
		}
		if differs {
			refs = append(refs, it.ref)
		}
	}
	return refs
}

// Recover finishes what an earlier process has left: an interrupted apply or
// rollback goes back, and so does one whose confirmation did not come in time;
// journalled triggers run. It is what the boot unit and the timer of a pending
// apply call. One that still waits is left, Result.Pending says how long.
func (e *Engine) Recover(ctx context.Context) (Result, error) {
	res := Result{Effects: []Change{}}
	err := e.locked(ctx, func(lock *Lock) error {
		st, err := e.Store.load()
		if err != nil {
			return err
		}
		var stuck []error
		for _, name := range st.active {
			j, err := e.Store.openJournal(name)
			if err != nil {
				return err
			}
			if left := j.waiting(e.clock()); left > 0 {
				res.Pending = left
				continue
			}
			lock.record(e.clock().Now())
			if s := e.goBack(ctx, j, &res); s != nil {
				stuck = append(stuck, s)
			} else {
				res.Recovered = true
			}
		}
		if len(st.active) == 0 {
			_ = e.Store.unmark()
		}
		return errors.Join(stuck...)
	})
	return res, err
}

// Rollback goes back to the last snapshot: of a run that was interrupted or waits
// for its confirmation, else of the last committed one. Each call goes one step
// further, three at most. ErrNoSnapshot means that there is none.
func (e *Engine) Rollback(ctx context.Context) (Result, error) {
	res := Result{Effects: []Change{}}
	err := e.locked(ctx, func(lock *Lock) error {
		st, err := e.Store.load()
		if err != nil {
			return err
		}
		names := st.active
		if n := len(st.committed); len(names) == 0 && n > 0 && st.committed[n-1] == st.ledger.Seq {
			names = []string{snapshotName(st.committed[n-1])}
		}
		if len(names) == 0 {
			return ErrNoSnapshot
		}
		var stuck []error
		for _, name := range names {
			j, err := e.Store.openJournal(name)
			if err != nil {
				return err
			}
			lock.record(e.clock().Now())
			if s := e.goBack(ctx, j, &res); s != nil {
				stuck = append(stuck, s)
			}
		}
		return errors.Join(stuck...)
	})
	return res, err
}

// Confirm keeps an apply that waits. ErrNotPending means that none does; ErrExpired
// that it came too late and the machine has gone back.
func (e *Engine) Confirm(ctx context.Context) error {
	return e.locked(ctx, func(lock *Lock) error {
		st, err := e.Store.load()
		if err != nil {
			return err
		}
		for _, name := range st.active {
			j, err := e.Store.openJournal(name)
			if err != nil {
				return err
			}
			if j.confirm == nil {
				continue
			}
			if j.waiting(e.clock()) > 0 {
				next := j.confirm.Next
				if err := e.Store.writeLedger(&next); err != nil {
					return err
				}
				first, err := e.Store.readFirst()
				if err == nil {
					e.tidy(&next, st.committed, first)
				}
				return nil
			}
			var res Result
			if s := e.goBack(ctx, j, &res); s != nil {
				return s
			}
			return ErrExpired
		}
		return ErrNotPending
	})
}

func (e *Engine) locked(ctx context.Context, do func(*Lock) error) error {
	if e.Store == nil {
		return errors.New("cannot change anything: no state directory")
	}
	lock, err := e.Store.Lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	return do(lock)
}
