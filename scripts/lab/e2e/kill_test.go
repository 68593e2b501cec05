//go:build lab && linux

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// killRoots are one version of each manager; PROVISION_LAB_FULL takes every root.
func killRoots() []string {
	if full {
		return roots
	}
	return []string{"trixie-netplan", "bookworm-netplan-nm", "trixie-nm", "bookworm-ifupdown"}
}

// condition is what a machine's network is: its files and what the kernel has.
type condition struct {
	etc  lab.Tree
	four string
	six  string
}

func conditionOf(t *testing.T, m *lab.Machine) condition {
	t.Helper()
	return condition{m.TreeDigest(t, "/etc").Without(volatile...), defaults(m, 4), defaults(m, 6)}
}

// files says how the machine's files differ from c; empty when they do not.
func (c condition) files(t *testing.T, m *lab.Machine) []string {
	t.Helper()
	return c.etc.Diff(m.TreeDigest(t, "/etc").Without(volatile...))
}

// routes says how the kernel's default routes differ from c.
func (c condition) routes(m *lab.Machine) error {
	if four, six := defaults(m, 4), defaults(m, 6); four != c.four || six != c.six {
		return fmt.Errorf("default routes: %s | %s, want %s | %s", four, six, c.four, c.six)
	}
	return nil
}

// require fails the test unless the machine is as c says; routes get the time that routers and DHCP servers need.
func (c condition) require(t *testing.T, m *lab.Machine, what string) {
	t.Helper()
	if diff := c.files(t, m); len(diff) > 0 {
		t.Fatalf("%s: /etc differs: %v", what, diff)
	}
	lab.Await(t, 15*time.Second, func() error {
		if err := c.routes(m); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	})
}

// recoverUnit is the program's own unit, which runs early in each boot that has something to finish.
func recoverUnit(t *testing.T) lab.Overlay {
	t.Helper()
	text, err := os.ReadFile("../../../cmd/provision/provision-recover.service")
	if err != nil {
		t.Fatal(err)
	}
	const path = "/etc/systemd/system/provision-recover.service"
	return lab.Overlay{path: {Content: string(text)}, "/etc/systemd/system/sysinit.target.wants/provision-recover.service": {Link: path}}
}

// faulty runs the program that has faults built in.
func faulty(m *lab.Machine, env []string, args ...string) (stdout, stderr string, code int) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return m.RunCmd(ctx, lab.Cmd{Argv: append([]string{"provision"}, args...), Env: env})
}

const killed = 128 + 9

// What follows a kill.
var aftermaths = []struct {
	name string
	do   func(t *testing.T, m *lab.Machine, root string, old, next condition, what string)
}{
	{"the next apply", func(t *testing.T, m *lab.Machine, _ string, _, next condition, what string) {
		must(t, m, 0, "apply")
		next.require(t, m, what)
	}},
	{"recover", func(t *testing.T, m *lab.Machine, _ string, old, next condition, what string) {
		if out := must(t, m, 0, "recover"); strings.Contains(out, "nothing was left unfinished") && len(next.files(t, m)) == 0 {
			next.require(t, m, what+", which came after the commit")
			return
		}
		old.require(t, m, what)
	}},
	{"a boot", func(t *testing.T, m *lab.Machine, root string, old, next condition, what string) {
		m.Crash(t)
		if out := m.MustRun(t, "systemctl", "show", "provision-recover.service", "-P", "Result", "-P", "ExecMainStatus", "-P", "ExecMainExitTimestampMonotonic"); !strings.HasPrefix(out, "success\n") {
			t.Fatalf("%s: the boot unit ended with %s", what, out)
		}
		await(t, m, root, "eth0", "eth1")
		if len(old.files(t, m)) == 0 {
			old.require(t, m, what+", old state")
			return
		}
		next.require(t, m, what+", new state")
		must(t, m, 0, "verify")
	}},
}

// together runs a test on several roots at once: they wait for routers and daemons most of the time.
func together(t *testing.T, names []string, f func(t *testing.T, name string)) {
	t.Helper()
	var wait sync.WaitGroup
	for _, name := range names {
		wait.Go(func() { t.Run(name, func(t *testing.T) { f(t, name) }) })
	}
	wait.Wait()
}

// bothWays boots a machine that knows its old condition, and the one that an apply makes of it.
func bothWays(t *testing.T, name string) (m *lab.Machine, old, next condition, writes int) {
	t.Helper()
	_, m = boot(t, name, lab.WorldOpts{}, lab.BootOpts{Binary: crashing, Overlay: recoverUnit(t)})
	await(t, m, name, "eth0", "eth1")
	old = conditionOf(t, m)
	first := apply(t, m)
	awaitWinner(t, m, 4, "eth1 metric 10")
	awaitWinner(t, m, 6, "eth1 metric 10")
	next = conditionOf(t, m)
	must(t, m, 0, "revert")
	old.require(t, m, "after revert")
	t.Logf("%s | %s becomes %s | %s by %d writes, triggers %v", old.four, old.six, next.four, next.six, first.Result.Writes, first.Result.Triggers)
	return m, old, next, first.Result.Writes
}

// A real apply is killed before and after each of its effects. What comes next ends in the old or the new state, never between,
// and files and kernel agree.
func TestKilledAtEveryEffect(t *testing.T) {
	t.Parallel()
	together(t, killRoots(), func(t *testing.T, name string) {
		m, old, next, writes := bothWays(t, name)
		effects, n := 0, 1
		for ; killAt(t, m, n, "before", name, old, next); n++ {
			effects = n
			killAt(t, m, n, "after", name, old, next)
		}
		next.require(t, m, "after the apply that nobody killed")
		if effects < writes {
			t.Errorf("killed at %d effects of %d", effects, writes)
		}
	})
}

// killAt kills an apply at one effect and sees what comes next; false when the apply has no such effect.
func killAt(t *testing.T, m *lab.Machine, n int, when, root string, old, next condition) bool {
	t.Helper()
	for i, way := range aftermaths {
		// One way after each kill covers all of them in turn; the full matrix takes all.
		if !full && i != (n+len(when))%len(aftermaths) {
			continue
		}
		what := fmt.Sprintf("killed %s effect %d, then %s", when, n, way.name)
		begin := time.Now()
		out, msg, code := faulty(m, []string{fmt.Sprintf("PROVISION_CRASH_AT=%d", n), "PROVISION_CRASH_WHEN=" + when}, "apply")
		if code == 0 {
			return false
		}
		if code != killed {
			t.Fatalf("%s: apply ended with %d\n%s%s", what, code, out, msg)
		}
		way.do(t, m, root, old, next, what)
		must(t, m, 0, "revert")
		old.require(t, m, what+", then revert")
		t.Logf("%s: %v", what, time.Since(begin).Round(time.Millisecond))
	}
	return true
}

// Each effect of a real apply fails: it goes back by itself and says so.
func TestFailingAtEveryEffect(t *testing.T) {
	t.Parallel()
	together(t, killRoots(), func(t *testing.T, name string) {
		m, old, next, writes := bothWays(t, name)
		for n := 1; ; n++ {
			what := fmt.Sprintf("failed at effect %d", n)
			out, msg, code := faulty(m, []string{fmt.Sprintf("PROVISION_FAIL_AT=%d", n)}, "apply")
			if code == 0 {
				if n <= writes {
					t.Errorf("%d effects of %d were made to fail", n-1, writes)
				}
				break
			}
			if code != 1 || !strings.Contains(msg, "gone back to the state before") || !strings.Contains(msg, fmt.Sprintf("injected failure of effect %d", n)) {
				t.Fatalf("%s: status %d\n%s%s", what, code, out, msg)
			}
			old.require(t, m, what)
			if out := must(t, m, 0, "recover"); !strings.Contains(out, "nothing was left unfinished") {
				t.Errorf("%s: recover says %s", what, out)
			}
		}
		next.require(t, m, "without a failure")
	})
}

// Kills at random moments also hit the middle of effects: a daemon that is being restarted, foreign routes that are saved and not
// yet put back.
func TestKilledAtRandom(t *testing.T) {
	if !full {
		t.Skip("kills at random moments are for PROVISION_LAB_FULL: those before and after each effect run always")
	}
	together(t, killRoots(), func(t *testing.T, name string) {
		m, old, next, _ := bothWays(t, name)
		begin := time.Now()
		must(t, m, 0, "apply")
		took := time.Since(begin)
		must(t, m, 0, "revert")
		old.require(t, m, "after revert")
		for i := range 30 {
			after := time.Duration(rand.Int64N(int64(took)))
			ctx, cancel := context.WithTimeout(context.Background(), after)
			_, _, code := m.Run(ctx, "provision", "apply")
			cancel()
			way := aftermaths[i%len(aftermaths)]
			what := fmt.Sprintf("killed after %v (status %d), then %s", after, code, way.name)
			if code == 0 { // it was faster this time
				next.require(t, m, what)
			} else {
				way.do(t, m, name, old, next, what)
			}
			must(t, m, 0, "revert")
			if strings.Contains(name, "ifupdown") && way.name == "a boot" {
				m.Reboot(t) // a dhclient that was started in the new state keeps its second default route as long as it lives
				await(t, m, name, "eth0", "eth1")
			}
			old.require(t, m, what+", then revert")
			t.Log(what)
		}
	})
}
