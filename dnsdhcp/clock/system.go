package clock

import (
	"sync"
	"time"
)

// nap is how long at most a timer sleeps without looking at the clock: Go's timers stand still while the machine is
// suspended (CLOCK_MONOTONIC), Now does not. So a timer may be late by this much after a suspend, and only then.
const nap = time.Minute

// System returns the machine's own clock.
func System() Waker { return &system{boot: bootID()} }

type system struct{ boot string }

func (s *system) After(at Instant) (<-chan struct{}, func()) {
	w := &wait{clock: s, at: at, due: make(chan struct{})}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sleep()
	return w.due, w.stop
}

type wait struct {
	clock Clock
	at    Instant
	due   chan struct{}

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

func (w *wait) sleep() {
	switch left := w.at.Sub(w.clock.Now()); {
	case w.at == Never:
	case left <= 0:
		close(w.due)
	case w.timer == nil:
		w.timer = time.AfterFunc(min(left, nap), w.wake)
	default:
		w.timer.Reset(min(left, nap))
	}
}

func (w *wait) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.sleep()
	}
}

func (w *wait) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	if w.timer != nil {
		w.timer.Stop()
	}
}
