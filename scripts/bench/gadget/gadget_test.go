//go:build lab && linux

package gadget

import (
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
	guest "github.com/provision-net/provision/scripts/lab/gadget"
)

var (
	binary  = flag.String("provision", "", "the `program` that is measured beside the script")
	rounds  = flag.Int("rounds", 7, "how often each is measured, in turn")
	counted = flag.Bool("counted", false, "the guest's clock counts instructions: for a busy machine")
)

// TestLease prints medians, ranges and the ratio, round by round and of all rounds together.
func TestLease(t *testing.T) {
	lab.Need(t, lab.Gadget)
	if *binary == "" {
		t.Skip("skipped: -provision=FILE is missing")
	}
	program, err := filepath.Abs(*binary)
	if err != nil {
		t.Fatal(err)
	}
	inside := guest.Build(t, "./scripts/lab/gadget/inside", true, "-tags", "lab")
	e := guest.Run(t, guest.Guest{Counted: *counted, Limit: 15 * time.Minute, Files: map[string]string{"provision": program, "inside": inside},
		Script: fmt.Sprintf("inside -test.run XXX -test.bench Lease -test.benchtime %dx", *rounds)})
	made, bound := map[string][]float64{}, map[string][]float64{}
	for line := range strings.Lines(e.Said) {
		var name string
		var m, b float64
		if n, _ := fmt.Sscanf(line, "lease %s %f %f", &name, &m, &b); n == 3 {
			made[name], bound[name] = append(made[name], m), append(bound[name], b)
		}
	}
	n := len(bound["provision"])
	if e.Status != "0" || n < *rounds || len(bound["script"]) != n {
		t.Fatalf("the guest ended with status %q after %d rounds:\n%s", e.Status, n, e.Said)
	}
	show("the command itself", made)
	show("from the command to the client's address", bound)
}

func show(title string, by map[string][]float64) {
	fmt.Printf("\n%s, ms in the guest\n", title)
	var ratios []float64
	for _, name := range []string{"provision", "script"} {
		fmt.Printf("  %-28s %s\n", name, spread(by[name], 0))
	}
	for i, v := range by["provision"] {
		ratios = append(ratios, v/by["script"][i])
	}
	fmt.Printf("  provision / script: %s; together %.3f\n", spread(ratios, 3), sum(by["provision"])/sum(by["script"]))
}

func sum(v []float64) (s float64) {
	for _, x := range v {
		s += x
	}
	return s
}

func spread(v []float64, digits int) string {
	s := slices.Sorted(slices.Values(v))
	return fmt.Sprintf("%.*f (%.*f .. %.*f, %d rounds)", digits, s[len(s)/2], digits, s[0], digits, s[len(s)-1], len(s))
}
