package enginetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/provision-net/provision/provision"
)

// Case is the outcome of a planner on a machine in memory.
type Case struct {
	Start   State // before we ever came
	Desired provision.Desired
	// Without are the outcomes of the planner with each config key removed in
	// turn. When nil, each want is removed in turn from Desired (and Expect, which
	// may depend on it, is left out).
	Without []provision.Desired
	// Rules are the machine's; the zero value is a table of attributes.
	Rules Rules
}

// Planner checks that what a planner desires can be lived with: applied, applied
// again for nothing, reduced key by key with everything else left alone, reverted,
// and interrupted by failures and crashes at every effect.
func Planner(t *testing.T, c Case) {
	t.Helper()
	if err := c.roundTrip(); err != nil {
		t.Fatal(err)
	}
	for i, d := range c.without() {
		if err := c.reduce(d); err != nil {
			t.Errorf("with part %d removed: %v", i, err)
		}
	}
	if err := c.interrupt(); err != nil {
		t.Error(err)
	}
}

func (c Case) without() []provision.Desired {
	if c.Without != nil {
		return c.Without
	}
	var out []provision.Desired
	for i := range c.Desired.Wants {
		d := c.Desired
		d.Wants = slices.Delete(slices.Clone(d.Wants), i, i+1)
		d.Expect = nil
		out = append(out, d)
	}
	return out
}

func (c Case) machine(s State, files *MemFiles) (*Machine, *provision.Engine) {
	m := NewMachine(s, c.Rules)
	return m, m.Engine(files.Store(), append(c.without(), c.Desired)...)
}

func (c Case) roundTrip() error {
	ctx := context.Background()
	m, e := c.machine(c.Start, NewMemFiles())
	before, err := e.Plan(ctx, c.Desired)
	if err != nil {
		return fmt.Errorf("plan: %w", err)
	}
	if d := m.State.Diff(c.Start); d != "" {
		return fmt.Errorf("plan has changed the machine:\n%s", d)
	}
	res, err := e.Apply(ctx, c.Desired, provision.ApplyOptions{})
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	if before.Empty() != (res.Writes == 0) {
		return fmt.Errorf("the plan has %d changes and apply made %d writes", len(before.Changes), res.Writes)
	}
	m.Settle()
	if p, err := e.Plan(ctx, c.Desired); err != nil || !p.Empty() {
		return fmt.Errorf("the second plan is not empty: %+v %v", p, err)
	}
	if res, err := e.Apply(ctx, c.Desired, provision.ApplyOptions{}); err != nil || res.Writes != 0 {
		return fmt.Errorf("the second apply made %d writes: %v %v", res.Writes, res.Effects, err)
	}
	if v, err := e.Verify(ctx, c.Desired); err != nil || !v.OK() {
		return fmt.Errorf("verify: %+v %v", v, err)
	}
	if res, err := e.Revert(ctx, false); err != nil || len(res.Foreign) > 0 {
		return fmt.Errorf("revert left %v: %v %v", res.Foreign, res.Notes, err)
	}
	m.Settle()
	if d := m.State.Diff(c.Start); d != "" {
		return fmt.Errorf("revert ended elsewhere (is / should be):\n%s", d)
	}
	return nil
}

// reduce applies everything and then less. What is not wanted any more must be as it
// was at the start, and the end the same as if it had never been wanted.
func (c Case) reduce(less provision.Desired) error {
	ctx := context.Background()
	direct, e := c.machine(c.Start, NewMemFiles())
	if _, err := e.Apply(ctx, less, provision.ApplyOptions{}); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	direct.Settle()
	m, e := c.machine(c.Start, NewMemFiles())
	if _, err := e.Apply(ctx, c.Desired, provision.ApplyOptions{}); err != nil {
		return fmt.Errorf("apply of everything: %w", err)
	}
	m.Settle()
	if _, err := e.Apply(ctx, less, provision.ApplyOptions{}); err != nil {
		return fmt.Errorf("apply after everything: %w", err)
	}
	m.Settle()
	if d := m.State.Diff(direct.State); d != "" {
		return fmt.Errorf("something is left of it (is / should be):\n%s", d)
	}
	return nil
}

func (c Case) interrupt() error {
	ctx := context.Background()
	count := &Injector{At: -1}
	m, e := c.machine(c.Start, NewMemFiles())
	if _, err := count.Wrap(e).Apply(ctx, c.Desired, provision.ApplyOptions{}); err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	m.Settle()
	goal := m.State.Clone()
	for at := range count.N {
		for _, f := range []Fault{FailBefore, FailAfter, CrashBefore, CrashAfter, StaleOnce} {
			files := NewMemFiles()
			m, e := c.machine(c.Start, files)
			inj := &Injector{At: at, Fault: f}
			var err error
			if Crashes(func() { _, err = inj.Wrap(e).Apply(ctx, c.Desired, provision.ApplyOptions{}) }) {
				_, err = m.Engine(files.Store(), c.Desired).Recover(ctx)
			}
			var failed *provision.FailedError
			if err != nil && !errors.As(err, &failed) {
				return fmt.Errorf("%s effect %d: %w", f, at, err)
			}
			m.Settle()
			if d := m.State.Diff(c.Start); d != "" && m.State.Diff(goal) != "" {
				return fmt.Errorf("%s effect %d: ended neither at the goal nor at the start (is / start):\n%s", f, at, d)
			}
		}
	}
	return nil
}
