package provision_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
)

var (
	one = provision.Desired{Wants: []provision.Want{want("a", "x", "1")}, Triggers: []provision.Trigger{trigger("t", "a")}}
	two = provision.Desired{Wants: []provision.Want{want("a", "x", "2")}, Triggers: []provision.Trigger{trigger("t", "a")}}
)

func TestConfirm(t *testing.T) {
	waiting := func(t *testing.T) *rig {
		r := newRig(t)
		r.mustApply(t, one, provision.ApplyOptions{})
		armed := time.Duration(0)
		res := r.mustApply(t, two, provision.ApplyOptions{Confirm: time.Minute, Arm: func(_ context.Context, d time.Duration) error {
			if r.kv.m["a"]["x"] != "1" {
				t.Error("armed after the first effect")
			}
			armed = d
			return nil
		}})
		if res.Pending <= 0 || armed != time.Minute {
			t.Fatalf("pending %v, armed %v", res.Pending, armed)
		}
		r.reopen(t)
		return r
	}
	at := func(t *testing.T, r *rig, x string) {
		t.Helper()
		r.is(t, map[string]provision.Attrs{"a": {"x": x}})
	}
	t.Run("in time", func(t *testing.T) {
		r := waiting(t)
		var pending *provision.PendingError
		if _, err := r.Apply(bg, one, provision.ApplyOptions{}); !errors.As(err, &pending) {
			t.Fatalf("another apply: %v", err)
		}
		if res, err := r.Recover(bg); err != nil || res.Pending <= 0 {
			t.Fatalf("recover: %+v %v", res, err)
		}
		if s, err := r.Status(bg); err != nil || s.Pending <= 0 || s.Interrupted {
			t.Fatalf("status: %+v %v", s, err)
		}
		if err := r.Confirm(bg); err != nil {
			t.Fatal(err)
		}
		r.clock.up += time.Hour
		if res, err := r.Recover(bg); err != nil || res.GoneBack {
			t.Fatalf("recover: %+v %v", res, err)
		}
		at(t, r, "2")
		if err := r.Confirm(bg); !errors.Is(err, provision.ErrNotPending) {
			t.Fatalf("twice: %v", err)
		}
		if _, err := r.Rollback(bg); err != nil {
			t.Fatal(err)
		}
		at(t, r, "1")
	})
	t.Run("too late", func(t *testing.T) {
		r := waiting(t)
		r.clock.up += time.Minute
		if err := r.Confirm(bg); !errors.Is(err, provision.ErrExpired) {
			t.Fatalf("confirm: %v", err)
		}
		at(t, r, "1")
	})
	t.Run("recovered by the timer", func(t *testing.T) {
		r := waiting(t)
		r.clock.up += time.Minute
		if res, err := r.Recover(bg); err != nil || !res.GoneBack || !res.Recovered {
			t.Fatalf("recover: %+v %v", res, err)
		}
		at(t, r, "1")
	})
	t.Run("over a reboot", func(t *testing.T) {
		r := waiting(t)
		r.clock.boot, r.clock.up = "second", time.Second
		if _, err := r.Recover(bg); err != nil {
			t.Fatal(err)
		}
		at(t, r, "1")
	})
	t.Run("rolled back", func(t *testing.T) {
		r := waiting(t)
		if _, err := r.Rollback(bg); err != nil {
			t.Fatal(err)
		}
		at(t, r, "1")
		if res := r.mustApply(t, one, provision.ApplyOptions{}); res.Writes != 0 {
			t.Fatalf("the ledger is not that of before: %+v", res)
		}
	})
	t.Run("the next apply after it has expired", func(t *testing.T) {
		r := waiting(t)
		r.clock.up += time.Minute
		if res := r.mustApply(t, one, provision.ApplyOptions{}); !res.Recovered {
			t.Fatalf("apply: %+v", res)
		}
		at(t, r, "1")
	})
	t.Run("cannot be armed", func(t *testing.T) {
		r := newRig(t)
		_, err := r.Apply(bg, one, provision.ApplyOptions{Confirm: time.Minute, Arm: func(context.Context, time.Duration) error {
			return errors.New("no systemd")
		}})
		var failed *provision.FailedError
		if !errors.As(err, &failed) || failed.Begun {
			t.Fatalf("apply: %v", err)
		}
		r.is(t, map[string]provision.Attrs{})
		if s, _ := r.Status(bg); s.Interrupted {
			t.Error("a snapshot was left")
		}
	})
}

func TestGuard(t *testing.T) {
	lost := errors.New("the session is lost")
	for _, when := range []string{"during an effect", "while verifying", "afterwards"} {
		t.Run(when, func(t *testing.T) {
			r := newRig(t)
			r.Clock = provision.SystemClock()
			gone := make(chan struct{})
			opt := provision.ApplyOptions{Settle: 20 * time.Second, GuardFor: 20 * time.Second, Guard: func(ctx context.Context) error {
				select {
				case <-gone:
					return lost
				case <-ctx.Done():
					return ctx.Err()
				}
			}}
			d := one
			switch when {
			case "during an effect":
				r.bell.do = func(provision.Action) error {
					r.bell.do = nil
					close(gone)
					return nil
				}
			case "while verifying":
				d.Expect = []provision.Want{want("never", "x", "1")}
				r.bell.do = func(provision.Action) error {
					r.bell.do = nil
					time.AfterFunc(50*time.Millisecond, func() { close(gone) })
					return nil
				}
			default:
				r.bell.do = func(provision.Action) error {
					r.bell.do = nil
					time.AfterFunc(50*time.Millisecond, func() { close(gone) })
					return nil
				}
			}
			start := time.Now()
			_, err := r.Apply(bg, d, opt)
			var g *provision.GuardError
			var failed *provision.FailedError
			if !errors.As(err, &g) || !errors.Is(err, lost) || !errors.As(err, &failed) {
				t.Fatalf("apply: %v", err)
			}
			r.is(t, map[string]provision.Attrs{})
			if d := time.Since(start); d > 5*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

func TestInterruptLeavesTheMachineAsItWas(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(bg)
	r.bell.do = func(provision.Action) error { cancel(); return nil }
	_, err := r.Apply(ctx, one, provision.ApplyOptions{})
	var failed *provision.FailedError
	if !errors.As(err, &failed) || !errors.Is(err, context.Canceled) {
		t.Fatalf("apply: %v", err)
	}
	r.is(t, map[string]provision.Attrs{})
	if len(r.bell.rung) != 2 {
		t.Errorf("the trigger ran %d times, want once in each direction", len(r.bell.rung))
	}
}

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

// counting counts what is written to the state directory, and can fail.
type counting struct {
	provision.Files
	n      int
	failAt int  // operation from 1 on
	always bool // and all that follow
	err    error
}

func (c *counting) op() error {
	c.n++
	if c.failAt > 0 && (c.n == c.failAt || c.always && c.n > c.failAt) {
		return c.err
	}
	return nil
}

func (c *counting) Write(n string, b []byte) error {
	if err := c.op(); err != nil {
		c.Files.Write(n, b[:len(b)/2]) // a full disk takes a part
		return err
	}
	return c.Files.Write(n, b)
}

func (c *counting) Append(n string, b []byte) error {
	if err := c.op(); err != nil {
		c.Files.Append(n, b[:len(b)/2])
		return err
	}
	return c.Files.Append(n, b)
}

func (c *counting) Sync(n string) error {
	return errors.Join(c.op(), c.Files.Sync(n))
}

func (c *counting) SyncDir() error { return errors.Join(c.op(), c.Files.SyncDir()) }

func (c *counting) Rename(a, b string) error {
	if err := c.op(); err != nil {
		return err
	}
	return c.Files.Rename(a, b)
}

func (c *counting) Remove(n string) error {
	if err := c.op(); err != nil {
		return err
	}
	return c.Files.Remove(n)
}

func TestNoOpWritesNothing(t *testing.T) {
	r := newRig(t)
	c := &counting{Files: enginetest.NewMemFiles()}
	r.Store, _ = provision.Open("", provision.WithFiles(c))
	r.mustApply(t, one, provision.ApplyOptions{})
	if c.n == 0 {
		t.Fatal("nothing was counted")
	}
	c.n = 0
	r.mustApply(t, one, provision.ApplyOptions{})
	if c.n != 0 {
		t.Fatalf("%d operations on the state directory", c.n)
	}
	if n := r.kv.gets["a"]; n > 4 {
		t.Errorf("%d gets", n)
	}
}

// A disk that is full, once or from then on, at every operation on the state.
func TestFullDisk(t *testing.T) {
	full := &fs.PathError{Op: "write", Path: "state", Err: errors.New("no space left on device")}
	for _, always := range []bool{false, true} {
		for at := 1; ; at++ {
			r := newRig(t)
			c := &counting{Files: enginetest.NewMemFiles(), err: full, always: always}
			r.Store, _ = provision.Open("", provision.WithFiles(c))
			r.mustApply(t, one, provision.ApplyOptions{})
			c.n, c.failAt = 0, at
			_, err := r.Apply(bg, two, provision.ApplyOptions{})
			reached := c.n >= at
			c.failAt = 0
			where := fmt.Sprintf("failing at %d (always %v): %v", at, always, err)
			var stuck *provision.StuckError
			couldNot := errors.As(err, &stuck) // then recovery decides, for either
			if err != nil && !couldNot && r.kv.m["a"]["x"] != "1" {
				t.Fatalf("%s: the machine is at %v", where, r.kv.m)
			}
			if _, err := r.Recover(bg); err != nil {
				t.Fatalf("%s: recover: %v", where, err)
			}
			if x := r.kv.m["a"]["x"]; couldNot && x != "1" && x != "2" || err == nil && x != "2" || err != nil && !couldNot && x != "1" {
				t.Fatalf("%s: after recovery at %s", where, x)
			}
			r.mustApply(t, two, provision.ApplyOptions{})
			if _, err := r.Revert(bg, false); err != nil || len(r.kv.m) != 0 {
				t.Fatalf("%s: revert: %v %v", where, r.kv.m, err)
			}
			if !reached {
				if at < 8 {
					t.Fatalf("only %d operations", at)
				}
				break
			}
		}
	}
}

func TestStateOfOthers(t *testing.T) {
	r := newRig(t)
	r.mustApply(t, one, provision.ApplyOptions{})
	ledger := filepath.Join(r.dir, "ledger")
	good, err := os.ReadFile(ledger)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"newer":     "provision-state 2 ledger of another shape\n{}",
		"empty":     "",
		"cut":       string(good[:len(good)/2]),
		"scrambled": string(good[:len(good)-4]) + "xxx\n",
		"zeros":     string(make([]byte, len(good))),
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(ledger, []byte(bad), 0o600); err != nil {
				t.Fatal(err)
			}
			r.reopen(t)
			_, err1 := r.Apply(bg, two, provision.ApplyOptions{})
			_, err2 := r.Plan(bg, two)
			_, err3 := r.Rollback(bg)
			for _, err := range []error{err1, err2, err3} {
				var version *provision.VersionError
				var corrupt *provision.CorruptError
				if name == "newer" && !errors.As(err, &version) || name != "newer" && !errors.As(err, &corrupt) {
					t.Errorf("error is %v", err)
				}
			}
			r.is(t, map[string]provision.Attrs{"a": {"x": "1"}})
		})
	}
}

// unreadable is a state directory of root for somebody else.
type unreadable struct{ provision.Files }

func (unreadable) Names() ([]string, error) {
	return nil, &fs.PathError{Op: "open", Path: "/var/lib/provision", Err: fs.ErrPermission}
}

func TestPlanWithoutPrivilege(t *testing.T) {
	r := newRig(t)
	r.Store, _ = provision.Open("", provision.WithFiles(unreadable{enginetest.NewMemFiles()}))
	p, err := r.Plan(bg, one)
	if err != nil || len(p.Changes) != 1 || len(p.Notes) != 1 {
		t.Fatalf("plan: %+v %v", p, err)
	}
	if _, err := r.Verify(bg, one); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.dir); err == nil {
		t.Error("a plan made the state directory")
	}
}

func TestSnapshotsAreTrimmedAndPurged(t *testing.T) {
	r := newRig(t)
	for i := range 6 {
		r.mustApply(t, provision.Desired{Wants: []provision.Want{want("a", "x", fmt.Sprint(i))}}, provision.ApplyOptions{})
	}
	if s, err := r.Status(bg); err != nil || s.Rollbacks != 3 {
		t.Fatalf("status: %+v %v", s, err)
	}
	for want := 4; want >= 2; want-- {
		if _, err := r.Rollback(bg); err != nil {
			t.Fatal(err)
		}
		r.is(t, map[string]provision.Attrs{"a": {"x": fmt.Sprint(want)}})
	}
	if _, err := r.Rollback(bg); !errors.Is(err, provision.ErrNoSnapshot) {
		t.Fatalf("a fourth: %v", err)
	}
	if st, err := os.Stat(r.dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("state directory: %v %v", st.Mode(), err)
	}
	if err := r.Store.Purge(bg); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(r.dir)
	if err != nil || len(left) != 1 || left[0].Name() != "lock" {
		t.Errorf("purge left %v %v", left, err)
	}
}
