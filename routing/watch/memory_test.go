package watch

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/provision-net/provision/provision"
)

// owner sets something and remembers that it is its own.
type owner struct{ changed bool }

func (o *owner) Name() string                 { return "owner" }
func (o *owner) Needs() Needs                 { return Needs{} }
func (o *owner) Remember() (any, bool)        { c := o.changed; o.changed = false; return "kept:x", c }
func (o *owner) Recall(json.RawMessage) error { return nil }

func (o *owner) Look(*State) []Repair {
	o.changed = true
	ref := provision.Ref{Kind: "kept", Name: "x"}
	return []Repair{{Key: ref.String(), Why: "by test", Set: &Fix{Want: provision.Want{Ref: ref, Attrs: provision.Attrs{"value": "new"}}, Have: provision.Attrs{"value": "good"}}}}
}

// judge is a kind that looks at the memory when something is set.
type judge struct {
	kept
	early *bool
}

func (j judge) Set(ctx context.Context, id string, have, want provision.Attrs) error {
	j.mu.Lock()
	*j.early = !strings.Contains(string(j.memory), "kept:x")
	j.mu.Unlock()
	return j.kept.Set(ctx, id, have, want)
}

// A kill after the change finds on the disk what is to be taken back, also right after another saving.
func TestRememberedBeforeSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine()
		early := false
		e.Resources = Resources{"kept": judge{kept{w}, &early}}
		e.saved = time.Now()
		e.SetJobs(&owner{})
		runs(t, w, e, func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.sets == 0 || early {
				t.Errorf("%d changes, before they were remembered: %v", w.sets, early)
			}
		})
	})
}
