package provision_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
)

var bg = context.Background()

func with(w provision.Want, m provision.Mode, via ...string) provision.Want {
	w.Mode, w.Via = m, via
	return w
}

func TestSecretsAreMaskedAndRestored(t *testing.T) {
	r := newRig(t)
	r.kv.m["peer"] = provision.Attrs{"secret": "old-password", "initial": "home"}
	d := provision.Desired{Wants: []provision.Want{want("peer", "secret", "new-password", "initial", "lan")}}
	p, err := r.Plan(bg, d)
	if err != nil {
		t.Fatal(err)
	}
	c := p.Changes[0]
	if c.Have["secret"] != provision.Masked || c.Want["secret"] != provision.Masked || len(c.Want) != 1 {
		t.Errorf("plan shows %+v", c)
	}
	res := r.mustApply(t, d, provision.ApplyOptions{})
	if got := res.Effects[0].Want["secret"]; got != provision.Masked {
		t.Errorf("result shows %q", got)
	}
	if r.kv.m["peer"]["initial"] != "home" {
		t.Error("an initial attribute was compared")
	}
	for _, name := range []string{"ledger", "first", "snapshot-000001"} {
		b, err := os.ReadFile(filepath.Join(r.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "new-password") {
			t.Errorf("%s holds the secret that was written", name)
		}
		if st, _ := os.Stat(filepath.Join(r.dir, name)); st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, st.Mode())
		}
		if name == "ledger" && strings.Contains(string(b), "old-password") {
			t.Error("the ledger holds a secret")
		}
	}
	if _, err := r.Revert(bg, false); err != nil {
		t.Fatal(err)
	}
	r.is(t, map[string]provision.Attrs{"peer": {"secret": "old-password", "initial": "home"}})
	if b, _ := os.ReadFile(filepath.Join(r.dir, "first")); strings.Contains(string(b), "old-password") {
		t.Error("a secret that nobody needs any more was kept")
	}
}

func TestIfPresentIsNeverMadeAndNeverRemoved(t *testing.T) {
	r := newRig(t)
	d := provision.Desired{Wants: []provision.Want{with(want("lease", "metric", "1000"), provision.IfPresent)}}
	res := r.mustApply(t, d, provision.ApplyOptions{})
	if len(res.Unmet) != 1 || res.Writes != 0 {
		t.Fatalf("absent: %+v", res)
	}
	r.kv.m["lease"] = provision.Attrs{"metric": "100", "gw": "a"}
	r.mustApply(t, d, provision.ApplyOptions{})
	r.is(t, map[string]provision.Attrs{"lease": {"metric": "1000", "gw": "a"}})
	delete(r.kv.m, "lease")
	if res := r.mustApply(t, d, provision.ApplyOptions{}); res.Writes != 0 {
		t.Fatalf("gone: %+v", res)
	}
	r.kv.m["lease"] = provision.Attrs{"metric": "1000", "gw": "b"}
	if _, err := r.Revert(bg, false); err != nil {
		t.Fatal(err)
	}
	r.is(t, map[string]provision.Attrs{"lease": {"metric": "100", "gw": "b"}})
}

// What appears because of the run itself is not in its snapshot.
func TestIfPresentAppearsDuringTheRun(t *testing.T) {
	r := newRig(t)
	r.bell.do = func(provision.Action) error {
		r.kv.m["lease"] = provision.Attrs{"metric": "100"}
		return nil
	}
	d := provision.Desired{
		Wants:    []provision.Want{want("file", "x", "1"), with(want("lease", "metric", "1000"), provision.IfPresent), want("bad", "x", "1")},
		Triggers: []provision.Trigger{trigger("up", "file")},
	}
	r.kv.fail = func(name string, _ provision.Attrs) error {
		if name == "bad" && r.kv.m["lease"]["metric"] != "1000" {
			return provision.ErrBusy
		} else if name == "bad" {
			return errors.New("no")
		}
		return nil
	}
	if _, err := r.Apply(bg, d, provision.ApplyOptions{}); err == nil {
		t.Fatal("applied")
	}
	r.is(t, map[string]provision.Attrs{"lease": {"metric": "100"}})
	d.Wants = d.Wants[:2]
	delete(r.kv.m, "lease")
	r.mustApply(t, d, provision.ApplyOptions{})
	r.is(t, map[string]provision.Attrs{"file": {"x": "1"}, "lease": {"metric": "1000"}})
	r.bell.do = nil
	if _, err := r.Revert(bg, false); err != nil {
		t.Fatal(err)
	}
	r.is(t, map[string]provision.Attrs{"lease": {"metric": "100"}})
}

func TestReportIsNeverWritten(t *testing.T) {
	r := newRig(t)
	r.kv.m["a"] = provision.Attrs{"x": "0"}
	d := provision.Desired{
		Wants:  []provision.Want{with(want("a", "x", "1"), provision.Report)},
		Expect: []provision.Want{with(want("b", "x", "1"), provision.Report)},
	}
	p, err := r.Plan(bg, d)
	if err != nil || !p.Empty() || len(p.Unmet) != 2 {
		t.Fatalf("plan: %+v %v", p, err)
	}
	v, err := r.Verify(bg, d)
	if err != nil || !v.OK() || len(v.Conditional) != 2 {
		t.Fatalf("verify: %+v %v", v, err)
	}
	if res := r.mustApply(t, d, provision.ApplyOptions{}); res.Writes != 0 || len(res.Unmet) != 2 {
		t.Fatalf("apply: %+v", res)
	}
	if _, err := os.Stat(filepath.Join(r.dir, "ledger")); err == nil {
		t.Error("something was remembered")
	}
}

func TestExpect(t *testing.T) {
	d := provision.Desired{
		Wants:    []provision.Want{want("file", "x", "1")},
		Expect:   []provision.Want{with(want("route", "metric", "10"), provision.Must, "reload")},
		Triggers: []provision.Trigger{trigger("reload", "file")},
	}
	t.Run("comes late", func(t *testing.T) {
		r := newRig(t)
		r.bell.do = func(provision.Action) error {
			r.clock.at(3*time.Second, func() { r.kv.m["route"] = provision.Attrs{"metric": "10"} })
			return nil
		}
		if res := r.mustApply(t, d, provision.ApplyOptions{}); len(res.Triggers) != 1 {
			t.Fatalf("triggers: %v", res.Triggers)
		}
	})
	t.Run("never comes", func(t *testing.T) {
		r := newRig(t)
		_, err := r.Apply(bg, d, provision.ApplyOptions{Settle: 4 * time.Second})
		var unmet *provision.UnmetError
		var failed *provision.FailedError
		if !errors.As(err, &failed) || !errors.As(err, &unmet) || len(unmet.Unmet) != 1 {
			t.Fatalf("apply: %v", err)
		}
		r.is(t, map[string]provision.Attrs{})
		// once by the change, once more at half-time, once on the way back
		if len(r.bell.rung) != 3 {
			t.Errorf("the trigger ran %d times", len(r.bell.rung))
		}
		if waited := r.clock.up - time.Hour; waited > 10*time.Second {
			t.Errorf("waited %v", waited)
		}
	})
	t.Run("was forgotten by its daemon", func(t *testing.T) {
		r := newRig(t)
		r.kv.m["file"] = provision.Attrs{"x": "1"}
		r.bell.do = func(provision.Action) error { r.kv.m["route"] = provision.Attrs{"metric": "10"}; return nil }
		p, err := r.Plan(bg, d)
		if err != nil || p.Empty() || len(p.Triggers) != 1 || len(p.Unmet) != 1 {
			t.Fatalf("plan: %+v %v", p, err)
		}
		if res := r.mustApply(t, d, provision.ApplyOptions{}); res.Writes != 1 || len(res.Triggers) != 1 {
			t.Fatalf("apply: %+v", res)
		}
		if res := r.mustApply(t, d, provision.ApplyOptions{}); res.Writes != 0 {
			t.Fatalf("again: %+v", res)
		}
	})
	t.Run("is conditional", func(t *testing.T) {
		r := newRig(t)
		d := d
		d.Expect = []provision.Want{with(want("route", "metric", "10"), provision.IfPresent)}
		if res := r.mustApply(t, d, provision.ApplyOptions{}); len(res.Unmet) != 1 {
			t.Fatalf("absent: %+v", res)
		}
		r.kv.m["route"] = provision.Attrs{"metric": "20"}
		if _, err := r.Apply(bg, d, provision.ApplyOptions{Settle: time.Second}); err == nil {
			t.Fatal("a wrong metric was accepted")
		}
		if v, err := r.Verify(bg, d); err != nil || v.OK() {
			t.Fatalf("verify: %+v %v", v, err)
		}
	})
}

// brought has a route that only a daemon brings, once it has read its file, and returns what wants both.
func brought(r *rig) provision.Desired {
	r.kv.fail = func(name string, _ provision.Attrs) error {
		if name == "route" {
			return provision.ErrPending
		}
		return nil
	}
	return provision.Desired{
		Wants:    []provision.Want{want("file", "metric", "7"), with(want("route", "metric", "7"), provision.Must, "reload")},
		Triggers: []provision.Trigger{trigger("reload", "file")},
	}
}

func TestPendingWant(t *testing.T) {
	setup := func(t *testing.T, comes bool) (*rig, provision.Desired) {
		r := newRig(t)
		d := brought(r)
		r.bell.do = func(provision.Action) error {
			if comes {
				r.clock.at(2*time.Second, func() { r.kv.m["route"] = clone(r.kv.m["file"]) })
			}
			return nil
		}
		return r, d
	}
	r, d := setup(t, true)
	if res := r.mustApply(t, d, provision.ApplyOptions{}); res.Writes != 2 {
		t.Fatalf("apply: %+v", res)
	}
	r, d = setup(t, false)
	if _, err := r.Apply(bg, d, provision.ApplyOptions{Settle: 3 * time.Second}); err == nil {
		t.Fatal("applied without its daemon")
	}
	r.is(t, map[string]provision.Attrs{})
	// The file is there already, the daemon never heard of it.
	r, d = setup(t, true)
	r.kv.m["file"] = provision.Attrs{"metric": "7"}
	if res := r.mustApply(t, d, provision.ApplyOptions{}); !reflect.DeepEqual(res.Triggers, []string{"reload"}) {
		t.Fatalf("apply: %+v", res)
	}
}

// A wait for a daemon begins anew after each effect, so that no limit can be told of it.
func TestNoWaitIsLongerThanTold(t *testing.T) {
	r := newRig(t)
	d := brought(r)
	r.bell.do = func(provision.Action) error {
		r.clock.at(2*time.Second, func() { delete(r.kv.m, "file") }) // somebody else is at work, too
		return nil
	}
	var begun, longest time.Duration
	var over provision.Waiting
	ctx := provision.WithWaiting(bg, func(w provision.Waiting) {
		if len(w.Refs) == 0 {
			return
		}
		_, now := r.clock.Boot()
		if begun == 0 {
			begun = now
		}
		longest = now - begun
		if w.Limit > 0 && longest > w.Limit {
			over = w
		}
	})
	if _, err := r.Apply(ctx, d, provision.ApplyOptions{Settle: 3 * time.Second}); err == nil {
		t.Fatal("applied without its daemon")
	}
	if longest < 4*time.Second || over.Limit > 0 {
		t.Errorf("a wait of at most %v was %v", over.Limit, longest)
	}
}

// A daemon needs time to take its metric back too: the route that it had brought stays
// wrong until then, and is not left so.
func TestBackWaitsForWhatIsThere(t *testing.T) {
	r := newRig(t)
	r.kv.m["route"] = provision.Attrs{"metric": "100"}
	r.kv.m["file"] = provision.Attrs{"metric": "100"}
	daemon := "100"
	r.kv.fail = func(name string, want provision.Attrs) error {
		if name == "route" && want["metric"] != daemon {
			return provision.ErrPending
		}
		return nil
	}
	r.bell.do = func(provision.Action) error {
		now := r.kv.m["file"]["metric"]
		r.clock.at(2*time.Second, func() { daemon = now })
		return nil
	}
	d := provision.Desired{
		Wants:    []provision.Want{want("file", "metric", "7"), with(want("route", "metric", "7"), provision.IfPresent, "reload")},
		Triggers: []provision.Trigger{trigger("reload", "file")},
	}
	r.mustApply(t, d, provision.ApplyOptions{})
	if _, err := r.Rollback(bg); err != nil {
		t.Fatal(err)
	}
	r.is(t, map[string]provision.Attrs{"file": {"metric": "100"}, "route": {"metric": "100"}})

	// One that is gone for good holds up nobody.
	r.mustApply(t, d, provision.ApplyOptions{})
	delete(r.kv.m, "route")
	_, begun := r.clock.Boot()
	if _, err := r.Rollback(bg); err != nil {
		t.Fatal(err)
	}
	if _, now := r.clock.Boot(); now-begun > time.Second {
		t.Errorf("going back waited %v for a route that is not there", now-begun)
	}
}

func TestHold(t *testing.T) {
	r := newRig(t)
	r.kv.m["link"] = provision.Attrs{"up": "1", "mtu": "1500"}
	r.kv.fail = func(name string, want provision.Attrs) error {
		if name == "name" && r.kv.m["link"]["up"] != "" {
			return provision.ErrBusy
		}
		return nil
	}
	d := provision.Desired{
		Wants: []provision.Want{want("name", "x", "lan")},
		Holds: []provision.Hold{{Ref: ref("link"), Attrs: provision.Attrs{"up": ""}, While: []provision.Ref{ref("name")}}},
	}
	if res := r.mustApply(t, d, provision.ApplyOptions{}); res.Writes != 3 {
		t.Fatalf("apply: %+v", res)
	}
	r.is(t, map[string]provision.Attrs{"link": {"up": "1", "mtu": "1500"}, "name": {"x": "lan"}})
	if res := r.mustApply(t, d, provision.ApplyOptions{}); res.Writes != 0 {
		t.Fatalf("held for nothing: %+v", res)
	}
	if _, err := r.Revert(bg, false); err != nil {
		t.Fatal(err)
	}
	r.is(t, map[string]provision.Attrs{"link": {"up": "1", "mtu": "1500"}})
}

func TestContradictions(t *testing.T) {
	r := newRig(t)
	other := trigger("t", "a")
	other.Do.Args = map[string]string{"name": "x"}
	bad := provision.Desired{
		Wants:    []provision.Want{want("a", "x", "1"), want("a", "x", "2"), {Ref: provision.Ref{Kind: "none"}}, with(want("b", "x", "1"), provision.Must, "nobody")},
		Triggers: []provision.Trigger{trigger("t", "a"), other},
		Holds:    []provision.Hold{{Ref: ref("h")}},
	}
	_, err := r.Apply(bg, bad, provision.ApplyOptions{})
	for _, part := range []string{"two values of x of kv:a", "no such kind of state", "no trigger is named nobody", "given twice", "a hold needs attributes"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
	good := provision.Desired{Wants: []provision.Want{want("a", "x", "1"), want("a", "x", "1", "y", "2")},
		Triggers: []provision.Trigger{trigger("t", "a"), trigger("t", "b")}}
	r.mustApply(t, good, provision.ApplyOptions{})
	r.is(t, map[string]provision.Attrs{"a": {"x": "1", "y": "2"}})
}

// carried is state of something else.
type carried struct{ *kv }

func (carried) Property() bool { return true }

// What is given up and has gone with its bearer, before or while the machine is changed, is nobody's to put back: nothing is
// waited for, and nobody else has changed it.
func TestGiveUpWithoutBearer(t *testing.T) {
	for _, meanwhile := range []bool{false, true} {
		r := newRig(t)
		r.Resources["port"] = carried{r.kv}
		port, bearer := want("port", "bridge", "br0"), want("bearer", "x", "1")
		port.Kind = "port"
		r.kv.m["port"] = provision.Attrs{"bridge": ""}
		r.kv.fail = func(name string, want provision.Attrs) error {
			if name == "bearer" && want["x"] == "0" {
				delete(r.kv.m, "port")
			}
			if name == "port" && r.kv.m["port"] == nil {
				return provision.ErrPending
			}
			return nil
		}
		d := provision.Desired{Wants: []provision.Want{bearer, port}}
		r.mustApply(t, d, provision.ApplyOptions{})
		if !meanwhile {
			delete(r.kv.m, "port")
		}
		began := r.clock.up
		res := r.mustApply(t, provision.Desired{Wants: []provision.Want{want("bearer", "x", "0")}}, provision.ApplyOptions{})
		if len(res.Foreign) > 0 || r.clock.up-began > 100*time.Millisecond {
			t.Errorf("meanwhile %t: foreign %v, and it waited %v", meanwhile, res.Foreign, r.clock.up-began)
		}
		// Who wants it waits for the bearer.
		r.clock.at(2*time.Second, func() { r.kv.m["port"] = provision.Attrs{"bridge": ""} })
		r.mustApply(t, d, provision.ApplyOptions{})
		r.is(t, map[string]provision.Attrs{"bearer": {"x": "1"}, "port": {"bridge": "br0"}})
	}
}
