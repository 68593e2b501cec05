// Package clocktest is a clock that moves when it is told to.
package clocktest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// Fake is a clock.Waker under a test's control, safe for concurrent use.
type Fake struct {
	mu      sync.Mutex
	r       clock.Reading
	waits   []wait
	changed chan struct{} // closed and replaced when waits changes
}

type wait struct {
	at  clock.Instant
	due chan struct{}
}

// New returns a clock one hour after boot "boot-1", synchronised, at noon of 1 March 2026 UTC.
func New() *Fake {
	return &Fake{
		r: clock.Reading{
			Boot: clock.Instant(time.Hour), Wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Synced: true, BootID: "boot-1",
		},
		changed: make(chan struct{}),
	}
}

// Now implements clock.Clock.
func (f *Fake) Now() clock.Instant { return f.Read().Boot }

// Read implements clock.Clock.
func (f *Fake) Read() clock.Reading {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.r
}

// After implements clock.Waker.
func (f *Fake) After(at clock.Instant) (<-chan struct{}, func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w := wait{at, make(chan struct{})}
	f.waits = append(f.waits, w)
	f.fire()
	return w.due, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.waits = slices.DeleteFunc(f.waits, func(o wait) bool { return o.due == w.due })
		f.notify()
	}
}

// Advance lets d pass on both clocks and wakes who is due.
func (f *Fake) Advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.r.Boot, f.r.Wall = f.r.Boot.Add(d), f.r.Wall.Add(d)
	f.fire()
}

// SetWall steps the wall clock, as NTP or a person does, and says whether it is synchronised from now on.
func (f *Fake) SetWall(t time.Time, synced bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.r.Wall, f.r.Synced = t, synced
}

// Reboot begins another boot, ten seconds old, with the wall clock as given. Whoever still waits waits on in the new
// boot's time; a test of a reboot has no such waiters.
func (f *Fake) Reboot(id string, wall time.Time, synced bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.r = clock.Reading{Boot: clock.Instant(10 * time.Second), Wall: wall, Synced: synced, BootID: id}
}

// Next returns when the first waiter is due, and whether there is one.
func (f *Fake) Next() (clock.Instant, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := clock.Never
	for _, w := range f.waits {
		next = min(next, w.at)
	}
	return next, len(f.waits) > 0
}

// Waiters blocks until n channels of After are neither due nor stopped: what a test does before it calls Advance, so
// that the other goroutine is known to have gone to sleep.
func (f *Fake) Waiters(ctx context.Context, n int) error {
	for {
		f.mu.Lock()
		have, changed := len(f.waits), f.changed
		f.mu.Unlock()
		if have == n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *Fake) fire() {
	f.waits = slices.DeleteFunc(f.waits, func(w wait) bool {
		if w.at == clock.Never || w.at > f.r.Boot {
			return false
		}
		close(w.due)
		return true
	})
	f.notify()
}

func (f *Fake) notify() {
	close(f.changed)
	f.changed = make(chan struct{})
}
