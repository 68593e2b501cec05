package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// DefaultPath is where commands are looked up: directories that only root writes.
const DefaultPath = "/usr/sbin:/usr/bin:/sbin:/bin"

const (
	defaultTimeout = 30 * time.Second
	maxOutput      = 1 << 20
	// graceAfterExit is how long output is still read after the command ended: a
	// daemon that it left behind may hold the pipes for ever.
	graceAfterExit = 200 * time.Millisecond
)

// Exec runs commands on this machine. The zero value is ready for use.
type Exec struct {
	Root string // refuses every command unless empty or "/": a mounted image runs nothing
	Path string // overrides DefaultPath

	spawned atomic.Int64
}

// Spawned is the number of processes started so far.
func (e *Exec) Spawned() int64 { return e.spawned.Load() }

// Run implements Runner. The command leads its own process group, which is killed
// as a whole on timeout and when ctx ends; a daemon that a finished command left
// behind stays.
func (e *Exec) Run(ctx context.Context, c Command) (Output, error) {
	if len(c.Argv) == 0 {
		return Output{}, errors.New("cannot run a command without arguments")
	}
	if e.Root != "" && e.Root != "/" {
		return Output{}, fmt.Errorf("cannot run %q: %s is not the running system", c.String(), e.Root)
	}
	path := e.Path
	if path == "" {
		path = DefaultPath
	}
	program, err := lookUp(c.Argv[0], path)
	if err != nil {
		return Output{}, err
	}
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = defaultTimeout
	}
	timed, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	cmd := exec.CommandContext(timed, program, c.Argv[1:]...)
	cmd.Args[0] = c.Argv[0]
	cmd.Dir = "/"
	cmd.Env = append([]string{"LC_ALL=C", "PATH=" + path}, c.Env...)
	cmd.Stdin = bytes.NewReader(c.Stdin)
	stdout, stderr := &bounded{limit: maxOutput}, &bounded{limit: maxOutput}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
	cmd.WaitDelay = graceAfterExit

	if err := cmd.Start(); err != nil {
		return Output{}, fmt.Errorf("cannot start %q: %w", c.String(), err)
	}
	e.spawned.Add(1)
	err = cmd.Wait()
	out := Output{
		Stdout: stdout.bytes(), Stderr: stderr.bytes(),
		Code:      cmd.ProcessState.ExitCode(),
		Truncated: stdout.over || stderr.over,
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil && err != nil && !cmd.ProcessState.Exited():
		return out, fmt.Errorf("%q was stopped: %w", c.String(), context.Cause(ctx))
	case timed.Err() != nil && err != nil && !cmd.ProcessState.Exited():
		return out, fmt.Errorf("%q did not end within %v and was killed: %w", c.String(), timeout, timed.Err())
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return out, nil
	case errors.As(err, &exit) && exit.Exited():
		return out, nil
	case errors.As(err, &exit):
		status, _ := exit.Sys().(syscall.WaitStatus)
		return out, fmt.Errorf("%q was killed by signal %v: %s", c.String(), status.Signal(), tail(out.Stderr, 600))
	}
	// The process ended by itself with status 0, the context just too late for it.
	if cmd.ProcessState.Success() {
		return out, nil
	}
	return out, fmt.Errorf("cannot run %q: %w", c.String(), err)
}

// lookUp finds a program that nobody but its owner can have replaced.
func lookUp(name, path string) (string, error) {
	if strings.ContainsRune(name, '/') {
		if !filepath.IsAbs(name) {
			return "", fmt.Errorf("cannot run %q: a program is given by name or absolute path", name)
		}
		return name, executable(name)
	}
	for _, dir := range strings.Split(path, ":") {
		candidate := filepath.Join(dir, name)
		if !filepath.IsAbs(candidate) {
			continue
		}
		err := executable(candidate)
		if err == nil {
			return candidate, nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("cannot run %q: %w in %s", name, exec.ErrNotFound, path)
}

func executable(program string) error {
	info, err := os.Stat(program)
	if err != nil {
		return fmt.Errorf("cannot run %s: %w", program, err)
	}
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("cannot run %s: not a regular file", program)
	case info.Mode().Perm()&0o111 == 0:
		return fmt.Errorf("cannot run %s: not executable", program)
	case info.Mode().Perm()&0o002 != 0:
		return fmt.Errorf("cannot run %s: everybody can write to it; chmod o-w it", program)
	}
	return nil
}

// bounded keeps the first limit bytes and swallows the rest, so that a command
// which floods its output neither blocks nor fills the memory.
type bounded struct {
	buf   bytes.Buffer
	limit int
	over  bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if room := b.limit - b.buf.Len(); room < len(p) {
		b.over = true
		b.buf.Write(p[:room])
		return len(p), nil
	}
	return b.buf.Write(p)
}

func (b *bounded) bytes() []byte { return b.buf.Bytes() }

func tail(b []byte, limit int) string {
	s := strings.ToValidUTF8(strings.TrimSpace(string(b)), "?")
	if s == "" {
		return "no output"
	}
	if len(s) > limit {
		s = "... " + strings.ToValidUTF8(s[len(s)-limit:], "")
	}
	return s
}
