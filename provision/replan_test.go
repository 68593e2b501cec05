package provision_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
)

// A goal that was made while the machine was between two states is made anew once the
// machine is in one.
func TestGoalIsMadeAnew(t *testing.T) {
	goal := func(v string) provision.Desired {
		return provision.Desired{Wants: []provision.Want{want("file", "x", v)}}
	}
	asked := 0
	opt := func(basis uint64) provision.ApplyOptions {
		return provision.ApplyOptions{Basis: basis, Settle: time.Second, Replan: func(context.Context) (provision.Desired, provision.ApplyOptions, error) {
			asked++
			return goal("anew"), provision.ApplyOptions{}, nil
		}}
	}
	r := newRig(t)
	r.mustApply(t, goal("first"), opt(0))
	r.is(t, map[string]provision.Attrs{"file": {"x": "first"}})
	if asked != 0 {
		t.Fatal("nothing had happened")
	}

	s, err := r.Status(bg)
	if err != nil || s.Commit == 0 {
		t.Fatalf("%+v %v", s, err)
	}
	r.mustApply(t, goal("second"), opt(s.Commit))
	if asked != 0 {
		t.Fatal("the basis was right")
	}
	r.mustApply(t, goal("third"), opt(s.Commit)) // somebody has committed since
	r.is(t, map[string]provision.Attrs{"file": {"x": "anew"}})
	if asked != 1 {
		t.Fatalf("asked %d times", asked)
	}

	// A run that was cut off: its change stands, and is gone back on first.
	s, _ = r.Status(bg)
	r.bell.do = func(provision.Action) error { panic("power cut") }
	func() {
		defer func() { _ = recover() }()
		d := goal("cut off")
		d.Triggers = []provision.Trigger{trigger("reload", "file")}
		_, _ = r.Apply(bg, d, provision.ApplyOptions{})
	}()
	r.is(t, map[string]provision.Attrs{"file": {"x": "cut off"}})
	r.bell.do = nil
	r.reopen(t)
	refused := errors.New("another machine now")
	o := opt(s.Commit)
	o.Replan = func(context.Context) (provision.Desired, provision.ApplyOptions, error) {
		return provision.Desired{}, provision.ApplyOptions{}, refused
	}
	if _, err := r.Apply(bg, goal("stale"), o); !errors.Is(err, refused) {
		t.Fatalf("got %v", err)
	}
	r.is(t, map[string]provision.Attrs{"file": {"x": "anew"}})
}
