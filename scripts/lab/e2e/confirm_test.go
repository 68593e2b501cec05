//go:build lab && linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// killSession ends every process of the program's session, as the kernel and sshd together do when a connection is lost, only
// without a chance to react.
func killSession(t *testing.T, p *lab.Process) {
	t.Helper()
	sessions := map[string]bool{}
	sid := func(pid int) string {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		_, rest, _ := strings.Cut(string(b), ") ") // state ppid pgrp session
		if f := strings.Fields(rest); len(f) > 3 {
			return f[3]
		}
		return ""
	}
	for _, pid := range p.PIDs() {
		if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); !strings.Contains(string(comm), "recover") {
			sessions[sid(pid)] = true
		}
	}
	if len(sessions) == 0 {
		t.Fatal("the program has ended already")
	}
	for _, pid := range p.PIDs() {
		if sessions[sid(pid)] {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	<-p.Done()
}

// awaitChange waits until an apply has changed the first file.
func (c condition) awaitChange(t *testing.T, m *lab.Machine) {
	t.Helper()
	lab.Await(t, 20*time.Second, func() error {
		if len(c.files(t, m)) == 0 {
			return fmt.Errorf("no file has been changed")
		}
		return nil
	})
}

// awaitBack waits until the machine is as before and returns when that was.
func (c condition) awaitThis(t *testing.T, m *lab.Machine, limit time.Duration) time.Time {
	t.Helper()
	lab.Await(t, limit, func() error {
		if diff := c.files(t, m); len(diff) > 0 {
			return fmt.Errorf("/etc differs: %v", diff)
		}
		return c.routes(m)
	})
	return time.Now()
}

// awaitKeeper waits until nobody guards a confirmation any more.
func awaitKeeper(t *testing.T, m *lab.Machine) {
	t.Helper()
	lab.Await(t, 30*time.Second, func() error {
		out := m.MustRun(t, "systemctl", "list-units", "--plain", "--no-legend", "provision-confirm-*")
		if strings.TrimSpace(out) != "" {
			return fmt.Errorf("still there: %s", out)
		}
		return nil
	})
}

func confirmRoots() []string {
	if full {
		return roots
	}
	return []string{"trixie-netplan", "bookworm-nm"}
}

// apply --confirm goes back unless somebody confirms, whatever happens to the process, its terminal and the machine.
func TestConfirm(t *testing.T) {
	t.Parallel()
	together(t, confirmRoots(), func(t *testing.T, name string) {
		m, old, next, _ := bothWays(t, name)

		const within = 4 * time.Second
		begin := time.Now()
		if out := must(t, m, 0, "apply", "--confirm", within.String()); !strings.Contains(out, "provision confirm") {
			t.Errorf("apply does not say how to confirm: %s", out)
		}
		next.require(t, m, "before the time is over")
		after := old.awaitThis(t, m, 20*time.Second).Sub(begin)
		t.Logf("not confirmed: back after %v of %v", after.Round(10*time.Millisecond), within)
		if after < within {
			t.Errorf("back after %v, before %v were over", after, within)
		}
		awaitKeeper(t, m)
		if _, msg, code := provision(t, m, "confirm"); code != 1 || !strings.Contains(msg, "no apply waits") {
			t.Errorf("a late confirm: status %d, %s", code, msg)
		}

		must(t, m, 0, "apply", "--confirm", "3s")
		begin = time.Now()
		_, msg, code := provision(t, m, "apply")
		if code != 1 || !strings.Contains(msg, "waits for its confirmation") || !strings.Contains(msg, "provision confirm") || time.Since(begin) > 2*time.Second {
			t.Errorf("a second apply: status %d after %v, %s", code, time.Since(begin), msg)
		}
		must(t, m, 0, "confirm")
		awaitKeeper(t, m) // it has looked and found nothing to do
		next.require(t, m, "confirmed")
		must(t, m, 0, "plan", "--exit-code")
		must(t, m, 0, "revert")
		old.require(t, m, "after revert")

		// Killed with its session while it works, on a terminal.
		p, err := m.Start("setsid", "script", "-qec", "provision apply --confirm 4s", "/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		old.awaitChange(t, m)
		killSession(t, p)
		old.awaitThis(t, m, 20*time.Second)
		awaitKeeper(t, m)

		must(t, m, 0, "apply", "--confirm", "10m")
		m.Crash(t)
		old.require(t, m, "after a power cut while unconfirmed")
		if out := must(t, m, 0, "recover"); !strings.Contains(out, "nothing was left unfinished") {
			t.Errorf("after the boot: %s", out)
		}
	})
}

// Without systemd the keeper is a process of its own, which neither the end of the apply nor of its session takes along.
func TestConfirmWithoutSystemd(t *testing.T) {
	t.Parallel()
	m, old, next, _ := bothWays(t, "bookworm-ifupdown")
	hide := func(command string) []string {
		return []string{"unshare", "-m", "sh", "-c", "mount -t tmpfs hidden /run/systemd && exec setsid " + command}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	begin := time.Now()
	// The terminal's session goes on after the apply, so there is something to kill.
	p, err := m.Start(hide("script -qec 'provision apply --confirm 4s; exec sleep 600' /dev/null")...)
	if err != nil {
		t.Fatal(err)
	}
	next.awaitThis(t, m, 3*time.Second)
	killSession(t, p)
	after := old.awaitThis(t, m, 20*time.Second).Sub(begin)
	t.Logf("back after %v", after.Round(10*time.Millisecond))
	if after < 4*time.Second {
		t.Errorf("back after %v", after)
	}

	out, msg, code := m.Run(ctx, hide("provision apply --confirm 3s")[0], hide("provision apply --confirm 3s")[1:]...)
	if code != 0 {
		t.Fatalf("apply: %d\n%s%s", code, out, msg)
	}
	must(t, m, 0, "confirm")
	lab.Await(t, 20*time.Second, func() error {
		if out, _, code := m.Run(ctx, "sh", "-c", `grep -lz -- --wait /proc/[0-9]*/cmdline | grep -v /self/ | xargs -r -n1 dirname | while read d; do grep -qz provision $d/cmdline && tr '\0' ' ' <$d/cmdline; done`); strings.Contains(out, "recover --wait") || code < 0 {
			return fmt.Errorf("the keeper still runs: %s", out)
		}
		return nil
	})
	next.require(t, m, "confirmed")
	must(t, m, 0, "revert")
	old.require(t, m, "after revert")
}
