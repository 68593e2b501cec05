package provision_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
)

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
