package provision_test

import (
	"errors"
	"os"
	"testing"

	"github.com/provision-net/provision/provision"
)

var (
	one = provision.Desired{Wants: []provision.Want{want("a", "x", "1")}, Triggers: []provision.Trigger{trigger("t", "a")}}
	two = provision.Desired{Wants: []provision.Want{want("a", "x", "2")}, Triggers: []provision.Trigger{trigger("t", "a")}}
)

func TestStuck(t *testing.T) {
	r := newRig(t)
	r.kv.m["a"], r.kv.m["b"] = provision.Attrs{"x": "0"}, provision.Attrs{"x": "0"}
	broken := false
	r.kv.fail = func(name string, _ provision.Attrs) error {
		if name == "bad" {
			broken = true
		}
		if name == "bad" || broken && name == "a" {
			return errors.New("input/output error")
		}
		return nil
	}
	d := provision.Desired{Wants: []provision.Want{want("a", "x", "1"), want("b", "x", "1"), want("c", "x", "1"), want("bad", "x", "1")}}
	res, err := r.Apply(bg, d, provision.ApplyOptions{})
	var stuck *provision.StuckError
	if !errors.As(err, &stuck) || len(stuck.Refs) != 1 || stuck.Refs[0] != ref("a") || len(res.NotRestored) != 1 {
		t.Fatalf("apply: %+v %v", res, err)
	}
	// Everything else has been restored.
	r.is(t, map[string]provision.Attrs{"a": {"x": "1"}, "b": {"x": "0"}})
	r.reopen(t)
	if s, err := r.Status(bg); err != nil || !s.Interrupted || len(s.Stuck) != 1 {
		t.Fatalf("status: %+v %v", s, err)
	}
	if _, err := r.Recover(bg); !errors.As(err, &stuck) {
		t.Fatalf("recover: %v", err)
	}
	// A goal that needs nothing of what is broken can be reached, and the value
	// of before is not forgotten.
	d = provision.Desired{Wants: []provision.Want{want("a", "x", "1"), want("b", "x", "5")}}
	r.mustApply(t, d, provision.ApplyOptions{})
	r.is(t, map[string]provision.Attrs{"a": {"x": "1"}, "b": {"x": "5"}})
	r.kv.fail = nil
	if _, err := r.Rollback(bg); err != nil {
		t.Fatal(err)
	}
	r.is(t, map[string]provision.Attrs{"a": {"x": "0"}, "b": {"x": "0"}})
	r.mustApply(t, d, provision.ApplyOptions{})
	if _, err := r.Revert(bg, false); err != nil {
		t.Fatal(err)
	}
	r.is(t, map[string]provision.Attrs{"a": {"x": "0"}, "b": {"x": "0"}})
	if r.marked() {
		t.Error("all is as before, and the next boot looks for what is not finished")
	}
	// A mark whose removal did not reach the disk.
	if err := os.WriteFile(r.dir+"/unfinished", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if res, err := r.Recover(bg); err != nil || res.Recovered || r.marked() {
		t.Errorf("nothing to recover: %+v %v, the mark is still there: %v", res, err, r.marked())
	}
}

func TestForeign(t *testing.T) {
	r := newRig(t)
	r.kv.m["a"] = provision.Attrs{"x": "0"}
	r.mustApply(t, provision.Desired{Wants: []provision.Want{want("a", "x", "1"), want("b", "x", "1")}}, provision.ApplyOptions{})
	r.kv.m["a"]["x"] = "somebody's"
	for range 2 { // it is remembered, so that it can be forced
		res, err := r.Revert(bg, false)
		if err != nil || len(res.Foreign) != 1 || res.Foreign[0] != ref("a") || len(res.Notes) != 1 {
			t.Fatalf("revert: %+v %v", res, err)
		}
		r.is(t, map[string]provision.Attrs{"a": {"x": "somebody's"}})
	}
	if res, err := r.Revert(bg, true); err != nil || len(res.Foreign) != 0 {
		t.Fatalf("forced: %+v %v", res, err)
	}
	r.is(t, map[string]provision.Attrs{"a": {"x": "0"}})

	r.mustApply(t, one, provision.ApplyOptions{})
	r.kv.m["a"]["x"] = "theirs"
	res := r.mustApply(t, provision.Desired{}, provision.ApplyOptions{})
	if len(res.Foreign) != 1 || res.Writes != 0 {
		t.Fatalf("pruned: %+v", res)
	}
	if res := r.mustApply(t, provision.Desired{}, provision.ApplyOptions{}); len(res.Foreign) != 0 {
		t.Fatalf("not forgotten: %+v", res)
	}
	// Wanted again, its first value is what is there now.
	r.mustApply(t, one, provision.ApplyOptions{})
	if _, err := r.Revert(bg, false); err != nil {
		t.Fatal(err)
	}
	r.is(t, map[string]provision.Attrs{"a": {"x": "theirs"}})
}

// delegated is state that a daemon brings about.
type delegated struct{ *kv }

func (delegated) Delegated() bool { return true }

// What a daemon makes of its files once they are as before is not somebody else's doing; what no daemon keeps is.
func TestDelegatedIsNotForeign(t *testing.T) {
	r := newRig(t)
	r.Resources["kv"] = delegated{r.kv}
	r.kv.m["a"] = provision.Attrs{"x": "1002,1024"}
	lent := want("a", "x", "1000")
	lent.Mode = provision.IfPresent
	r.mustApply(t, provision.Desired{Wants: []provision.Want{lent, want("b", "x", "1")}}, provision.ApplyOptions{})
	r.kv.m["a"]["x"] = "1002"
	r.kv.m["b"]["x"] = "somebody's"
	res, err := r.Revert(bg, false)
	if err != nil || len(res.Foreign) != 1 || res.Foreign[0] != ref("b") {
		t.Fatalf("revert: %+v %v", res, err)
	}
	r.is(t, map[string]provision.Attrs{"a": {"x": "1002"}, "b": {"x": "somebody's"}})
}

// The same while going back: the daemon is asked for the first value and settles for another; if it keeps ours, that is told.
func TestDelegatedIsNotAbandoned(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		r := newRig(t)
		r.Resources["kv"] = delegated{r.kv}
		r.kv.m["a"] = provision.Attrs{"x": "1002,1024"}
		lent := want("a", "x", "1000")
		lent.Mode = provision.IfPresent
		r.mustApply(t, provision.Desired{Wants: []provision.Want{lent}}, provision.ApplyOptions{})
		r.kv.fail = func(name string, want provision.Attrs) error {
			if !keeps {
				r.kv.m[name]["x"] = "1002"
			}
			return provision.ErrPending
		}
		res, err := r.Revert(bg, false)
		if err != nil || (len(res.Foreign) == 1) != keeps {
			t.Fatalf("keeps %v: revert: %+v %v", keeps, res, err)
		}
	}
}

func TestAttributesAreGivenUpOneByOne(t *testing.T) {
	r := newRig(t)
	r.kv.m["a"] = provision.Attrs{"x": "0", "y": "0"}
	r.mustApply(t, provision.Desired{Wants: []provision.Want{want("a", "x", "1", "y", "1", "z", "1")}}, provision.ApplyOptions{})
	r.mustApply(t, provision.Desired{Wants: []provision.Want{want("a", "x", "1")}}, provision.ApplyOptions{})
	r.is(t, map[string]provision.Attrs{"a": {"x": "1", "y": "0", "z": ""}})
}

func TestLockedSaysByWhom(t *testing.T) {
	r := newRig(t)
	lock, err := r.Store.Lock(bg)
	if err != nil {
		t.Fatal(err)
	}
	r.reopen(t)
	_, err = r.Apply(bg, one, provision.ApplyOptions{})
	var locked *provision.LockedError
	if !errors.As(err, &locked) || locked.Pid != os.Getpid() || locked.Command == "" {
		t.Fatalf("apply: %v (%+v)", err, locked)
	}
	if _, err := r.Plan(bg, one); err != nil {
		t.Fatalf("a plan needs no lock: %v", err)
	}
	lock.Unlock()
	r.mustApply(t, one, provision.ApplyOptions{})
}
