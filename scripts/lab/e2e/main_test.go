//go:build lab && linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// binary is the program under test, which PROVISION_BINARY may name; crashing is the same program built with the tag faultinject.
var binary, crashing string

// full widens the matrix: every root instead of the main ones.
var full = os.Getenv("PROVISION_LAB_FULL") != ""

func TestMain(m *testing.M) {
	os.Exit(lab.Main(m, func(dir string) (err error) {
		if binary, err = lab.Program(dir); err != nil {
			return err
		}
		crashing = filepath.Join(dir, "provision-crashing")
		cmd := exec.Command("go", "build", "-trimpath", "-tags", "faultinject", "-o", crashing, "../../../cmd/provision")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("cannot build the program with faults: %w\n%s", err, out)
		}
		return nil
	}))
}

// roots of the main matrix: the managers in the versions of Debian 12 and 13.
var roots = []string{
	"bookworm-netplan", "bookworm-netplan-nm", "bookworm-nm", "bookworm-ifupdown",
	"trixie-netplan", "trixie-netplan-nm", "trixie-nm", "trixie-ifupdown",
}

// boot starts a machine with two NICs and waits until both have what the world gives.
func boot(t *testing.T, name string, wo lab.WorldOpts, bo lab.BootOpts) (*lab.World, *lab.Machine) {
	t.Helper()
	lab.Need(t, lab.Tier2)
	root := lab.Root(t, name)
	w := lab.NewWorld(t, wo)
	if bo.Binary == "" {
		bo.Binary = binary
	}
	m := lab.Boot(t, root, w, bo)
	return w, m
}

// await waits until eth0 and eth1 have their IPv4 and IPv6 addresses and every manager but dhclient (which makes one IPv4
// default route for all NICs, the first) its default routes.
func await(t testing.TB, m *lab.Machine, root string, nics ...string) {
	t.Helper()
	m.AwaitAddrs(t, 20*time.Second, nics...)
	if !strings.Contains(root, "ifupdown") {
		m.AwaitDefaults(t, 20*time.Second, nics...)
	}
}

// provision runs the program inside the machine.
func provision(t testing.TB, m *lab.Machine, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return m.Run(ctx, "provision", args...)
}

// must runs it and fails the test unless it ends with the wanted status.
func must(t testing.TB, m *lab.Machine, code int, args ...string) string {
	t.Helper()
	out, msg, got := provision(t, m, args...)
	if got != code {
		t.Fatalf("provision %s: status %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, msg)
	}
	if msg != "" {
		t.Logf("provision %s says: %s", strings.Join(args, " "), msg)
	}
	return out
}

// winner is the NIC and metric of the best default route of a family; an equal second is a failure.
func winner(t *testing.T, m *lab.Machine, family int) string {
	t.Helper()
	d := m.Defaults(family)
	if len(d) == 0 {
		return "none"
	}
	slices.SortStableFunc(d, func(a, b lab.Route) int { return int(a.Metric) - int(b.Metric) })
	if len(d) > 1 && d[0].Metric == d[1].Metric && d[0].Dev != d[1].Dev {
		return fmt.Sprintf("%s and %s with equal metric %d", d[0].Dev, d[1].Dev, d[0].Metric)
	}
	return fmt.Sprintf("%s metric %d", d[0].Dev, d[0].Metric)
}

// defaults is the set of "dev metric" of a family's default routes, sorted.
func defaults(m *lab.Machine, family int) string {
	var all []string
	for _, r := range m.Defaults(family) {
		all = append(all, fmt.Sprintf("%s %d", r.Dev, r.Metric))
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

// outcome is the part of apply's JSON that the tests read.
type outcome struct {
	Processes int64
	Result    struct {
		Writes   int
		Triggers []string
		Effects  []struct{ Ref struct{ Kind, Name string } }
	}
}

func apply(t testing.TB, m *lab.Machine, args ...string) outcome {
	t.Helper()
	out := must(t, m, 0, append([]string{"apply", "-o", "json"}, args...)...)
	var o outcome
	if err := json.Unmarshal([]byte(out), &o); err != nil {
		t.Fatalf("apply printed no JSON: %v\n%s", err, out)
	}
	return o
}

// awaitWinner waits for a daemon or the next router advertisement.
func awaitWinner(t *testing.T, m *lab.Machine, family int, want string) {
	t.Helper()
	lab.Await(t, 15*time.Second, func() error {
		if got := winner(t, m, family); got != want {
			return fmt.Errorf("the best IPv%d default route is %s, want %s (all: %s)", family, got, want, defaults(m, family))
		}
		return nil
	})
}
