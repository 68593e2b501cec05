//go:build lab && linux

package sixinfour

import (
	"os"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/gadget"
)

// TestGuest boots one guest, runs the tests of the kind of state and of package inside in it, and makes subtests of them. A skip
// is a hole there: the guest has all that is needed.
func TestGuest(t *testing.T) {
	lab.Need(t, lab.Gadget)
	program, err := lab.Program(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	e := gadget.Run(t, gadget.Guest{
		Limit:  9 * time.Minute, // twice what it took beside three other guests
		Script: "export PROVISION_LAB_FULL=" + os.Getenv("PROVISION_LAB_FULL") + "; modprobe -a sit; kind -test.v -test.run '^Test' && inside -test.v -test.timeout 8m",
		Files: map[string]string{"provision": program, "kind": gadget.Build(t, "./provision/resource/sit", true),
			"inside": gadget.Build(t, "./scripts/lab/sixinfour/inside", true, "-tags", "lab")},
	})
	t.Logf("the guest took %.1f s, %.1f s of CPU; its kernel %s s", e.Took.Seconds(), e.CPU.Seconds(), e.Booted)
	outcomes, err := gadget.Outcomes(e.Said, e.Status)
	seen := map[string]bool{}
	for _, o := range outcomes {
		seen[o.Name] = true
		t.Run(o.Name, func(t *testing.T) {
			t.Log("\n" + o.Text)
			if o.Status != "PASS" {
				t.Errorf("%s in the guest", o.Status)
			}
		})
	}
	if err != nil {
		t.Error(err)
	}
	for _, name := range []string{"TestConformance", "TestBroker"} {
		if !seen[name] {
			t.Errorf("%s was not run:\n%s", name, e.Said)
		}
	}
}
