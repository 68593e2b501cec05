package enginetest

import (
	"context"
	"fmt"
	"maps"
	"sort"
	"strings"
	"time"

	"github.com/provision-net/provision/provision"
)

// State is a machine as data.
type State map[provision.Ref]provision.Attrs

// Clone copies a state.
func (s State) Clone() State {
	c := make(State, len(s))
	for r, a := range s {
		c[r] = maps.Clone(a)
	}
	return c
}

// Diff lists what differs, one line per reference; empty when equal.
func (s State) Diff(other State) string {
	var lines []string
	for r, a := range s {
		if b, ok := other[r]; !ok || !maps.Equal(a, b) {
			lines = append(lines, fmt.Sprintf("%s: %s / %s", r, a, other[r]))
		}
	}
	for r, b := range other {
		if _, ok := s[r]; !ok {
			lines = append(lines, fmt.Sprintf("%s: %s / %s", r, s[r], b))
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

// Rules are the truths of a machine, beyond a table of attributes. Each field may
// be nil.
type Rules struct {
	// Class says how an attribute is compared.
	Class func(kind, attr string) provision.Class
	// Refuse is asked before a Set, like a kernel that answers EBUSY.
	// provision.ErrPending means that only a daemon brings this about.
	Refuse func(m *Machine, r provision.Ref, have, want provision.Attrs) error
	// Follow is called after a Set: what else changes because of it.
	Follow func(m *Machine, r provision.Ref)
	// Act plays the daemons. Without it actions do nothing.
	Act func(m *Machine, a provision.Action) error
	// Dump and Batch name the kinds that offer Lister and Batcher.
	Dump, Batch map[string]bool
}

// Machine is a machine in memory. It is not safe for concurrent use.
type Machine struct {
	State State
	Rules Rules
	Clock *Clock
	// Changed, when set, is called after everything that changes State.
	Changed func()

	due []due
}

// due is what a daemon does later.
type due struct {
	at time.Duration
	do func(m *Machine)
}

// NewMachine returns a machine in state s (copied).
func NewMachine(s State, rules Rules) *Machine {
	return &Machine{State: s.Clone(), Rules: rules, Clock: NewClock()}
}

// Later lets a daemon do something after d.
func (m *Machine) Later(d time.Duration, do func(m *Machine)) {
	_, up := m.Clock.Boot()
	m.due = append(m.due, due{up + d, do})
	m.tick()
}

func (m *Machine) tick() {
	if len(m.due) == 0 {
		return
	}
	_, up := m.Clock.Boot()
	var rest []due
	for _, d := range m.due {
		if d.at <= up {
			d.do(m)
		} else {
			rest = append(rest, d)
		}
	}
	m.due = rest
}

// Settle lets everything happen that daemons still have to do.
func (m *Machine) Settle() {
	for len(m.due) > 0 {
		m.Clock.After(time.Second)
		m.tick()
	}
}

// Engine returns an engine for this machine: a resource for each kind that d or the
// machine's state names, an actor for each kind of action, and store.
func (m *Machine) Engine(store *provision.Store, ds ...provision.Desired) *provision.Engine {
	e := &provision.Engine{Resources: map[string]provision.Resource{}, Actors: map[string]provision.Actor{}, Store: store, Clock: m.Clock}
	add := func(kind string) {
		if e.Resources[kind] == nil {
			e.Resources[kind] = m.resource(kind)
		}
	}
	for r := range m.State {
		add(r.Kind)
	}
	for _, d := range ds {
		for _, w := range d.Wants {
			add(w.Kind)
		}
		for _, w := range d.Expect {
			add(w.Kind)
		}
		for _, h := range d.Holds {
			add(h.Kind)
		}
		for _, t := range d.Triggers {
			e.Actors[t.Do.Kind] = actor{m}
		}
	}
	return e
}

func (m *Machine) resource(kind string) provision.Resource {
	k := kindOf{m, kind}
	switch dump, batch := m.Rules.Dump[kind], m.Rules.Batch[kind]; {
	case dump && batch:
		return struct {
			kindOf
			lister
			batcher
		}{k, lister{k}, batcher{k}}
	case dump:
		return struct {
			kindOf
			lister
		}{k, lister{k}}
	case batch:
		return struct {
			kindOf
			batcher
		}{k, batcher{k}}
	}
	return k
}

// kindOf is one sort of state of a machine.
type kindOf struct {
	m    *Machine
	kind string
}

func (k kindOf) Get(_ context.Context, name string) (provision.Attrs, error) {
	k.m.tick()
	return maps.Clone(k.m.State[provision.Ref{Kind: k.kind, Name: name}]), nil
}

func (k kindOf) Class(attr string) provision.Class {
	if k.m.Rules.Class == nil {
		return provision.Exact
	}
	return k.m.Rules.Class(k.kind, attr)
}

func (k kindOf) Set(_ context.Context, name string, have, want provision.Attrs) error {
	k.m.tick()
	if err := k.check(name, have, want); err != nil {
		return err
	}
	k.write(name, want)
	return nil
}

func (k kindOf) check(name string, have, want provision.Attrs) error {
	r := provision.Ref{Kind: k.kind, Name: name}
	now := k.m.State[r]
	if (now == nil) != (have == nil) {
		return fmt.Errorf("%s: %w", r, provision.ErrStale)
	}
	for a := range want {
		if now != nil && now[a] != have[a] {
			return fmt.Errorf("%s of %s: %w", a, r, provision.ErrStale)
		}
	}
	if k.m.Rules.Refuse != nil {
		if err := k.m.Rules.Refuse(k.m, r, now, want); err != nil {
			return fmt.Errorf("%s: %w", r, err)
		}
	}
	return nil
}

func (k kindOf) write(name string, want provision.Attrs) {
	r := provision.Ref{Kind: k.kind, Name: name}
	if want == nil {
		delete(k.m.State, r)
	} else {
		now := maps.Clone(k.m.State[r])
		if now == nil {
			now = provision.Attrs{}
		}
		for a, v := range want {
			// A missing attribute is the empty one.
			if v == "" {
				delete(now, a)
			} else {
				now[a] = v
			}
		}
		k.m.State[r] = now
	}
	if k.m.Rules.Follow != nil {
		k.m.Rules.Follow(k.m, r)
	}
	if k.m.Changed != nil {
		k.m.Changed()
	}
}

type lister struct{ k kindOf }

func (l lister) List(_ context.Context, names []string) (map[string]provision.Attrs, error) {
	l.k.m.tick()
	out := map[string]provision.Attrs{}
	for _, n := range names {
		if a, ok := l.k.m.State[provision.Ref{Kind: l.k.kind, Name: n}]; ok {
			out[n] = maps.Clone(a)
		}
	}
	return out, nil
}

type batcher struct{ k kindOf }

func (b batcher) SetAll(_ context.Context, steps []provision.Step) error {
	b.k.m.tick()
	for _, s := range steps {
		if err := b.k.check(s.Name, s.Have, s.Want); err != nil {
			return err
		}
	}
	for _, s := range steps {
		b.k.write(s.Name, s.Want)
	}
	return nil
}

type actor struct{ m *Machine }

func (a actor) Do(_ context.Context, act provision.Action) error {
	a.m.tick()
	if a.m.Rules.Act == nil {
		return nil
	}
	err := a.m.Rules.Act(a.m, act)
	if a.m.Changed != nil {
		a.m.Changed()
	}
	return err
}
