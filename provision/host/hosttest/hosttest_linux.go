package hosttest

import (
	"bytes"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// enter moves the calling goroutine, and no other, into new namespaces. Its thread
// is never unlocked, so it ends with the goroutine and the namespaces with it.
func enter(t *testing.T, flags int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: namespaces need root")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(flags); err != nil {
		t.Skipf("skipped: cannot make a namespace: %v", err)
	}
	// Nothing that is mounted here may travel back.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Skipf("skipped: cannot make mounts private: %v", err)
	}
}

// Mounts gives the calling test a private copy of the mount tree.
func Mounts(t *testing.T) {
	t.Helper()
	enter(t, unix.CLONE_NEWNS)
}

// Tmpfs mounts an empty file system with these options (tmpfs(5)) on a new
// directory.
func Tmpfs(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	Mount(t, "tmpfs", dir, "tmpfs", 0, options)
	return dir
}

// Mount is mount(2), undone when the test ends.
func Mount(t *testing.T, source, target, kind string, flags uintptr, options string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, options); err != nil {
		t.Skipf("skipped: cannot mount %s on %s: %v", kind, target, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Errorf("cannot unmount %s: %v", target, err)
		}
	})
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
