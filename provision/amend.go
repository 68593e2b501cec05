package provision

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrUnsettled is wrapped by Amend while an apply waits for its confirmation or was interrupted.
var ErrUnsettled = errors.New("an apply is not settled yet")

// Amend gives references of the last commit other values, as part of that commit: no snapshot is made
// and none is lost, so a rollback still goes back to before the last apply. It is for content that
// changes by itself (lists that are fetched anew), and is nothing that a person would go back on. All
// wants hold afterwards or, as far as that can be, none. A want that was not committed, or with
// attributes that were not, is an error.
func (e *Engine) Amend(ctx context.Context, wants []Want) error {
	return e.locked(ctx, func(*Lock) error {
		st, err := e.Store.load()
		if err != nil {
			return err
		}
		if len(st.active) > 0 {
			return fmt.Errorf("nothing was changed: %w", ErrUnsettled)
		}
		if st.ledger == nil {
			return errors.New("cannot amend: nothing was ever committed")
		}
		next := *st.ledger
		next.Refs = slices.Clone(next.Refs)
		for _, w := range wants {
			if err := e.amended(&next, w); err != nil {
				return err
			}
		}
		var undo []Want // what was there
		for _, w := range wants {
			r := e.Resources[w.Kind]
			have, err := r.Get(ctx, w.Name)
			if err == nil && classesOf(r).differs(have, w.Attrs) {
				if err = r.Set(ctx, w.Name, have, w.Attrs); err == nil {
					undo = append(undo, Want{Ref: w.Ref, Attrs: have})
				}
			}
			if err != nil {
				return errors.Join(fmt.Errorf("cannot amend %s: %w", w.Ref, err), e.unamend(ctx, undo))
			}
		}
		if remembers(st.ledger, &next) {
			return nil
		}
		if err := e.Store.writeLedger(&next); err != nil {
			return errors.Join(err, e.unamend(ctx, undo))
		}
		return nil
	})
}

// amended puts the digests of a want into the ledger.
func (e *Engine) amended(l *ledger, w Want) error {
	if e.Resources[w.Kind] == nil {
		return fmt.Errorf("cannot amend %s: there is no such kind of state", w.Ref)
	}
	i := slices.IndexFunc(l.Refs, func(r ledgerRef) bool { return r.Ref.ref() == w.Ref })
	if i < 0 || l.Refs[i].Last == nil || w.Attrs == nil {
		return fmt.Errorf("cannot amend %s: it was not committed", w.Ref)
	}
	last := wireAttrs{}
	for k, v := range l.Refs[i].Last {
		last[k] = v
	}
	for k, v := range classesOf(e.Resources[w.Kind]).compared(w.Attrs) {
		if _, ok := last[k]; !ok {
			return fmt.Errorf("cannot amend %s: its %s was not committed", w.Ref, k)
		}
		last[k] = digest(l.Key, w.Ref, k, v)
	}
	l.Refs[i].Last = last
	return nil
}

// unamend puts back what was there, whatever the context says.
func (e *Engine) unamend(ctx context.Context, undo []Want) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for _, w := range slices.Backward(undo) {
		r := e.Resources[w.Kind]
		now, err := r.Get(ctx, w.Name)
		if err == nil {
			err = r.Set(ctx, w.Name, now, w.Attrs)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("and %s could not be put back: %w", w.Ref, err))
		}
	}
	return errors.Join(errs...)
}
