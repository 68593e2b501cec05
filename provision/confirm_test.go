package provision_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
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
