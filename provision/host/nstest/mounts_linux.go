package nstest

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// unshare moves the calling goroutine, and no other, into new namespaces. Its thread
// is never unlocked, so it ends with the goroutine and the namespaces with it.
func unshare(flags int) error {
	runtime.LockOSThread()
	return unix.Unshare(flags)
}

func needsRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: namespaces need root")
	}
}

func enter(t *testing.T, flags int) {
	t.Helper()
	needsRoot(t)
	if err := unshare(flags); err != nil {
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
