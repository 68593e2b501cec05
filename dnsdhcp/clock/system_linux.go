package clock

import (
	"crypto/rand"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func (s *system) Now() Instant {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("cannot read CLOCK_BOOTTIME: " + err.Error()) // there since Linux 2.6.39; a kernel without it cannot be served
	}
	return Instant(ts.Nano())
}

func (s *system) Read() Reading {
	return Reading{Boot: s.Now(), Wall: time.Now().Round(0), Synced: synced(), BootID: s.boot}
}

// synced asks the kernel, not a daemon: ntpd, chrony, timesyncd and a hypervisor's agent all end in this flag. A
// kernel that does not answer (a sandbox) counts as not synchronised, which only makes leases live longer.
func synced() bool {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	return err == nil && state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
}

// bootID without /proc is a new one for every process, which is the careful error: time is then taken to have stood
// still, or the wall clock's word is taken, and never the boot clock's of another boot.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if id := strings.TrimSpace(string(b)); err == nil && id != "" {
		return id
	}
	return rand.Text()
}
