package agent

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// apart runs the test once more in a process with a network and a /run of its own, since a watch has goroutines, which may be on any
// thread. It reports whether this is that process; the other one has nothing left to do.
func apart(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("skipped: needs root: it makes namespaces")
	}
	const inside = "PROVISION_TEST_APART"
	if os.Getenv(inside) == t.Name() {
		if err := syscall.Mount("tmpfs", "/run", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}
