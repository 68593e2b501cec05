package backendtest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
)

// Text shows a Desired for people and for comparison.
func Text(d provision.Desired) string {
	var b strings.Builder
	attrs := func(a provision.Attrs) {
		for _, k := range slices.Sorted(maps.Keys(a)) {
			if k == "content" {
				fmt.Fprintf(&b, "  content:\n    %s\n", strings.ReplaceAll(strings.TrimSuffix(a[k], "\n"), "\n", "\n    "))
				continue
			}
			fmt.Fprintf(&b, "  %s: %s\n", k, a[k])
		}
	}
	want := func(kind string, w provision.Want) {
		fmt.Fprintf(&b, "%s %s mode=%d via=%v (%s)\n", kind, w.Ref, w.Mode, w.Via, w.Why)
		attrs(w.Attrs)
	}
	for _, w := range d.Wants {
		want("want", w)
	}
	for _, t := range d.Triggers {
		fmt.Fprintf(&b, "trigger %s: %s %v on %v\n  why: %s\n  gap: %s\n", t.Name, t.Do.Kind, t.Do.Args, t.On, t.Why, t.Gap)
	}
	for _, w := range d.Expect {
		want("expect", w)
	}
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "note %s %s: %s\n", n.Level, n.Subject, n.Text)
	}
	return b.String()
}

// Golden compares got with testdata/NAME.golden, which it writes first when update is
// set.
func Golden(t *testing.T, name, got string, update bool) {
	t.Helper()
	p := filepath.Join("testdata", name+".golden")
	if update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(p)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (run with -update to accept):\n%s", p, got)
	}
}
