package watch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

// look reads what may have changed and what jobs are due for, and lets them look.
func (e *Engine) look(ctx context.Context) error {
	begin := e.Now()
	ev, first := e.read.pending, e.read.first
	whole := e.read.wholly || e.read.whole.IsZero() || !begin.Before(e.read.whole.Add(e.Whole))
	if whole {
		ev.Parts, ev.NFT = facts.AllParts, true
	}
	var needed facts.Parts
	var due []*running
	counters, proxies := false, false
	for _, j := range e.jobs {
		n := j.Needs()
		needed |= n.Parts
		wants := e.wants(j)
		timely := !wants.IsZero() && !wants.After(begin)
		if timely {
			ev.Parts |= n.Parts // what it looks at must be of now
		}
		if timely || whole || ev.Parts&n.Parts != 0 || n.NFT && ev.NFT {
			due = append(due, j)
			counters, proxies = counters || n.Martians, proxies || n.Proxies
		}
	}
	parts := (ev.Parts | ^e.read.parts) & needed & facts.AllParts
	s := &State{Now: begin, Have: map[provision.Ref]provision.Attrs{}}
	err := e.fill(ctx, s, parts, counters, proxies)
	e.spend(begin)
	e.count(begin, err)
	if err != nil {
		e.read.failed++
		return err
	}
	e.read.failed, e.read.parts = 0, e.read.parts|parts
	e.read.pending, e.read.first, e.read.due = Event{}, time.Time{}, time.Time{}
	if whole {
		e.read.whole, e.read.wholly = begin, false
	}
	for _, j := range due {
		n := j.Needs()
		if len(n.Refs) > 0 {
			timely := j.fresh || n.Every > 0 && !begin.Before(j.looked.Add(n.Every)) || !j.again.IsZero() && !j.again.After(begin)
			if err := e.Resources.read(ctx, n.Refs, func(kind string) bool { return touches(kind, ev, whole || timely) }, s.Have); err != nil {
				e.Log.Warn("cannot read what is kept", "job", j.Name(), "err", err)
			}
		}
		e.work(ctx, j, s, ev, first)
	}
	return nil
}

// spend notes the time that a reading took.
func (e *Engine) spend(begin time.Time) {
	now := e.Now()
	saved := mostCredit
	if !e.read.at.IsZero() {
		saved = min(mostCredit, e.read.credit+begin.Sub(e.read.at)/restFactor)
	}
	e.read.at, e.read.credit = now, saved-now.Sub(begin)
}

func (e *Engine) fill(ctx context.Context, s *State, parts facts.Parts, counters, proxies bool) (err error) {
	if s.Live, err = e.Source.Read(ctx, parts); err != nil {
		return err
	}
	if counters {
		if s.Martians, err = e.Source.Martians(ctx); err != nil {
			return fmt.Errorf("cannot read the counters of martians: %w", err)
		}
	}
	if proxies {
		s.Proxies, err = e.Source.Proxies(ctx)
	}
	return err
}

// work lets one job look and does what it says.
func (e *Engine) work(ctx context.Context, j *running, s *State, ev Event, first time.Time) {
	j.looked, j.again, j.fresh = s.Now, time.Time{}, false
	repairs := j.Look(s)
	later := func(t time.Time) {
		if j.again.IsZero() || t.Before(j.again) {
			j.again = t
		}
	}
	seen := map[string]bool{}
	var do []Repair
	for _, r := range repairs {
		if r.Note() {
			seen[r.Key] = true
			e.note(j, r)
			continue
		}
		if a := j.attempts[r.Key]; a != nil && !excused(r, ev) && !a.settled(s.Now) && s.Now.Before(a.next()) {
			if who := doer(r, ev.Causes); who != "" {
				a.by = who
			}
			later(a.next())
			continue
		}
		do = append(do, r)
	}
	for key, n := range j.notes {
		// What is not true any more may be told again, after a while.
		if !seen[key] && s.Now.Sub(n.at) >= noteAgain {
			delete(j.notes, key)
		}
	}
	for key, a := range j.attempts {
		if a.settled(s.Now) {
			delete(j.attempts, key)
		}
	}
	if len(do) > 0 {
		e.repair(ctx, j, do, ev, first, later)
	}
	e.remember(j)
	e.tell()
}

// repair takes the lock once for all that a job asks for.
func (e *Engine) repair(ctx context.Context, j *running, repairs []Repair, ev Event, first time.Time, later func(time.Time)) {
	var changes []Repair
	for _, r := range repairs {
		if r.Run != nil || r.Sample != nil {
			e.start(ctx, j, r)
		} else {
			changes = append(changes, r)
		}
	}
	if len(changes) == 0 {
		return
	}
	wait, cancel := context.WithTimeout(ctx, lockWait)
	unlock, err := e.Lock(wait)
	cancel()
	if err != nil {
		if !errors.Is(err, ErrOutdated) {
			e.Log.Info("a repair waits", "job", j.Name(), "for", changes[0].Key, "err", err)
		}
		later(e.Now().Add(lockAgain))
		return
	}
	defer unlock()
	// What is about to be set is on the disk before it is set: whoever takes it back after a kill has to know of it.
	if e.remember(j) {
		e.save(true)
	}
	for _, r := range changes {
		err := e.do(ctx, r)
		if errors.Is(err, provision.ErrStale) || errors.Is(err, provision.ErrPending) || ctx.Err() != nil {
			later(e.Now().Add(lockAgain)) // not ours, or not yet: what is now decides
			continue
		}
		e.done(j, r, err, ev, first)
		if err != nil {
			later(j.attempts[r.Key].next())
		}
	}
}

// do makes one change.
func (e *Engine) do(ctx context.Context, r Repair) error {
	switch {
	case r.Routes != nil:
		for _, rt := range r.Routes {
			if err := e.Hand.Route(ctx, rt); err != nil {
				return err
			}
		}
		return nil
	case r.Sysctl != nil:
		return e.Hand.Sysctl(ctx, *r.Sysctl)
	case r.Proxy != nil:
		return e.Hand.Proxy(ctx, *r.Proxy)
	case r.Set != nil:
		res := e.Resources[r.Set.Want.Kind]
		if res == nil {
			return fmt.Errorf("there is no kind %s here", r.Set.Want.Kind)
		}
		return res.Set(ctx, r.Set.Want.Name, r.Set.Have, r.Set.Want.Attrs)
	}
	return nil
}
