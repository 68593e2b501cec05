// Package clock gives the two clocks that a server without a battery-backed clock needs: one that only ever goes
// forward at one second a second, also through suspend (CLOCK_BOOTTIME, clock_gettime(2)), and the wall clock, which
// on such a machine jumps by years when NTP first answers.
package clock

import "time"

// Instant is a point on the boot clock: the time since the machine was started. It means nothing in another boot.
type Instant time.Duration

// Add returns the instant d later.
func (i Instant) Add(d time.Duration) Instant { return i + Instant(d) }

// Sub returns how much later i is than o.
func (i Instant) Sub(o Instant) time.Duration { return time.Duration(i - o) }

// Reading is one look at all clocks.
type Reading struct {
	Boot   Instant
	Wall   time.Time
	Synced bool   // the kernel holds the wall clock to be synchronised (adjtimex(2): not STA_UNSYNC)
	BootID string // /proc/sys/kernel/random/boot_id
}

// Clock is where time comes from; tests bring their own.
type Clock interface {
	Now() Instant  // cheap: for every packet
	Read() Reading // for what is written down
}

// Waker is a clock that also wakes whoever waits.
type Waker interface {
	Clock
	// After returns a channel that is closed once Now has come to at, at once if it has already. Stop gives the
	// timer back early; it may be called any number of times, and must be once if nobody waits any more.
	After(at Instant) (due <-chan struct{}, stop func())
}

// Never is an instant that does not come: After(Never) is never due.
const Never = Instant(1<<63 - 1)
