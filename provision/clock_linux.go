package provision

import (
	"os"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// clockBoottime is CLOCK_BOOTTIME, clock_gettime(2): monotonic, counts suspend.
const clockBoottime = 7

// Boot reads /proc/sys/kernel/random/boot_id (random(4)) and CLOCK_BOOTTIME. Both
// are the kernel's, so a container that restarts keeps them.
func (c systemClock) Boot() (string, time.Duration) {
	var ts syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockBoottime, uintptr(unsafe.Pointer(&ts)), 0); errno != 0 {
		return c.processBoot()
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return c.processBoot()
	}
	return strings.TrimSpace(string(id)), time.Duration(ts.Nano())
}
