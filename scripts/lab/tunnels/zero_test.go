//go:build lab && linux

package tunnels

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/gadget"
)

// TestZero measures a userspace device on the Pi Zero that QEMU knows: the program as it is shipped, on
// Debian's kernel for it.
func TestZero(t *testing.T) {
	if os.Getenv("PROVISION_LAB_FULL") == "" {
		t.Skip("a boot of the Pi Zero: PROVISION_LAB_FULL=1 runs it")
	}
	lab.Need(t, lab.Raspi0)
	dir := t.TempDir()
	program, test := filepath.Join(dir, "provision"), filepath.Join(dir, "selftest")
	arm := func(name string, argv ...string) {
		cmd := exec.Command(name, argv...)
		cmd.Dir = "../../.."
		cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm", "GOARM=6", "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("cannot build: %v %s", err, out)
		}
	}
	arm("scripts/build", program)
	arm("go", "test", "-c", "-tags", "lab", "-trimpath", "-ldflags", "-s -w", "-o", test, "./scripts/lab/tunnels/selftest")
	e := gadget.RunZero(t, gadget.Guest{
		Script: "modprobe tun; mkdir -p /dev/net; [ -e /dev/net/tun ] || mknod /dev/net/tun c 10 200; export PROVISION_BINARY=/bin/provision; selftest -test.v -test.run '^TestMemory$'",
		Files:  map[string]string{"provision": program, "selftest": test},
	})
	t.Logf("the guest took %.1f s, %.1f s of CPU\n%s", e.Took.Seconds(), e.CPU.Seconds(), e.Said)
	if e.Status != "0" || !strings.Contains(e.Said, "--- PASS: TestMemory") {
		t.Errorf("the script ended with status %q", e.Status)
	}
}
