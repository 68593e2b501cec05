//go:build lab && linux

package lab_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// A virtual machine has udev's names for its two NICs, leases and routers on both; a reboot keeps its disk, a power cut loses what
// was not synced.
func TestVM(t *testing.T) {
	lab.Need(t, lab.Tier3)
	v := lab.BootVM(t, lab.Root(t, "bookworm-netplan"), lab.VMOpts{Overlay: lab.Overlay{"/etc/lab.conf": {Content: "kept\n", Mode: 0o640}}})
	t.Logf("boot took %v", v.BootTime.Round(100*time.Millisecond))
	routed := func() {
		t.Helper()
		lab.Await(t, time.Minute, func() error {
			four, six := v.MustRun(t, "ip", "-4", "route", "show", "default"), v.MustRun(t, "ip", "-6", "route", "show", "default")
			for _, n := range lab.VMNICs {
				if !strings.Contains(four, "dev "+n.Name) || !strings.Contains(six, "dev "+n.Name) {
					return errNotYet
				}
			}
			return nil
		})
	}
	routed()
	t.Log(v.MustRun(t, "ip", "-4", "route"))
	if got := v.MustRun(t, "stat", "-c", "%a", "/etc/lab.conf"); got != "640\n" {
		t.Errorf("overlay file has mode %q", got)
	}
	if out := v.MustRun(t, "systemctl", "is-system-running", "--wait"); out != "running\n" {
		t.Errorf("the machine is %s\n%s", out, v.MustRun(t, "systemctl", "--failed"))
	}
	out, msg, exit := v.Run(context.Background(), "sh", "-c", "echo \"it's out\"; echo err >&2; exit 9")
	if out != "it's out\n" || msg != "err\n" || exit != 9 {
		t.Errorf("got %q, %q, %d", out, msg, exit)
	}
	boot := v.MustRun(t, "cat", "/proc/sys/kernel/random/boot_id")
	v.MustRun(t, "sh", "-c", "echo x > /etc/written")
	etc := v.Digest(t, "/etc")

	v.Reboot(t)
	t.Logf("reboot took %v", v.BootTime.Round(100*time.Millisecond))
	if v.MustRun(t, "cat", "/proc/sys/kernel/random/boot_id") == boot {
		t.Fatal("the machine has not been restarted")
	}
	if v.Digest(t, "/etc") != etc {
		t.Error("/etc has changed over the reboot")
	}
	routed()

	v.MustRun(t, "sh", "-c", "echo durable > /root/durable; sync; echo lost > /root/lost")
	v.PowerCut(t)
	if got := v.MustRun(t, "sh", "-c", "cat /root/durable /root/lost 2>/dev/null || true"); got != "durable\n" {
		t.Errorf("after a power cut there is %q", got)
	}
}
