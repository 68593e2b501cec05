package nstest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// NS is a network namespace that lives as long as its test. Functions run in it on
// a thread that stays in it.
type NS struct {
	t     testing.TB
	calls chan func()
}

// New makes a namespace with the loopback up, or skips the test with the reason.
func New(t testing.TB) *NS {
	t.Helper()
	needsRoot(t)
	n := &NS{t: t, calls: make(chan func())}
	ready := make(chan error)
	go func() {
		ready <- unshare(unix.CLONE_NEWNET)
		for f := range n.calls {
			f()
		}
	}()
	if err := <-ready; err != nil {
		close(n.calls)
		t.Skipf("skipped: cannot make a network namespace: %v", err)
	}
	t.Cleanup(func() { close(n.calls) })
	n.Sh("ip link set lo up")
	return n
}

// Do runs f in the namespace and waits for it. Sockets and processes that f makes
// belong to the namespace; goroutines it starts do not. f must not call t.FailNow.
func (n *NS) Do(f func()) {
	done := make(chan struct{})
	n.calls <- func() {
		defer close(done)
		f()
	}
	<-done
}

// Sh runs commands, one per line, words split at blanks, and fails the test when
// one fails.
func (n *NS) Sh(script string) string {
	n.t.Helper()
	out, err := n.Try(script)
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

// Try is Sh that returns the error.
func (n *NS) Try(script string) (string, error) {
	var out strings.Builder
	for line := range strings.SplitSeq(script, "\n") {
		w := strings.Fields(line)
		if len(w) == 0 {
			continue
		}
		var b []byte
		var err error
		n.Do(func() { b, err = exec.Command(w[0], w[1:]...).CombinedOutput() })
		out.Write(b)
		if err != nil {
			return out.String(), fmt.Errorf("%s: %w: %s", strings.Join(w, " "), err, b)
		}
	}
	return out.String(), nil
}

// Path names the namespace for "ip link set dev X netns PATH".
func (n *NS) Path() string {
	var tid int
	n.Do(func() { tid = unix.Gettid() })
	return fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), tid)
}

// Pair joins two namespaces by a veth pair, a in n and b in the other, both up.
func (n *NS) Pair(a string, other *NS, b string) {
	n.t.Helper()
	n.Sh("ip link add " + a + " type veth peer name peer-tmp")
	n.Sh("ip link set peer-tmp netns " + other.Path())
	other.Sh("ip link set peer-tmp name " + b + "\nip link set " + b + " up")
	n.Sh("ip link set " + a + " up")
}

// Network gives the calling test an empty network namespace with its own
// /proc/sys/net, loopback up.
func Network(t *testing.T) {
	t.Helper()
	enter(t, unix.CLONE_NEWNET|unix.CLONE_NEWNS)
	IP(t, "link set lo up")
}

// IP runs ip(8) with these arguments, separated by blanks, and returns what it
// printed.
func IP(t *testing.T, args string) string {
	t.Helper()
	path, err := exec.LookPath("ip")
	if err != nil {
		t.Skip("skipped: no ip(8); install iproute2")
	}
	cmd := exec.Command(path, strings.Fields(args)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ip %s: %v: %s", args, err, stderr.String())
	}
	return string(out)
}
