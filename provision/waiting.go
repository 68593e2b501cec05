package provision

import (
	"context"
	"time"
)

// Waiting is what a call waits for at present: for an action to end, for references to hold, or for what Text says.
type Waiting struct {
	Action Action        // its Kind is empty where it is none
	Refs   []Ref         // of a daemon, which brings them about in its own time
	Text   string        // in words: "reading lists"
	Limit  time.Duration // of all of this wait; 0 is unknown
}

// DefaultLockWait is how long somebody else may be at work.
const DefaultLockWait = 30 * time.Second

// LockWaiting is the wait for a lock that another run of this program has.
func LockWaiting(limit time.Duration) Waiting {
	return Waiting{Text: "waiting for another provision to end", Limit: limit}
}

type waitingKey struct{}

// WithWaiting returns a context whose calls tell what they wait for, each time that it may have changed. tell must not block, and is
// called from the goroutine that waits.
func WithWaiting(ctx context.Context, tell func(Waiting)) context.Context {
	return context.WithValue(ctx, waitingKey{}, tell)
}

// Tell tells whoever wants to know.
func (w Waiting) Tell(ctx context.Context) {
	if tell, ok := ctx.Value(waitingKey{}).(func(Waiting)); ok {
		tell(w)
	}
}
