package provision_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
)

// kv is a sort of state without truths of its own.
type kv struct {
	m    map[string]provision.Attrs
	gets map[string]int
	sets int
	fail func(name string, want provision.Attrs) error
	seen func() // before each effect
}

func newKV() *kv { return &kv{m: map[string]provision.Attrs{}, gets: map[string]int{}} }

func clone(a provision.Attrs) provision.Attrs {
	if a == nil {
		return nil
	}
	c := provision.Attrs{}
	for k, v := range a {
		c[k] = v
	}
	return c
}

func (r *kv) Get(_ context.Context, name string) (provision.Attrs, error) {
	r.gets[name]++
	return clone(r.m[name]), nil
}

func (r *kv) Set(_ context.Context, name string, have, want provision.Attrs) error {
	if r.seen != nil {
		r.seen()
	}
	if r.fail != nil {
		if err := r.fail(name, want); err != nil {
			return err
		}
	}
	r.sets++
	if want == nil {
		delete(r.m, name)
		return nil
	}
	if r.m[name] == nil {
		r.m[name] = provision.Attrs{}
	}
	for k, v := range want {
		r.m[name][k] = v
	}
	return nil
}

func (*kv) Class(attr string) provision.Class {
	switch attr {
	case "secret":
		return provision.Secret
	case "initial":
		return provision.Initial
	}
	return provision.Exact
}

// bell counts its actions.
type bell struct {
	rung []string
	do   func(provision.Action) error
}

func (b *bell) Do(_ context.Context, a provision.Action) error {
	if b.do != nil {
		if err := b.do(a); err != nil {
			return err
		}
	}
	b.rung = append(b.rung, a.Args["name"])
	return nil
}

// clock jumps ahead instead of waiting.
type clock struct {
	mu   sync.Mutex
	boot string
	up   time.Duration
	due  map[time.Duration]func()
}

// at lets something happen later.
func (c *clock) at(d time.Duration, do func()) {
	if c.due == nil {
		c.due = map[time.Duration]func(){}
	}
	c.due[c.up+d] = do
}

func (c *clock) Now() time.Time { return time.Unix(0, 0).Add(c.up) }

func (c *clock) Boot() (string, time.Duration) { return c.boot, c.up }

func (c *clock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up += d
	for at, do := range c.due {
		if at <= c.up {
			delete(c.due, at)
			do()
		}
	}
	ch := make(chan time.Time, 1)
	ch <- c.Now()
	return ch
}

type rig struct {
	*provision.Engine
	kv    *kv
	bell  *bell
	clock *clock
	dir   string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{kv: newKV(), bell: &bell{}, clock: &clock{boot: "first", up: time.Hour}, dir: t.TempDir() + "/state"}
	r.kv.seen = func() {
		if _, err := os.Stat(r.dir); err == nil && !r.marked() {
			t.Error("an effect, and a boot would not know that there is something to finish")
		}
	}
	r.reopen(t)
	return r
}

// marked reports whether a boot would look for what is not finished.
func (r *rig) marked() bool {
	_, err := os.Stat(r.dir + "/unfinished")
	return err == nil
}

// reopen is what the next process sees.
func (r *rig) reopen(t *testing.T) {
	t.Helper()
	r.open(t)
}

func (r *rig) open(t testing.TB) {
	t.Helper()
	store, err := provision.Open(r.dir, provision.LockWait(0))
	if err != nil {
		t.Fatal(err)
	}
	r.Engine = &provision.Engine{
		Resources: map[string]provision.Resource{"kv": r.kv},
		Actors:    map[string]provision.Actor{"bell": r.bell},
		Store:     store, Clock: r.clock,
	}
}

func ref(name string) provision.Ref { return provision.Ref{Kind: "kv", Name: name} }

func want(name string, kvs ...string) provision.Want {
	w := provision.Want{Ref: ref(name), Why: "test"}
	if len(kvs) > 0 {
		w.Attrs = provision.Attrs{}
	}
	for i := 0; i+1 < len(kvs); i += 2 {
		w.Attrs[kvs[i]] = kvs[i+1]
	}
	return w
}

func trigger(name string, on ...string) provision.Trigger {
	t := provision.Trigger{Name: name, Do: provision.Action{Kind: "bell", Args: map[string]string{"name": name}}}
	for _, n := range on {
		t.On = append(t.On, ref(n))
	}
	return t
}

func (r *rig) mustApply(t *testing.T, d provision.Desired, opt provision.ApplyOptions) provision.Result {
	t.Helper()
	res, err := r.Apply(context.Background(), d, opt)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	if r.marked() != (res.Pending > 0) {
		t.Fatalf("%v to be confirmed, and a boot would look for what is not finished: %v", res.Pending, r.marked())
	}
	return res
}

func (r *rig) is(t *testing.T, want map[string]provision.Attrs) {
	t.Helper()
	if fmt.Sprint(r.kv.m) != fmt.Sprint(want) {
		t.Fatalf("machine is %v, want %v", r.kv.m, want)
	}
}

func TestApplyTwicePruneRollbackRevert(t *testing.T) {
	r := newRig(t)
	r.kv.m["a"] = provision.Attrs{"x": "0", "other": "kept"}
	start := map[string]provision.Attrs{"a": {"x": "0", "other": "kept"}}
	d := provision.Desired{
		Wants:    []provision.Want{want("a", "x", "1"), want("b", "y", "2")},
		Triggers: []provision.Trigger{trigger("reload", "a", "b")},
	}
	p, err := r.Plan(context.Background(), d)
	if err != nil || len(p.Changes) != 2 || len(p.Triggers) != 1 {
		t.Fatalf("plan: %+v %v", p, err)
	}
	r.is(t, start)
	res := r.mustApply(t, d, provision.ApplyOptions{})
	goal := map[string]provision.Attrs{"a": {"x": "1", "other": "kept"}, "b": {"y": "2"}}
	r.is(t, goal)
	if res.Writes != 3 || !reflect.DeepEqual(r.bell.rung, []string{"reload"}) {
		t.Fatalf("first apply: %+v, %v", res, r.bell.rung)
	}
	r.reopen(t)
	clear(r.kv.gets)
	if res = r.mustApply(t, d, provision.ApplyOptions{}); res.Writes != 0 {
		t.Fatalf("second apply: %+v", res)
	}
	if !reflect.DeepEqual(r.kv.gets, map[string]int{"a": 1, "b": 1}) {
		t.Fatalf("second apply reads %v, want each once", r.kv.gets)
	}
	d.Wants = d.Wants[:1]
	d.Triggers = nil
	r.mustApply(t, d, provision.ApplyOptions{})
	r.is(t, map[string]provision.Attrs{"a": {"x": "1", "other": "kept"}})
	if len(r.bell.rung) != 2 {
		t.Fatalf("the trigger of what was pruned did not run: %v", r.bell.rung)
	}
	if _, err := r.Rollback(context.Background()); err != nil {
		t.Fatal(err)
	}
	r.is(t, goal)
	if _, err := r.Revert(context.Background(), false); err != nil {
		t.Fatal(err)
	}
	r.is(t, start)
	for range 2 { // the revert, then the first apply
		if _, err := r.Rollback(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	r.is(t, start)
	if _, err := r.Rollback(context.Background()); !errors.Is(err, provision.ErrNoSnapshot) {
		t.Fatalf("rollback without snapshot: %v", err)
	}
}

func TestFailureGoesBack(t *testing.T) {
	r := newRig(t)
	r.kv.m["a"] = provision.Attrs{"x": "0"}
	r.kv.fail = func(name string, want provision.Attrs) error {
		if name == "b" {
			return errors.New("no space left")
		}
		return nil
	}
	d := provision.Desired{Wants: []provision.Want{want("a", "x", "1"), want("b", "y", "2")},
		Triggers: []provision.Trigger{trigger("reload", "a")}}
	res, err := r.Apply(context.Background(), d, provision.ApplyOptions{})
	var failed *provision.FailedError
	if !errors.As(err, &failed) || !failed.Begun || !res.GoneBack {
		t.Fatalf("apply: %+v %v", res, err)
	}
	r.is(t, map[string]provision.Attrs{"a": {"x": "0"}})
	if len(r.bell.rung) != 2 {
		t.Fatalf("the trigger ran %d times, want once in each direction", len(r.bell.rung))
	}
	if s, err := r.Status(context.Background()); err != nil || s.Interrupted || s.Rollbacks != 0 {
		t.Fatalf("status: %+v %v", s, err)
	}
}
