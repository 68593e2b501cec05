package enginetest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
)

// scoped is a machine of two halves, "ours" and "theirs", and an engine for one.
type scoped struct {
	m     *enginetest.Machine
	files *enginetest.MemFiles
	rang  []string
}

func inScope(r provision.Ref) bool { return strings.HasPrefix(r.Kind, "ours") }

func newScoped(base enginetest.State) *scoped {
	s := &scoped{files: enginetest.NewMemFiles()}
	s.m = enginetest.NewMachine(base, enginetest.Rules{Act: func(_ *enginetest.Machine, a provision.Action) error {
		s.rang = append(s.rang, a.Args["for"])
		return nil
	}, Refuse: func(m *enginetest.Machine, r provision.Ref, _, _ provision.Attrs) error {
		// Nothing of a half changes while its handle is up.
		if m.State[provision.Ref{Kind: r.Kind + "-held", Name: "h"}]["v"] != "" {
			return provision.ErrBusy
		}
		return nil
	}})
	return s
}

func (s *scoped) engine(scope func(provision.Ref) bool, inj *enginetest.Injector) *provision.Engine {
	all := provision.Desired{Triggers: []provision.Trigger{{Do: provision.Action{Kind: "bell"}}}}
	for _, kind := range []string{"ours", "ours-held", "theirs", "theirs-held"} {
		all.Wants = append(all.Wants, provision.Want{Ref: provision.Ref{Kind: kind}})
	}
	e := s.m.Engine(s.files.Store(), all)
	if inj != nil {
		e = inj.Wrap(e)
	}
	e.Scope = scope
	return e
}

// half draws what one half wants, with a trigger and a hold.
func half(rnd *rand.Rand, kind string) provision.Desired {
	var d provision.Desired
	held := provision.Ref{Kind: kind + "-held", Name: "h"}
	t := provision.Trigger{Name: "bell " + kind, Do: provision.Action{Kind: "bell", Args: map[string]string{"for": kind}}}
	h := provision.Hold{Ref: held, Attrs: provision.Attrs{"v": ""}}
	for i := range 3 {
		if rnd.IntN(3) == 0 {
			continue
		}
		w := provision.Want{Ref: provision.Ref{Kind: kind, Name: fmt.Sprint(i)}, Attrs: provision.Attrs{"v": fmt.Sprint(rnd.IntN(3))}}
		d.Wants, t.On, h.While = append(d.Wants, w), append(t.On, w.Ref), append(h.While, w.Ref)
	}
	if len(d.Wants) > 0 {
		d.Triggers, d.Holds = []provision.Trigger{t}, []provision.Hold{h}
	}
	return d
}

func both(a, b provision.Desired) provision.Desired {
	d := provision.Desired{}
	d.Append(a)
	d.Append(b)
	return d
}

func laid(base enginetest.State, ds ...provision.Desired) enginetest.State {
	s := base.Clone()
	for _, d := range ds {
		for _, w := range d.Wants {
			a := provision.Attrs{}
			for k, v := range s[w.Ref] {
				a[k] = v
			}
			for k, v := range w.Attrs {
				a[k] = v
			}
			s[w.Ref] = a
		}
	}
	return s
}

// A scoped run changes its half only, whatever happens on the way, and what the other
// half needs to be given up later is kept.
func TestScope(t *testing.T) {
	ctx := context.Background()
	opt := provision.ApplyOptions{}
	ends := map[string]int{}
	for n := range 40 {
		rnd := rand.New(rand.NewPCG(7, uint64(n)))
		base := enginetest.State{{Kind: "ours-held", Name: "h"}: {"v": "up"}, {Kind: "theirs-held", Name: "h"}: {"v": "up"}}
		for _, kind := range []string{"ours", "theirs"} {
			for i := range 3 {
				if rnd.IntN(2) == 0 {
					base[provision.Ref{Kind: kind, Name: fmt.Sprint(i)}] = provision.Attrs{"v": "first", "other": "kept"}
				}
			}
		}
		theirs, ours, next := half(rnd, "theirs"), half(rnd, "ours"), half(rnd, "ours")
		first := both(theirs, ours)
		if rnd.IntN(2) == 0 {
			first = both(ours, theirs)
		}
		start, goal := laid(base, theirs, ours), laid(base, theirs, next)
		must := func(what string, err error) {
			t.Helper()
			if err != nil {
				t.Fatalf("%d: %s: %v", n, what, err)
			}
		}
		is := func(s *scoped, what string, want enginetest.State) {
			t.Helper()
			if d := s.m.State.Diff(want); d != "" {
				t.Fatalf("%d: %s (is / should be):\n%s", n, what, d)
			}
		}
		begin := func() *scoped {
			s := newScoped(base)
			_, err := s.engine(nil, nil).Apply(ctx, first, opt)
			must("first apply", err)
			is(s, "after the first apply", start)
			s.rang = nil
			return s
		}
		// The end of every run: nothing of theirs is forgotten.
		end := func(s *scoped, now provision.Desired) {
			t.Helper()
			if strings.Contains(strings.Join(s.rang, " "), "theirs") {
				t.Fatalf("%d: a scoped run rang for the other half", n)
			}
			if p, err := s.engine(inScope, nil).Plan(ctx, now); err != nil || !p.Empty() {
				t.Fatalf("%d: the scoped plan is %+v, %v", n, p, err)
			}
			if v, err := s.engine(inScope, nil).Verify(ctx, now); err != nil || !v.OK() {
				t.Fatalf("%d: verify: %+v, %v", n, v, err)
			}
			if st, err := s.engine(inScope, nil).Status(ctx); err != nil || st.Refs != len(now.Wants) {
				t.Fatalf("%d: status counts %d of %d, %v", n, st.Refs, len(now.Wants), err)
			}
			if rnd.IntN(2) == 0 { // it would put right what was forgotten
				res, err := s.engine(nil, nil).Apply(ctx, both(theirs, now), opt)
				must("apply of everything", err)
				if res.Writes != 0 {
					t.Fatalf("%d: everything was there, and apply did %v", n, res.Effects)
				}
			}
			s.rang = nil
			_, err := s.engine(nil, nil).Apply(ctx, now, opt)
			must("apply without theirs", err)
			is(s, "theirs given up", laid(base, now))
			if len(theirs.Wants) > 0 && laid(base, theirs).Diff(base) != "" && len(s.rang) != 1 {
				t.Fatalf("%d: giving theirs up rang %v: its trigger is forgotten", n, s.rang)
			}
			_, err = s.engine(nil, nil).Revert(ctx, false)
			must("revert", err)
			is(s, "reverted", base)
		}

		count := &enginetest.Injector{At: -1}
		s := begin()
		_, err := s.engine(inScope, count).Apply(ctx, next, opt)
		must("scoped apply", err)
		is(s, "after the scoped apply", goal)
		end(s, next)

		// Down: nothing of ours is wanted.
		s = begin()
		_, err = s.engine(inScope, nil).Apply(ctx, provision.Desired{}, opt)
		must("scoped apply of nothing", err)
		is(s, "after ours went", laid(base, theirs))
		end(s, provision.Desired{})
		s = begin()
		_, err = s.engine(inScope, nil).Revert(ctx, false)
		must("scoped revert", err)
		is(s, "after a scoped revert", laid(base, theirs))
		end(s, provision.Desired{})

		// Back.
		if count.N > 0 {
			s = begin()
			_, err = s.engine(inScope, nil).Apply(ctx, next, opt)
			must("scoped apply", err)
			_, err = s.engine(inScope, nil).Rollback(ctx)
			must("rollback", err)
			is(s, "rolled back", start)
			end(s, ours)
		}
		for at := range count.N {
			for _, f := range []enginetest.Fault{enginetest.FailBefore, enginetest.FailAfter, enginetest.CrashBefore, enginetest.CrashAfter} {
				s := begin()
				inj := &enginetest.Injector{At: at, Fault: f}
				var err error
				if enginetest.Crashes(func() { _, err = s.engine(inScope, inj).Apply(ctx, next, opt) }) {
					scope := inScope
					if rnd.IntN(2) == 0 {
						scope = nil
					}
					_, err = s.engine(scope, nil).Recover(ctx)
				}
				var failed *provision.FailedError
				if err != nil && !errors.As(err, &failed) {
					t.Fatalf("%d: %s effect %d: %v", n, f, at, err)
				}
				if s.m.State.Diff(goal) == "" && goal.Diff(start) != "" {
					ends["goal"]++
					end(s, next)
					continue
				}
				ends["start"]++
				is(s, fmt.Sprint(f, " effect ", at), start)
				end(s, ours)
			}
		}
	}
	t.Log(ends)
}

// What is outside can be expected and nothing else.
func TestScopeIsChecked(t *testing.T) {
	s := newScoped(enginetest.State{})
	e := s.engine(inScope, nil)
	theirs := provision.Ref{Kind: "theirs", Name: "x"}
	for name, d := range map[string]provision.Desired{
		"want": {Wants: []provision.Want{{Ref: theirs, Attrs: provision.Attrs{"v": "1"}}}},
		"hold": {Holds: []provision.Hold{{Ref: theirs, Attrs: provision.Attrs{"v": "1"}}}},
	} {
		if _, err := e.Apply(context.Background(), d, provision.ApplyOptions{}); err == nil || !strings.Contains(err.Error(), "outside the scope") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.m.State[theirs] = provision.Attrs{"v": "1"}
	if _, err := e.Apply(context.Background(), provision.Desired{Expect: []provision.Want{{Ref: theirs, Attrs: provision.Attrs{"v": "1"}}}}, provision.ApplyOptions{}); err != nil {
		t.Error(err)
	}
}

// A run that could not be undone is not forgotten because of one that speaks of a part.
func TestScopeWaitsForWiderRuns(t *testing.T) {
	ctx := context.Background()
	theirs := provision.Ref{Kind: "theirs", Name: "x"}
	s := newScoped(enginetest.State{theirs: {"v": "first"}})
	d := provision.Desired{Wants: []provision.Want{
		{Ref: theirs, Attrs: provision.Attrs{"v": "1"}}, {Ref: provision.Ref{Kind: "theirs", Name: "y"}, Attrs: provision.Attrs{"v": "1"}}}}
	if !enginetest.Crashes(func() {
		_, _ = s.engine(nil, &enginetest.Injector{At: 1, Fault: enginetest.CrashBefore}).Apply(ctx, d, provision.ApplyOptions{})
	}) {
		t.Fatal("no crash")
	}
	ours := provision.Desired{Wants: []provision.Want{{Ref: provision.Ref{Kind: "ours", Name: "z"}, Attrs: provision.Attrs{"v": "1"}}}}
	var stuck *provision.StuckError
	if _, err := s.engine(inScope, &enginetest.Injector{At: -1, Broken: theirs}).Apply(ctx, ours, provision.ApplyOptions{}); !errors.As(err, &stuck) || len(stuck.Refs) == 0 {
		t.Fatalf("a scoped apply over a run that cannot be undone: %v", err)
	}
	if _, err := s.engine(inScope, nil).Apply(ctx, ours, provision.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := s.m.State[theirs]["v"]; got != "first" {
		t.Errorf("theirs is %q", got)
	}
}
