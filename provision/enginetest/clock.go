package enginetest

import (
	"sync"
	"time"
)

// Clock jumps ahead instead of waiting. It may be used by several goroutines.
type Clock struct {
	mu   sync.Mutex
	boot string
	up   time.Duration
}

// NewClock returns a clock of a machine that has just booted.
func NewClock() *Clock { return &Clock{boot: "boot-1", up: time.Minute} }

// Now is far from any real time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Unix(0, 0).Add(c.up)
}

// Boot implements provision.Clock.
func (c *Clock) Boot() (string, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.boot, c.up
}

// After lets d pass at once.
func (c *Clock) After(d time.Duration) <-chan time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.up += d
	ch := make(chan time.Time, 1)
	ch <- time.Unix(0, 0).Add(c.up)
	return ch
}

// Reboot starts another run of the kernel.
func (c *Clock) Reboot() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.boot += "+"
	c.up = time.Second
}
