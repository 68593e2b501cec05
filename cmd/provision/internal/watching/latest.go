package watching

import (
	"context"
	"sync"
)

// latest hands over the newest of something that runs, and has only that one run. The zero value is
// ready for use.
type latest[T any] struct {
	once sync.Once
	next chan T
}

func (l *latest[T]) init() { l.once.Do(func() { l.next = make(chan T, 1) }) }

// put takes the place of what was put before.
func (l *latest[T]) put(v T) {
	l.init()
	select {
	case <-l.next: // not taken yet: this is newer
	default:
	}
	l.next <- v
}

// follow runs each, and ends it when the next one comes or ctx ends.
func (l *latest[T]) follow(ctx context.Context, run func(context.Context, T)) {
	l.init()
	stop := func() {}
	for {
		select {
		case <-ctx.Done():
			stop()
			return
		case v := <-l.next:
			stop()
			one, cancel := context.WithCancel(ctx)
			done := make(chan struct{})
			go func() {
				defer close(done)
				run(one, v)
			}()
			stop = func() { cancel(); <-done }
		}
	}
}
