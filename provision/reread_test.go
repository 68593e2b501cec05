package provision_test

import (
	"context"
	"testing"

	"github.com/provision-net/provision/provision"
)

// distant is a bell that changes nothing.
type distant struct{ *bell }

func (distant) Aloof() bool { return true }

// What may have been changed since it was read is read again, and only that.
func TestReadAgain(t *testing.T) {
	goal := provision.Desired{Wants: []provision.Want{want("a", "x", "1"), want("b", "x", "1")}}
	rung := goal
	rung.Triggers = []provision.Trigger{trigger("reload", "a")}
	held := goal
	held.Holds = []provision.Hold{{Ref: ref("gate"), Attrs: provision.Attrs{"open": "no"}, While: []provision.Ref{ref("a"), ref("b")}}}
	reads := func(prepare func(*rig), d provision.Desired) int {
		r := newRig(t)
		if prepare != nil {
			prepare(r)
		}
		r.mustApply(t, d, provision.ApplyOptions{})
		if r.kv.m["b"]["x"] != "1" {
			t.Fatalf("machine is %v", r.kv.m)
		}
		return r.kv.gets["b"]
	}
	least := reads(nil, goal)
	for _, tt := range []struct {
		name    string
		prepare func(*rig)
		d       provision.Desired
		more    int
	}{
		{"an action", nil, rung, 1},
		{"an action that is aloof", func(r *rig) { r.Actors["bell"] = distant{r.bell} }, rung, 0},
		{"a hold", func(r *rig) { r.kv.m["gate"] = provision.Attrs{"open": "yes"} }, held, 1},
		{"nothing to hold", nil, held, 0},
		{"held already", func(r *rig) { r.kv.m["gate"] = provision.Attrs{"open": "no"} }, held, 0},
	} {
		if got := reads(tt.prepare, tt.d); got != least+tt.more {
			t.Errorf("%s: read %d times, want %d", tt.name, got, least+tt.more)
		}
	}
}

// All of one reading, and nothing else, has the context that Look gives for it.
func TestLook(t *testing.T) {
	r := newRig(t)
	n := 0
	r.Look = func(ctx context.Context) context.Context { n++; return context.WithValue(ctx, looking{}, n) }
	var seen []any
	r.Resources["kv"] = watched{r.kv, &seen}
	r.mustApply(t, provision.Desired{Wants: []provision.Want{want("a", "x", "1"), want("b", "x", "1")}}, provision.ApplyOptions{})
	if len(seen) < 4 || seen[0] != 1 || seen[1] != 1 || seen[len(seen)-1] == 1 || seen[len(seen)-1] != seen[len(seen)-2] {
		t.Errorf("read in %v", seen)
	}
}

type looking struct{}

type watched struct {
	*kv
	seen *[]any
}

func (w watched) Get(ctx context.Context, name string) (provision.Attrs, error) {
	*w.seen = append(*w.seen, ctx.Value(looking{}))
	return w.kv.Get(ctx, name)
}

func (w watched) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	if ctx.Value(looking{}) != nil {
		panic("something is changed while it is read")
	}
	return w.kv.Set(ctx, name, have, want)
}
