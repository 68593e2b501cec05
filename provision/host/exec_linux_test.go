package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestExecOutput(t *testing.T) {
	var e Exec
	out, err := e.Run(t.Context(), Command{Argv: []string{"sh", "-c", "cat; echo err >&2; env; exit 3"}, Stdin: []byte("in\n"), Env: []string{"X=1"}})
	if err != nil {
		t.Fatal(err)
	}
	if out.Code != 3 || string(out.Stderr) != "err\n" {
		t.Errorf("code %d, stderr %q", out.Code, out.Stderr)
	}
	var names []string
	for _, line := range strings.Fields(string(out.Stdout))[1:] {
		name, _, _ := strings.Cut(line, "=")
		if name != "PWD" && name != "_" && name != "SHLVL" && name != "OLDPWD" { // the shell's own
			names = append(names, name)
		}
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "LC_ALL PATH X" {
		t.Errorf("environment has %q, want LC_ALL, PATH and X only", got)
	}
	if e.Spawned() != 1 {
		t.Errorf("spawned %d, want 1", e.Spawned())
	}
}

func TestExecErrors(t *testing.T) {
	dir := t.TempDir()
	script := func(name string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, tc := range []struct {
		name string
		exec *Exec
		argv []string
		want string
	}{
		{"nothing", &Exec{}, nil, "without arguments"},
		{"unknown", &Exec{}, []string{"no-such-program"}, `"no-such-program"`},
		{"relative", &Exec{}, []string{"./x"}, "name or absolute path"},
		{"offline", &Exec{Root: "/mnt/image"}, []string{"true"}, "/mnt/image is not the running system"},
		{"loose", &Exec{}, []string{script("loose", 0o777)}, "chmod o-w"},
		{"plain", &Exec{}, []string{script("plain", 0o644)}, "not executable"},
		{"directory", &Exec{}, []string{dir}, "not a regular file"},
		{"killed", &Exec{}, []string{"sh", "-c", "kill -9 $$"}, "killed by signal killed"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := tc.exec.Run(t.Context(), Command{Argv: tc.argv})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want it to say %q", err, tc.want)
			}
		})
	}
}

// The command ignores signals and leaves a grandchild that does so too: both must
// be gone when Run returns.
func TestExecTimeoutKillsGroup(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	for _, tc := range []struct {
		name string
		run  func() error
		want error
	}{
		{"timeout", func() error {
			var e Exec
			_, err := e.Run(t.Context(), Command{Timeout: 300 * time.Millisecond, Argv: stubborn(pids)})
			return err
		}, context.DeadlineExceeded},
		{"cancel", func() error {
			var e Exec
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			_, err := e.Run(ctx, Command{Argv: stubborn(pids)})
			return err
		}, context.DeadlineExceeded},
	} {
		t.Run(tc.name, func(t *testing.T) {
			start := time.Now()
			err := tc.run()
			if !errors.Is(err, tc.want) {
				t.Fatalf("got %v", err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			text, err := os.ReadFile(pids)
			if err != nil {
				t.Fatal(err)
			}
			list := strings.Fields(string(text))
			if len(list) != 2 {
				t.Fatalf("pids %q, want 2", text)
			}
			for _, field := range list {
				pid, err := strconv.Atoi(field)
				if err != nil {
					t.Fatal(err)
				}
				awaitGone(t, pid)
			}
		})
	}
}

func stubborn(pids string) []string {
	return []string{"sh", "-c", "trap '' TERM INT HUP; (sleep 100; true) & echo $$ $! > " + pids + "; wait; sleep 100"}
}

// awaitGone waits until a killed process is reaped: by its parent, which for the
// grandchild is init.
func awaitGone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		if syscall.Kill(pid, 0) != nil {
			return
		}
	}
	t.Errorf("process %d is still alive", pid)
}

// A daemon that keeps the pipes open must not hold Run, nor be killed.
func TestExecLeavesDaemon(t *testing.T) {
	var e Exec
	start := time.Now()
	out, err := e.Run(t.Context(), Command{Argv: []string{"sh", "-c", "sleep 60 & echo $!"}})
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out.Stdout)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		t.Errorf("the daemon is gone: %v", err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error(err)
	}
}

func TestExecBoundsOutput(t *testing.T) {
	var e Exec
	out, err := e.Run(t.Context(), Command{Argv: []string{"head", "-c", "5000000", "/dev/zero"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Stdout) != maxOutput || !out.Truncated || out.Code != 0 {
		t.Errorf("kept %d bytes, truncated %v, code %d", len(out.Stdout), out.Truncated, out.Code)
	}
}
