package agent

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// sleepBoottime waits on CLOCK_BOOTTIME: a machine without a clock chip jumps in
// wall-clock time when it first hears NTP, and one that was suspended should count
// the time it slept.
func sleepBoottime(ctx context.Context, d time.Duration) error {
	end := boottime() + d
	for {
		left := end - boottime()
		if left <= 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(left, time.Second)):
		}
	}
}

func boottime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
