package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// runLimit bounds every short command that the lab itself runs.
const runLimit = 20 * time.Second

// proc is a long-running child in a process group of its own. The kernel kills it when the test process dies.
type proc struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has been waited for
	err  error         // valid once done is closed
}

// dieWithParent makes the kernel end the child with the thread that starts it (Go keeps its threads until the process ends).
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// start runs argv with its output going to out.
func start(out io.Writer, attr *syscall.SysProcAttr, env []string, argv ...string) (*proc, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr, cmd.Env = attr, env
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", argv[0], err)
	}
	p := &proc{cmd: cmd, done: make(chan struct{})}
	go func() { p.err = cmd.Wait(); close(p.done) }()
	return p, nil
}

func (p *proc) pid() int { return p.cmd.Process.Pid }

// stop sends sig and waits; what still lives after two seconds is killed. If the process has children, they get the signal and it
// does not: it is then nsenter, which ends by itself once it has reaped its child. Without it the child would wait, in some
// containers for seconds, for a first process that reaps, and its namespace with it.
func (p *proc) stop(sig syscall.Signal) {
	select {
	case <-p.done:
		return
	default:
	}
	if kids := children(p.pid()); len(kids) > 0 {
		for _, kid := range kids {
			_ = syscall.Kill(kid, sig)
		}
	} else {
		_ = syscall.Kill(-p.pid(), sig)
	}
	select {
	case <-p.done:
	case <-time.After(2 * time.Second):
		_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
		<-p.done
	}
}

// children lists the child processes of pid (proc(5), /proc/pid/task/tid/children).
func children(pid int) []int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	var kids []int
	for _, f := range strings.Fields(string(b)) {
		if kid, err := strconv.Atoi(f); err == nil {
			kids = append(kids, kid)
		}
	}
	return kids
}

// command runs argv to its end and returns what it printed on standard output; the error carries standard error.
func command(ctx context.Context, argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	var out, msg strings.Builder
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.SysProcAttr = dieWithParent()
	cmd.Stdout, cmd.Stderr = &out, &msg
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return out.String(), fmt.Errorf("cannot run %q: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(msg.String()))
	}
	return out.String(), nil
}

// holder is a process that does nothing but keep namespaces alive; they vanish with it.
type holder struct {
	*proc
	hold io.Closer // its standard input
}

// newHolder starts argv, a shell command line that prints "ready" and then reads standard input until its end.
func newHolder(flags uintptr, argv ...string) (*holder, error) {
	in, hold, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	ready, out, err := os.Pipe()
	if err != nil {
		hold.Close()
		return nil, err
	}
	defer ready.Close()
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
	cmd.SysProcAttr = dieWithParent()
	// Of a process namespace the child itself has to be the first process, so that one is cloned, not unshared.
	cmd.SysProcAttr.Cloneflags = flags & unix.CLONE_NEWPID
	cmd.SysProcAttr.Unshareflags = flags &^ unix.CLONE_NEWPID
	err = cmd.Start()
	out.Close()
	if err != nil {
		hold.Close()
		return nil, fmt.Errorf("cannot make a namespace: %w", err)
	}
	p := &proc{cmd: cmd, done: make(chan struct{})}
	go func() { p.err = cmd.Wait(); close(p.done) }()
	h := &holder{proc: p, hold: hold}
	_ = ready.SetReadDeadline(time.Now().Add(runLimit))
	said, err := readUntil(ready, "ready\n")
	if err != nil {
		h.close()
		return nil, fmt.Errorf("cannot make a namespace: %w: %s", err, strings.TrimSpace(said))
	}
	return h, nil
}

func (h *holder) close() {
	h.hold.Close()
	h.stop(syscall.SIGKILL)
}

func readUntil(r io.Reader, mark string) (string, error) {
	var said strings.Builder
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		said.Write(buf[:n])
		if strings.HasSuffix(said.String(), mark) {
			return said.String(), nil
		}
		if errors.Is(err, io.EOF) {
			return said.String(), errors.New("ended early")
		}
		if err != nil {
			return said.String(), err
		}
	}
}
