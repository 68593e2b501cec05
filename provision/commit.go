package provision

import (
	"bytes"
	"errors"
	"slices"
)

// commit makes the goal the new past. Without effects it writes only if what has
// to be remembered differs from what is.
func (a *attempt) commit() error {
	lk := a.look
	have := a.walk.have
	next := a.nextLedger(a.d, lk.ledger, have, a.clock().Now())
	if a.how == revertOwned {
		keepForeign(next, lk)
	}
	j := a.walk.j
	if j == nil {
		if a.opt.Confirm > 0 {
			a.res.Notes = append(a.res.Notes, Note{Level: "info", Subject: "confirm", Text: "nothing was changed, so there is nothing to confirm"})
		}
		if !remembers(lk.ledger, next) {
			all := have
			if len(a.earlier.base) > 0 {
				all = map[Ref]Attrs{}
				for r, v := range have {
					all[r] = v
				}
				for r, v := range a.earlier.base {
					all[r] = v
				}
			}
			if first := a.firstSeen(a.d, lk.ledger, lk.first, all); first != nil {
				if err := errors.Join(a.Store.writeFirst(first), a.Store.syncDir()); err != nil {
					return err
				}
				a.first = first
			} else {
				a.first = lk.first
			}
			if err := a.Store.writeLedger(next); err != nil {
				return err
			}
			a.tidy(next, a.earlier.stored.committed, a.first)
		}
		return a.earlier.forget()
	}
	next.Seq = j.snap.Seq
	if err := a.addLate(next, have); err != nil {
		return err
	}
	if a.opt.Confirm > 0 {
		c := a.until
		c.Next = *next
		left := c.left(a.clock())
		if left <= 0 {
			return ErrExpired
		}
		a.res.Pending = left
		return j.add(record{Confirm: &c}, true)
	}
	if err := a.Store.writeLedger(next); err != nil {
		return err
	}
	a.tidy(next, a.earlier.stored.committed, a.first)
	return nil
}

// addLate writes the first-seen values of what has appeared during the run.
func (a *attempt) addLate(next *ledger, have map[Ref]Attrs) error {
	var add map[Ref]Attrs
	for _, r := range next.Refs {
		ref := r.Ref.ref()
		if _, ok := a.first[ref]; ok || !r.Lent || !a.within(ref) {
			continue
		}
		if add == nil {
			add = map[Ref]Attrs{}
			for r, v := range a.first {
				add[r] = v
			}
		}
		add[ref] = have[ref]
		if i, ok := a.walk.j.byRef[ref]; ok && a.walk.j.snap.Entries[i].Value != nil {
			add[ref] = Attrs(a.walk.j.snap.Entries[i].Value)
		}
	}
	if add == nil {
		return nil
	}
	a.first = add
	return errors.Join(a.Store.writeFirst(add), a.Store.syncDir())
}

// keepForeign keeps what a revert has left alone, and what it needs to be given up
// later.
func keepForeign(next *ledger, lk *look) {
	if lk.ledger == nil || len(lk.foreign) == 0 {
		return
	}
	for _, r := range lk.ledger.Refs {
		if slices.Contains(lk.foreign, r.Ref.ref()) {
			next.Refs = append(next.Refs, r)
		}
	}
	next.Triggers, next.Holds = lk.ledger.Triggers, lk.ledger.Holds
}

// remembers reports whether old already says what next says.
func remembers(old, next *ledger) bool {
	if old == nil {
		return len(next.Refs) == 0
	}
	n := *next
	n.Seq, n.Time = old.Seq, old.Time
	x, err1 := marshal(nil, old)
	y, err2 := marshal(nil, &n)
	return err1 == nil && err2 == nil && bytes.Equal(x, y)
}

// tidy removes what no rollback and no revert needs any more. The commit stands
// already, so an error here is only logged.
func (e *Engine) tidy(l *ledger, committed []uint64, first map[Ref]Attrs) {
	if n := len(committed); n == 0 || committed[n-1] != l.Seq {
		committed = append(committed[:n:n], l.Seq)
	}
	err := e.Store.trim(committed)
	if err == nil && first != nil {
		known := make(map[Ref]bool, len(l.Refs))
		for _, r := range l.Refs {
			known[r.Ref.ref()] = true
		}
		keep := map[Ref]Attrs{}
		for r, v := range first {
			if known[r] {
				keep[r] = v
			}
		}
		if len(keep) < len(first) {
			err = e.Store.writeFirst(keep)
		}
	}
	if err = errors.Join(err, e.Store.unmark()); err != nil {
		e.log().Warn("cannot tidy the state", "err", err)
	}
}
