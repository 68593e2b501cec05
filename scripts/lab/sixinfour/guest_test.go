//go:build lab && linux

package sixinfour

import (
	"testing"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/gadget"
)

// guest boots a guest, runs a test binary in it and makes subtests of its tests. A skip is a hole there: the guest has all
// that is needed.
func guest(t *testing.T, binary string, files map[string]string) {
	t.Helper()
	all := map[string]string{"inside": binary}
	for name, file := range files {
		all[name] = file
	}
	e := gadget.Run(t, gadget.Guest{Script: "modprobe -a sit; inside -test.v -test.timeout 4m -test.run '^Test'", Files: all})
	t.Logf("the guest took %.1f s, %.1f s of CPU; its kernel %s s", e.Took.Seconds(), e.CPU.Seconds(), e.Booted)
	outcomes, err := gadget.Outcomes(e.Said, e.Status)
	for _, o := range outcomes {
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
}

// TestKind runs the tests of the kind of state.
func TestKind(t *testing.T) {
	lab.Need(t, lab.Gadget)
	guest(t, gadget.Build(t, "./provision/resource/sit", true), nil)
}
