package lab

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// NetNS is a network namespace without a name: it lives as long as the process that holds it.
type NetNS struct {
	h     *holder
	flags uintptr
}

// newNetNS makes a network namespace in which lo is up. It has a mount namespace beside it, where /sys shows its own NICs, and,
// if flags has CLONE_NEWPID, a process namespace, with whose end the kernel ends all daemons in it: some (dnsmasq) change their
// credentials, and the kernel then forgets that they should die with their parent.
func newNetNS(flags uintptr) (*NetNS, error) {
	h, err := newHolder(unix.CLONE_NEWNET|unix.CLONE_NEWNS|flags, "/bin/sh", "-c",
		"mount -t sysfs sysfs /sys && ip link set lo up && echo ready && exec cat >/dev/null")
	if err != nil {
		return nil, err
	}
	return &NetNS{h: h, flags: flags}, nil
}

// PID is the process that holds the namespace: nsenter -t PID -n -m enters it by hand.
func (n *NetNS) PID() int { return n.h.pid() }

func (n *NetNS) path() string { return fmt.Sprintf("/proc/%d/ns/net", n.PID()) }

func (n *NetNS) enter(argv ...string) []string {
	return append([]string{"nsenter", "-t", strconv.Itoa(n.PID()), "-n", "-m", "--"}, argv...)
}

// Exec runs a host program inside the namespace, for 20 s at most, and returns its standard output.
func (n *NetNS) Exec(argv ...string) (string, error) {
	return command(context.Background(), n.enter(argv...)...)
}

// start runs a host program inside the namespace until it is stopped.
func (n *NetNS) start(out io.Writer, env []string, argv ...string) (*proc, error) {
	argv = n.enter(argv...)
	if n.flags&unix.CLONE_NEWPID != 0 {
		argv = slices.Insert(argv, 1, "-p")
	}
	return start(out, dieWithParent(), env, argv...)
}

// Do calls f on a thread that is inside the namespace: sockets that f opens belong to it for good.
func (n *NetNS) Do(f func() error) error {
	runtime.LockOSThread()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer here.Close()
	there, err := os.Open(n.path())
	if err != nil {
		return err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("cannot enter the namespace: %w", err)
	}
	err = f()
	if back := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); back != nil {
		// The thread stays locked, so the runtime throws it away instead of running other code in the wrong namespace.
		return fmt.Errorf("cannot leave the namespace: %w", back)
	}
	runtime.UnlockOSThread()
	return err
}
