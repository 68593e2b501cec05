package watch

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Bounds of Once.
const (
	passes   = 4
	mostWake = 5 * time.Second
)

// Once reads everything, repairs what is to be repaired, and looks again until nothing is left,
// a few times at most: for timers. Commands are waited for. What could not be repaired is the
// error; the status tells all.
func (e *Engine) Once(ctx context.Context) (Status, error) {
	e.init()
	e.taken()
	ctx, cancel := context.WithCancel(ctx)
	defer func() {
		cancel()
		e.drain()
		e.save(true)
	}()
	e.recall()
	for range passes {
		before := e.acted()
		e.read.wholly = true
		if err := e.look(ctx); err != nil {
			return e.Status(), err
		}
		if err := e.await(ctx); err != nil {
			return e.Status(), err
		}
		if e.acted() == before && !e.wakes() {
			break
		}
	}
	var errs []error
	for _, j := range e.jobs {
		for key, a := range j.attempts {
			if a.failed > 0 || a.fought() {
				errs = append(errs, fmt.Errorf("%s: %s could not be repaired for good: %s", j.Name(), key, j.status.LastError))
			}
		}
	}
	return e.Status(), errors.Join(errs...)
}

func (e *Engine) acted() (n uint64) {
	for _, j := range e.jobs {
		n += j.status.Acted
	}
	return n
}

// wakes reports whether a job wants to look again soon.
func (e *Engine) wakes() bool {
	for _, j := range e.jobs {
		if w, ok := j.Job.(Waker); ok {
			if at := w.Wake(); !at.IsZero() && at.Sub(e.Now()) <= mostWake {
				return true
			}
		}
	}
	return false
}

// await waits for commands, and for reactions that wait for their devices to be quiet.
func (e *Engine) await(ctx context.Context) error {
	for {
		busy := false
		var wake time.Duration
		for _, j := range e.jobs {
			busy = busy || j.busy
			if w, ok := j.Job.(Waker); ok && !j.busy {
				if at := w.Wake(); !at.IsZero() {
					if d := at.Sub(e.Now()); d <= mostWake {
						wake = max(wake, d)
					}
				}
			}
		}
		if !busy && wake <= 0 {
			return nil
		}
		var timer <-chan time.Time
		if !busy {
			timer = time.After(wake)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r := <-e.results:
			e.ended(r)
		case <-timer:
		}
	}
}
