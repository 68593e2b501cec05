package netplan

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
)

var update = flag.Bool("update", false, "write the golden files anew")

// text shows a Desired for people and for comparison.
func text(d provision.Desired) string {
	var b strings.Builder
	attrs := func(a provision.Attrs) {
		var keys []string
		for k := range a {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		for _, k := range keys {
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

func golden(t *testing.T, name, got string) {
	t.Helper()
	p := filepath.Join("testdata", name+".golden")
	if *update {
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
