package provision

import (
	"context"
	"errors"
	"fmt"
)

// begin makes the snapshot durable. Nothing has been changed when it fails.
func (a *attempt) begin(ctx context.Context, have map[Ref]Attrs) (*journal, error) {
	lk := a.look
	var refs []Ref
	for _, h := range lk.holds {
		refs = append(refs, h.Ref)
	}
	all := make(map[Ref]Attrs, len(lk.have)+len(refs))
	for r, v := range lk.have {
		all[r] = v
	}
	for r, v := range have { // of the pass that is about to make the first effect
		all[r] = v
	}
	if err := a.read(ctx, refs, all, nil); err != nil {
		return nil, err
	}
	for r, v := range a.earlier.base {
		if _, ok := all[r]; ok {
			all[r] = v
		}
	}
	snap := &snapshot{Time: a.clock().Now(), Settle: a.opt.Settle, Prev: lk.ledger,
		Seq: a.earlier.seq + 1, Triggers: toWireTriggers(lk.triggers), Holds: toWireHolds(lk.holds)}
	if lk.ledger != nil {
		snap.Seq = max(snap.Seq, lk.ledger.Seq+1)
	}
	snap.Entries = entries(lk, all)
	for _, r := range lk.given {
		if v, ok := lk.first[r]; ok {
			snap.Given = append(snap.Given, seen{toWireRef(r), wireAttrs(v)})
		}
	}
	first := a.firstSeen(a.d, lk.ledger, lk.first, all)
	if a.first = first; first == nil {
		a.first = lk.first
	}
	if a.opt.Confirm > 0 {
		id, up := a.clock().Boot()
		a.until = confirm{Boot: id, At: up + a.opt.Confirm}
	}
	j, err := a.Store.beginJournal(snap, first)
	if err != nil {
		a.Store.files.Remove(snapshotName(snap.Seq)) // nothing has been changed, so leaving it is harmless too
		return nil, err
	}
	if a.opt.Confirm > 0 && a.opt.Arm != nil {
		if err := a.opt.Arm(ctx, a.opt.Confirm); err != nil {
			return nil, errors.Join(fmt.Errorf("cannot arm the way back: %w", err), j.drop())
		}
	}
	// What an earlier run could not restore is in this snapshot now.
	return j, a.earlier.forget()
}

// entries lists what going back needs of each reference that may change.
func entries(lk *look, have map[Ref]Attrs) []entry {
	holds := map[Ref]Attrs{}
	for _, h := range lk.holds {
		holds[h.Ref] = h.Attrs
	}
	var out []entry
	keys := func(sets ...Attrs) []text {
		all := Attrs{}
		for _, s := range sets {
			for k := range s {
				all[k] = ""
			}
		}
		var out []text
		for _, k := range all.keys() {
			out = append(out, text(k))
		}
		return out
	}
	for _, it := range lk.items {
		out = append(out, entry{Ref: toWireRef(it.ref), Value: wireAttrs(have[it.ref]), Delete: it.want == nil,
			Mode: it.mode, Why: text(it.why), Keys: keys(it.want, holds[it.ref])})
		delete(holds, it.ref)
	}
	for _, h := range lk.holds {
		if a, ok := holds[h.Ref]; ok {
			out = append(out, entry{Ref: toWireRef(h.Ref), Value: wireAttrs(have[h.Ref]), Held: true, Keys: keys(a)})
			delete(holds, h.Ref)
		}
	}
	return out
}
