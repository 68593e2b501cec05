package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// NewNS makes a network namespace with a mount and a process namespace beside it; all that was started in it ends with the test.
func NewNS(t testing.TB) *NetNS {
	t.Helper()
	n, err := newNetNS(unix.CLONE_NEWPID)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	t.Cleanup(n.h.close)
	return n
}

// Root is a path of the host by which the namespace's own mounts are seen.
func (n *NetNS) Root() string { return fmt.Sprintf("/proc/%d/root", n.PID()) }

// Daemon is a program that runs in a namespace.
type Daemon struct{ p *proc }

// Start runs a host program in the namespace, with its output going to out, and does not wait for it.
func (n *NetNS) Start(out io.Writer, argv ...string) (*Daemon, error) {
	p, err := n.start(out, nil, argv...)
	if err != nil {
		return nil, err
	}
	return &Daemon{p}, nil
}

// StartBare is Start with only the namespace's network, and without nsenter, which would be a part of whatever is measured from
// the start on: begin.
func (n *NetNS) StartBare(out io.Writer, argv ...string) (d *Daemon, begin time.Time, err error) {
	var p *proc
	err = n.Do(func() (err error) {
		begin = time.Now()
		p, err = start(out, dieWithParent(), nil, argv...)
		return err
	})
	if err != nil {
		return nil, begin, err
	}
	return &Daemon{p}, begin, nil
}

// Call runs a host program in all of the namespace's namespaces to its end, for 20 s at most. Unlike Exec it shares the
// process numbers of what Start has started, as a program that signals a daemon by its pid file has to.
func (n *NetNS) Call(argv ...string) (string, error) {
	var out strings.Builder
	d, err := n.Start(&out, argv...)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), runLimit)
	defer cancel()
	select {
	case <-d.Done():
	case <-ctx.Done():
		d.Stop(syscall.SIGKILL)
		return out.String(), fmt.Errorf("cannot run %q: %w: %s", strings.Join(argv, " "), ctx.Err(), out.String())
	}
	if d.p.err != nil {
		return out.String(), fmt.Errorf("cannot run %q: %w: %s", strings.Join(argv, " "), d.p.err, strings.TrimSpace(out.String()))
	}
	return out.String(), nil
}

// PID is the program's number on the host, 0 once it has ended. nsenter has to fork to enter a process namespace, so the
// program is its child; right after Start it may not be there yet.
func (d *Daemon) PID() int {
	deadline := time.Now().Add(2 * time.Second)
	for time.Now().Before(deadline) {
		select {
		case <-d.p.done:
			return 0
		default:
		}
		for _, kid := range children(d.p.pid()) {
			if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", kid)); exe != "" && !strings.HasSuffix(exe, "/nsenter") {
				return kid
			}
		}
		time.Sleep(time.Millisecond) // there is no event for a child's execve
	}
	return 0
}

// Signal sends sig to the program.
func (d *Daemon) Signal(sig syscall.Signal) error {
	pid := d.PID()
	if pid == 0 {
		return os.ErrProcessDone
	}
	return syscall.Kill(pid, sig)
}

// Stop sends sig, waits, and after two seconds kills.
func (d *Daemon) Stop(sig syscall.Signal) { d.p.stop(sig) }

// Done is closed when the program has ended.
func (d *Daemon) Done() <-chan struct{} { return d.p.done }

// Err is how it has ended; valid once Done is closed.
func (d *Daemon) Err() error { return d.p.err }
