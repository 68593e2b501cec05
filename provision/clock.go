package provision

import "time"

// Clock is what the engine knows of time. Tests replace it.
type Clock interface {
	// Now is the wall clock, only for people to read: on a machine without a
	// clock chip it jumps by years when NTP first answers.
	Now() time.Time
	// Boot identifies this run of the kernel and says how long it has been
	// running, suspend included. Deadlines that another process must honour are
	// kept in it.
	Boot() (id string, up time.Duration)
	// After fires once after d.
	After(d time.Duration) <-chan time.Time
}

// SystemClock returns the machine's clock.
//
//go:noinline
func SystemClock() Clock { return systemClock{start: time.Now()} }

type systemClock struct{ start time.Time }

func (systemClock) Now() time.Time                         { return time.Now() }
func (systemClock) After(d time.Duration) <-chan time.Time { return time.After(d) }
