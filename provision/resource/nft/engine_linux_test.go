package nft

import (
	"context"
	"errors"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/enginetest"
)

// An apply, one that changes, one that changes nothing, each of them failing or dying at each
// effect, a rollback and a revert: always the goal or the start, large set included.
func TestEngine(t *testing.T) {
	r := network(t)
	tool(t, "table ip other {\n\tchain x {\n\t\taccept\n\t}\n}\n", "-f", "-")
	tables := samples()
	for _, table := range tables {
		if err := r.Blobs.Save(table); err != nil {
			t.Fatal(err)
		}
	}
	store, err := provision.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	e := &provision.Engine{Resources: map[string]provision.Resource{Kind: r}, Store: store}
	ctx := context.Background()
	desired := func(i int) provision.Desired {
		return provision.Desired{Wants: []provision.Want{Own(tables[i], "test")}}
	}
	is := func(what string, want string) {
		t.Helper()
		fresh := &Resource{} // that remembers nothing
		got, err := fresh.Get(ctx, "inet provision")
		if err != nil || got[AttrTable] != want {
			t.Fatalf("%s: %v, %s", what, err, firstDifference(got[AttrTable], want))
		}
	}
	if _, err := e.Apply(ctx, desired(0), provision.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	is("applied", Format(tables[0]))
	if p, err := e.Plan(ctx, desired(0)); err != nil || !p.Empty() {
		t.Errorf("a second plan is %+v, %v", p, err)
	}
	for _, f := range []enginetest.Fault{enginetest.FailBefore, enginetest.FailAfter} {
		inj := &enginetest.Injector{Fault: f}
		if _, err := inj.Wrap(e).Apply(ctx, desired(1), provision.ApplyOptions{}); !errors.Is(err, enginetest.ErrInjected) {
			t.Errorf("%s: %v", f, err)
		}
		is(f.String(), Format(tables[0]))
	}
	for _, f := range []enginetest.Fault{enginetest.CrashBefore, enginetest.CrashAfter} {
		inj := &enginetest.Injector{Fault: f}
		if !enginetest.Crashes(func() { _, _ = inj.Wrap(e).Apply(ctx, desired(1), provision.ApplyOptions{}) }) {
			t.Errorf("%s: no crash", f)
		}
		if _, err := e.Recover(ctx); err != nil {
			t.Fatal(err)
		}
		is(f.String(), Format(tables[0]))
	}
	if _, err := e.Apply(ctx, desired(1), provision.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	is("changed", Format(tables[1]))
	if _, err := e.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	is("rolled back", Format(tables[0]))
	if _, err := e.Apply(ctx, provision.Desired{}, provision.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	is("given up", "")
	if out := tool(t, "", "list", "ruleset"); out != "table ip other {\n\tchain x {\n\t\taccept\n\t}\n}\n" {
		t.Errorf("left over:\n%s", out)
	}
}
