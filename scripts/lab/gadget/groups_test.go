//go:build lab && linux

package gadget

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// groups of tests of package inside, by the beginning of their names; each is a boot.
var groups = []string{"TestBed", "TestUDC", "TestProfiles", "TestLink", "TestLife", "TestKilled", "TestCommand"}

// group boots a guest, runs the tests of the package inside whose names begin so, and makes subtests of them.
func group(t *testing.T, prefix string, files map[string]string) {
	t.Helper()
	inside := Build(t, "./scripts/lab/gadget/inside", true, "-tags", "lab")
	all := map[string]string{"inside": inside}
	for name, file := range files {
		all[name] = file
	}
	e := Run(t, Guest{Script: "export PROVISION_LAB_FULL=" + os.Getenv("PROVISION_LAB_FULL") + "; inside -test.v -test.timeout 9m -test.run '^" + prefix + "'", Files: all, Limit: 10 * time.Minute})
	t.Logf("the guest took %.1f s, %.1f s of CPU; its kernel %s s", e.Took.Seconds(), e.CPU.Seconds(), e.Booted)
	outcomes, err := Outcomes(e.Said, e.Status)
	for _, o := range outcomes {
		t.Run(o.Name, func(t *testing.T) {
			t.Log("\n" + o.Text)
			if o.Status != "PASS" { // a guest has all that is needed, so that a skip is a hole
				t.Errorf("%s in the guest", o.Status)
			}
		})
	}
	if err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Logf("the guest's kernel says:\n%s", last(e.Console, 60))
	}
}

// TestEveryGroupRuns fails for a test inside that no boot would run.
func TestEveryGroupRuns(t *testing.T) {
	out, err := exec.Command(Build(t, "./scripts/lab/gadget/inside", true, "-tags", "lab"), "-test.list", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, name := range strings.Fields(string(out)) {
		if !strings.HasPrefix(name, "Test") {
			continue // a benchmark
		}
		n := 0
		for _, g := range groups {
			if strings.HasPrefix(name, g) {
				n++
				seen[g] = true
			}
		}
		if n != 1 {
			t.Errorf("%s is run by %d groups", name, n)
		}
	}
	for _, g := range groups {
		if !seen[g] {
			t.Errorf("the group %s has no test", g)
		}
	}
}

func TestBed(t *testing.T) {
	lab.Need(t, lab.Gadget)
	group(t, "TestBed", nil)
}

func TestUDC(t *testing.T) {
	lab.Need(t, lab.Gadget)
	group(t, "TestUDC", nil)
}

func TestProfiles(t *testing.T) {
	lab.Need(t, lab.Gadget)
	group(t, "TestProfiles", nil)
}

func TestLink(t *testing.T) {
	lab.Need(t, lab.Gadget)
	group(t, "TestLink", map[string]string{"provision": program(t)})
}

func TestLife(t *testing.T) {
	lab.Need(t, lab.Gadget)
	group(t, "TestLife", map[string]string{"provision": program(t)})
}

func TestKilled(t *testing.T) {
	lab.Need(t, lab.Gadget)
	group(t, "TestKilled", map[string]string{"provision": program(t), "provision-faulty": Build(t, "./cmd/provision", false, "-tags", "faultinject")})
}

// program is the one under test: PROVISION_BINARY, or what is built here.
func program(t *testing.T) string {
	if ready := os.Getenv("PROVISION_BINARY"); ready != "" {
		return ready
	}
	return Build(t, "./cmd/provision", false)
}
