package provision

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"
)

// Engine compares, applies, verifies and goes back. Its fields are set once before
// use; one Engine serves any number of calls, one after the other.
type Engine struct {
	Resources map[string]Resource // by Ref.Kind
	Actors    map[string]Actor    // by Action.Kind
	// Store keeps snapshots and ledger. Without one Plan and Verify work, but
	// nothing can be pruned or changed.
	Store *Store
	Log   *slog.Logger // nil discards
	Clock Clock        // nil is SystemClock
	// Scope, when set, restricts a goal and what Plan, Verify, Apply, Revert and Status
	// look at: a reference outside can be neither wanted nor held (only expected), is not
	// pruned, and stays in the ledger as it is. Going back knows no scope: it undoes the
	// run that is to be undone, whoever began it, so Resources has to have all kinds.
	Scope func(Ref) bool
	// Look, when set, gives the context for one reading of several references. Until that
	// is over the engine changes nothing, so that resources may share there what they
	// have asked the kernel.
	Look func(context.Context) context.Context
	// BackTimeout bounds going back, which the caller's context does not stop;
	// zero means 2 minutes.
	BackTimeout time.Duration
}

//go:noinline
func (e *Engine) clock() Clock {
	if e.Clock == nil {
		return SystemClock()
	}
	return e.Clock
}

func (e *Engine) log() *slog.Logger {
	if e.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return e.Log
}

// Result says what was done.
type Result struct {
	Effects  []Change `json:"effects"`            // every write that succeeded, in order, also those gone back on
	Triggers []string `json:"triggers,omitempty"` // triggers that ran, in order
	Writes   int      `json:"writes"`             // number of effects and triggers: 0 when nothing had to be done
	Unmet    []Unmet  `json:"unmet,omitempty"`    // what is only reported, or conditional and absent
	Foreign  []Ref    `json:"foreign,omitempty"`  // given up, but changed by somebody else: left alone
	Notes    []Note   `json:"notes,omitempty"`
	// GoneBack: the machine is as the snapshot says (an apply that failed, a
	// rollback, a recovery).
	GoneBack bool `json:"gone_back,omitempty"`
	// Recovered: an interrupted or unconfirmed run was undone first.
	Recovered bool `json:"recovered,omitempty"`
	// NotRestored names what going back could not restore.
	NotRestored []Ref `json:"not_restored,omitempty"`
	// Pending is the time left until an unconfirmed apply goes back by itself.
	Pending time.Duration `json:"pending,omitempty"`
}

// past reads what Plan and Verify need to know of earlier runs. State that cannot
// be read by this user is said in a note: without it nothing can be pruned.
func (e *Engine) past() (l *ledger, first map[Ref]Attrs, notes []Note, err error) {
	if e.Store == nil {
		return nil, nil, nil, nil
	}
	st, err := e.Store.load()
	if err == nil && st.ledger != nil {
		first, err = e.Store.readFirst()
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, nil, []Note{{Level: "warning", Subject: "state", Text: fmt.Sprintf("%v: what is no longer wanted is not part of this plan", err)}}, nil
	case err != nil:
		return nil, nil, nil, err
	}
	for _, name := range st.active {
		text := "an interrupted run will be gone back on first"
		if j, err := e.Store.openJournal(name); errors.Is(err, fs.ErrNotExist) {
			continue // the run has just ended: no lock is held here
		} else if err != nil {
			return nil, nil, nil, err
		} else if left := j.waiting(e.clock()); left > 0 {
			text = fmt.Sprintf("an apply waits for its confirmation for another %s", left.Round(time.Second))
		}
		notes = append(notes, Note{Level: "warning", Subject: "state", Text: text})
	}
	return st.ledger, first, notes, nil
}

// look is one reading of the machine in the light of what is wanted.
type look struct {
	goal
	ledger *ledger
	first  map[Ref]Attrs
	have   map[Ref]Attrs
}

// look reads every reference of d once and compares.
func (e *Engine) look(ctx context.Context, d Desired, l *ledger, first map[Ref]Attrs, force bool) (*look, error) {
	refs := make([]Ref, 0, len(d.Wants)+len(d.Expect)+8)
	for _, w := range d.Wants {
		refs = append(refs, w.Ref)
	}
	for _, r := range e.prunable(d, l) {
		if e.Resources[r.Ref.Kind] != nil {
			refs = append(refs, r.Ref.ref())
		}
	}
	for _, w := range d.Expect {
		refs = append(refs, w.Ref)
	}
	have := make(map[Ref]Attrs, len(refs))
	if err := e.read(ctx, refs, have, nil); err != nil {
		return nil, err
	}
	return &look{goal: e.goal(d, l, first, have, force), ledger: l, first: first, have: have}, nil
}

// Plan compares d with the machine. It changes nothing, takes no lock and needs no
// privilege beyond what the Get of the resources need.
func (e *Engine) Plan(ctx context.Context, d Desired) (Plan, error) {
	d, err := e.check(d)
	if err != nil {
		return Plan{}, err
	}
	l, first, notes, err := e.past()
	if err != nil {
		return Plan{}, err
	}
	lk, err := e.look(ctx, d, l, first, false)
	if err != nil {
		return Plan{}, err
	}
	p := e.plan(lk)
	p.Notes = append(notes, p.Notes...)
	return p, nil
}

// plan shows a look as changes in the order in which they would be made.
func (e *Engine) plan(lk *look) Plan {
	p := Plan{Changes: []Change{}, Notes: lk.notes}
	steps := e.compare(lk.items, lk.have)
	touched := map[Ref]bool{}
	for _, s := range inOrder(steps) {
		it := s.item
		p.Changes = append(p.Changes, classesOf(e.Resources[it.ref.Kind]).change(it.ref, s.have, s.want, it.why, it.pruned))
		touched[it.ref] = true
	}
	for _, h := range lk.holds {
		for _, r := range h.While {
			if touched[r] {
				touched[h.Ref] = true
				break
			}
		}
	}
	due := map[string]bool{}
	for _, t := range lk.triggers {
		for _, r := range t.On {
			due[t.Name] = due[t.Name] || touched[r]
		}
	}
	again := func(via []string) {
		for _, v := range via {
			if due[v] {
				return
			}
		}
		for _, v := range via {
			due[v] = true
		}
	}
	for _, s := range steps {
		again(s.item.via)
	}
	p.Unmet = e.unmet(lk.report, lk.have)
	for _, w := range lk.expect {
		if u, ok := e.holds(w, lk.have); !ok {
			p.Unmet = append(p.Unmet, u)
			if failing(u) {
				again(w.Via)
			}
		}
	}
	for _, it := range lk.items {
		if it.mode == IfPresent && it.want != nil && lk.have[it.ref] == nil {
			p.Unmet = append(p.Unmet, classesOf(e.Resources[it.ref.Kind]).unmet(Want{Ref: it.ref, Attrs: it.want, Why: it.why, Mode: it.mode}, nil))
		}
	}
	for _, t := range lk.triggers {
		if due[t.Name] {
			p.Triggers = append(p.Triggers, t)
		}
	}
	return p
}

// holds reports whether w is true, and shows it if not.
func (e *Engine) holds(w Want, have map[Ref]Attrs) (Unmet, bool) {
	cls := classesOf(e.Resources[w.Kind])
	if !cls.differs(have[w.Ref], w.Attrs) {
		return Unmet{}, true
	}
	return cls.unmet(w, have[w.Ref]), false
}

func (e *Engine) unmet(ws []Want, have map[Ref]Attrs) []Unmet {
	var out []Unmet
	for _, w := range ws {
		if u, ok := e.holds(w, have); !ok {
			out = append(out, u)
		}
	}
	return out
}

// failing tells what fails an apply from what is only reported: a difference of
// mode Report, or a condition that is not there.
func failing(u Unmet) bool {
	return u.Mode == Must || u.Mode == IfPresent && u.Have != nil
}

// Verification is the outcome of Verify.
type Verification struct {
	Drift       []Change `json:"drift"`                 // wants that do not hold
	Unmet       []Unmet  `json:"unmet"`                 // expectations that do not hold
	Conditional []Unmet  `json:"conditional,omitempty"` // absent where absence is allowed, and what is only reported
	Notes       []Note   `json:"notes,omitempty"`
	// Pending is the time left of an apply that waits for its confirmation.
	Pending time.Duration `json:"pending,omitempty"`
}

// OK reports whether the machine is as desired.
func (r Verification) OK() bool { return len(r.Drift) == 0 && len(r.Unmet) == 0 }

// Verify says whether the machine is as desired, effectively and not only in
// files. It changes nothing, takes no lock and does not wait.
func (e *Engine) Verify(ctx context.Context, d Desired) (Verification, error) {
	d, err := e.check(d)
	if err != nil {
		return Verification{}, err
	}
	l, first, notes, err := e.past()
	if err != nil {
		return Verification{}, err
	}
	lk, err := e.look(ctx, d, l, first, false)
	if err != nil {
		return Verification{}, err
	}
	p := e.plan(lk)
	r := Verification{Drift: p.Changes, Unmet: []Unmet{}, Notes: append(notes, p.Notes...)}
	for _, u := range p.Unmet {
		if failing(u) {
			r.Unmet = append(r.Unmet, u)
		} else {
			r.Conditional = append(r.Conditional, u)
		}
	}
	if e.Store != nil {
		if j, err := e.waitingJournal(); err == nil && j != nil {
			r.Pending = j.waiting(e.clock())
		}
	}
	return r, nil
}

// waitingJournal returns the run that waits for its confirmation, nil when none.
func (e *Engine) waitingJournal() (*journal, error) {
	st, err := e.Store.load()
	if err != nil {
		return nil, err
	}
	for _, name := range st.active {
		j, err := e.Store.openJournal(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if j.waiting(e.clock()) > 0 {
			return j, nil
		}
	}
	return nil, nil
}
