package agent

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/provision-net/provision/provision/host/wallclock"
)

// clock is the machine's wall clock, which is never earlier than this program.
func clock() *wallclock.Clock {
	c := &wallclock.Clock{Files: wallclock.Machine{}, Kernel: wallclock.Machine{}}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.time" {
				c.Built, _ = time.Parse(time.RFC3339, s.Value) // the zero time where it cannot be read
			}
		}
	}
	return c
}

// restoreClock sets a clock that was reset forward to what was saved, never back.
func (a *Agent) restoreClock() error {
	r, err := clock().Restore()
	if err != nil {
		return fmt.Errorf("cannot set the clock forward to what was saved: %w", err)
	}
	a.Log.Info("clock", "restored", r)
	return nil
}

// keepClock saves the clock from time to time, until ctx ends.
func (a *Agent) keepClock(ctx context.Context) error {
	tick := time.NewTicker(wallclock.Every)
	defer tick.Stop()
	clock().Keep(ctx, tick.C, func(err error) { a.Log.Warn("the clock cannot be saved", "error", err) })
	return nil
}
