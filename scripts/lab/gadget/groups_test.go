//go:build lab && linux

package gadget

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// groups of tests of package inside, by the beginnings of their names; each is a boot.
var groups = map[string][]string{
	"TestPieces": {"TestBed", "TestUDC", "TestProfiles"}, // without the program
	"TestLink":   {"TestLink", "TestFlash", "TestMounted"},
	"TestLife":   {"TestLife", "TestCommand"},
	"TestKilled": {"TestKilled", "TestVanish"},
	"TestWatch":  {"TestWatch"}, // which waits more than it works
}

// more are tests of what others show as well, each in its way; they are run under PROVISION_LAB_FULL.
var more = []string{"TestBed.*", "TestLifeChange", "TestWatchDead", "TestWatchSleep", "TestFlashBroken", "TestFlashUsed", "TestLinkTunnel", "TestMountedCard"}

// shared is the directory of what several tests need and none of them takes away.
var shared string

func TestMain(m *testing.M) {
	var err error
	if shared, err = os.MkdirTemp("", "gadgetlab"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(shared)
	os.Exit(code)
}

// inside is the test binary of package inside, linked by the first test that asks.
func inside(t *testing.T) string {
	t.Helper()
	linking.Lock()
	defer linking.Unlock()
	out := filepath.Join(shared, "inside")
	if _, err := os.Stat(out); err != nil {
		BuildTo(t, out, "./scripts/lab/gadget/inside", true, "-tags", "lab")
	}
	return out
}

var linking sync.Mutex

// group boots a guest, runs the tests of the package inside that are in the group of this test, and makes subtests of them.
func group(t *testing.T, files map[string]string) {
	t.Helper()
	lab.Need(t, lab.Gadget)
	t.Parallel() // a guest has one processor
	all := map[string]string{"inside": inside(t)}
	for name, file := range files {
		all[name] = file
	}
	full, limit, skip := os.Getenv("PROVISION_LAB_FULL"), 10*time.Minute, strings.Join(more, "|")
	if full != "" {
		limit, skip = 40*time.Minute, ""
	}
	script := fmt.Sprintf("export PROVISION_LAB_FULL=%s; inside -test.v -test.timeout %s -test.run '^(%s)' -test.skip '^(%s)$'",
		full, limit-time.Minute, strings.Join(groups[t.Name()], "|"), skip)
	e := Run(t, Guest{Script: script, Files: all, Limit: limit})
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
	out, err := exec.Command(inside(t), "-test.list", ".").Output()
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
			for _, prefix := range g {
				if strings.HasPrefix(name, prefix) {
					n++
					seen[prefix] = true
				}
			}
		}
		if n != 1 {
			t.Errorf("%s is run by %d groups", name, n)
		}
	}
	for _, g := range groups {
		for _, prefix := range g {
			if !seen[prefix] {
				t.Errorf("no test begins with %s", prefix)
			}
		}
	}
}

func TestPieces(t *testing.T) { group(t, nil) }

func TestLink(t *testing.T) { group(t, map[string]string{"provision": program(t)}) }

func TestLife(t *testing.T) { group(t, map[string]string{"provision": program(t)}) }

func TestWatch(t *testing.T) { group(t, map[string]string{"provision": program(t)}) }

func TestKilled(t *testing.T) {
	group(t, map[string]string{"provision": program(t), "provision-faulty": Build(t, "./cmd/provision", false, "-tags", "faultinject")})
}

// program is the one under test: PROVISION_BINARY, or what is built here.
func program(t *testing.T) string {
	t.Helper()
	p, err := lab.Program(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return p
}
