package dns

import "sync/atomic"

// Outcome is how a question was dealt with, for counters and the query log.
type Outcome uint8

const (
	Dropped  Outcome = iota // no reply: a trace.Entry says why
	Refused                 // an error by policy or for a bad question: likewise
	Locally                 // from local data
	Cached                  // from the cache
	Stale                   // from the cache, though it had run out
	FailedBy                // SERVFAIL, as asking failed a moment ago
	Asked                   // waits for an upstream; counted again by one of the next when it is answered
	Resolved                // by an upstream
	Failed                  // no upstream had an answer
	outcomes
)

var outcomeNames = [outcomes]string{"dropped", "refused", "local", "cached", "stale", "failed-recently", "asked", "resolved", "failed"}

// String is a stable word.
func (o Outcome) String() string { return outcomeNames[o] }

type outcomeCounters [outcomes]atomic.Uint64
