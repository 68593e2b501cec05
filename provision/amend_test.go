package provision_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
)

func TestAmend(t *testing.T) {
	r := newRig(t)
	r.kv.m["a"] = provision.Attrs{"x": "0"}
	r.mustApply(t, provision.Desired{Wants: []provision.Want{want("a", "x", "1"), want("b", "y", "1")}}, provision.ApplyOptions{})
	r.mustApply(t, provision.Desired{Wants: []provision.Want{want("a", "x", "2"), want("b", "y", "1")}}, provision.ApplyOptions{})
	amend := func(ws ...provision.Want) error {
		r.reopen(t)
		seen := r.kv.seen
		r.kv.seen = nil // without a snapshot there is nothing that a boot could go back on
		defer func() { r.kv.seen = seen }()
		return r.Amend(bg, ws)
	}

	if err := amend(want("a", "x", "3"), want("b", "y", "3")); err != nil {
		t.Fatal(err)
	}
	r.is(t, map[string]provision.Attrs{"a": {"x": "3"}, "b": {"y": "3"}})
	// It is no difference for whoever wants that too, and nobody's change.
	if res := r.mustApply(t, provision.Desired{Wants: []provision.Want{want("a", "x", "3"), want("b", "y", "3")}}, provision.ApplyOptions{}); res.Writes != 0 {
		t.Fatalf("%+v", res)
	}
	for what, w := range map[string]provision.Want{"was not committed": want("c", "x", "1"), "its z was not committed": want("a", "z", "1")} {
		if err := amend(want("b", "y", "4"), w); err == nil || !strings.Contains(err.Error(), what) {
			t.Error(err)
		}
	}
	r.kv.fail = func(name string, _ provision.Attrs) error {
		if name == "b" {
			return errors.New("no")
		}
		return nil
	}
	if err := amend(want("a", "x", "4"), want("b", "y", "4")); err == nil || !strings.Contains(err.Error(), "no") {
		t.Error(err)
	}
	r.kv.fail = nil
	r.is(t, map[string]provision.Attrs{"a": {"x": "3"}, "b": {"y": "3"}})

	// No snapshot was made: going back goes to before the last apply.
	if _, err := r.Rollback(bg); err != nil {
		t.Fatal(err)
	}
	r.is(t, map[string]provision.Attrs{"a": {"x": "1"}, "b": {"y": "1"}})
	if err := amend(want("a", "x", "5"), want("b", "y", "5")); err != nil {
		t.Fatal(err)
	}
	// And it is still ours to take away.
	if res, err := r.Revert(bg, false); err != nil || len(res.Foreign) != 0 {
		t.Fatal(res.Foreign, err)
	}
	r.is(t, map[string]provision.Attrs{"a": {"x": "0"}})

	r.mustApply(t, provision.Desired{Wants: []provision.Want{want("a", "x", "6")}}, provision.ApplyOptions{Confirm: time.Minute, Arm: nil})
	if err := amend(want("a", "x", "7")); !errors.Is(err, provision.ErrUnsettled) {
		t.Error(err)
	}
	r.is(t, map[string]provision.Attrs{"a": {"x": "6"}})
}
