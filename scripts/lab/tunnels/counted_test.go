//go:build lab && linux

package tunnels

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/gadget"
)

// TestKernelCounted has a thousand peers on the kernel's device and one more, under traffic, in a guest
// whose clock counts instructions. That guest is many times slower than a machine of today; how many
// times the same work outside tells. Because its clock jumps while nothing is done, it also has what
// takes minutes.
func TestKernelCounted(t *testing.T) {
	if os.Getenv("PROVISION_LAB_FULL") == "" {
		t.Skip("a thousand peers by a counted clock, and minutes of silence: PROVISION_LAB_FULL=1 runs it")
	}
	files := tools(t, map[string]string{})
	program, err := lab.Program(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	files["provision"] = program
	files["people"] = gadget.Build(t, "./scripts/lab/tunnels/people", true, "-tags", "lab")
	files["selftest"] = gadget.Build(t, "./scripts/lab/tunnels/selftest", true, "-tags", "lab")
	outside, err := exec.Command(files["selftest"], "-test.v", "-test.run", "^TestReference$").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, outside)
	}
	e := run(t, gadget.Guest{
		Limit: 9 * time.Minute, Counted: true, Files: files,
		Script: "export PROVISION_LAB_COUNTED=1 PROVISION_BINARY=/usr/local/bin/provision; selftest -test.v -test.timeout 5m -test.run '^Test(Reference|ThousandPeers)$' && " +
			"people -test.v -test.timeout 40m -test.run '^TestStall$'",
	}, "TestReference", "TestThousandPeers", "TestStall")
	here, there := duration(t, string(outside), "reference: "), duration(t, e.Said, "reference: ")
	slower := float64(there) / float64(here)
	today := func(what string) time.Duration {
		return time.Duration(float64(duration(t, e.Said, what)) / slower).Round(10 * time.Microsecond)
	}
	first, one, netlink, request := today("counted: first "), today("one-more "), today("netlink "), today("request ")
	t.Logf("the guest is %.1f times slower than this machine, for which it would be: 1,000 peers in %v, one more in %v, of which netlink %v (the request itself %v)", slower, first, one, netlink, request)
	if first > 2*time.Second || one > 100*time.Millisecond || netlink > 10*time.Millisecond {
		t.Error("want 1,000 peers within 2 s, one more within 100 ms, of which 10 ms netlink")
	}
}

// duration is what follows these words.
func duration(t *testing.T, said, words string) time.Duration {
	t.Helper()
	_, rest, ok := strings.Cut(said, words)
	fields := strings.Fields(rest)
	if !ok || len(fields) == 0 {
		t.Fatalf("%q is not told:\n%s", words, said)
	}
	d, err := time.ParseDuration(strings.TrimRight(fields[0], ","))
	if err != nil || d <= 0 {
		t.Fatal(fmt.Errorf("%q: %v, %w", words, d, err))
	}
	return d
}
