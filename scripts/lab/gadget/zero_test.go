//go:build lab && linux

package gadget

import (
	_ "embed"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/provision-net/provision/scripts/lab"
)

//go:embed zero.sh
var zero string

// mostMemory is what the server of a Pi Zero with one link and ten leases may hold, in kB, and the device of a tunnel.
const mostMemory = 14 << 10

// TestZero has the release binary for ARMv6 on an ARMv6 kernel: it makes and binds the gadget, serves ten leases over it, and its memory is
// counted, then and after it has read its configuration again, and that of the process that is a WireGuard device with a peer.
func TestZero(t *testing.T) {
	lab.Need(t, lab.Raspi0)
	t.Parallel()
	program := os.Getenv("PROVISION_BINARY_ARMV6")
	if program == "" {
		program = filepath.Join(t.TempDir(), "provision")
		if err := lab.BuildProgram(program, "GOOS=linux", "GOARCH=arm", "GOARM=6"); err != nil {
			t.Fatal(err)
		}
	}
	e := RunZero(t, Guest{Script: zero, Files: map[string]string{"provision": program}})
	t.Logf("the guest took %.1f s, %.1f s of CPU\n%s", e.Took.Seconds(), e.CPU.Seconds(), last(e.Said, 60))
	if e.Status != "0" {
		t.Fatalf("the guest's script ended with status %q", e.Status)
	}
	if n := strings.Count(e.Said, "lease of "); n != 10 {
		t.Errorf("%d clients were told an address, want 10", n)
	}
	if n := number(t, e.Said, `leases: (\d+)`); n != 10 {
		t.Errorf("the server has %d leases, want 10", n)
	}
	for _, when := range []string{"with ten leases", "after a reload", "as a WireGuard device"} {
		if kb := number(t, e.Said, `memory `+when+`:\s+VmRSS:\s+(\d+) kB`); kb > mostMemory {
			t.Errorf("%s the process holds %d kB, which is over %d", when, kb, mostMemory)
		}
	}
}

func number(t *testing.T, said, what string) int {
	t.Helper()
	m := regexp.MustCompile(what).FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("the guest has not said %q", what)
	}
	n, _ := strconv.Atoi(m[1])
	return n
}
