package watch

import "time"

// Repairs that do not last, and repairs that fail, are repeated more and more slowly.
const (
	// quick is how many repairs of one thing are made at once: a link that flaps a few times is
	// nobody's fight.
	quick     = 3
	firstWait = time.Second
	mostWait  = 5 * time.Minute
	// What is urgent, a firewall or a kill switch, must not stay open: a repair a second is
	// cheap, and a hole of minutes is not.
	urgentQuick = 10
	urgentFirst = 100 * time.Millisecond
	urgentMost  = time.Second
	// calm is how long a repair has to last until it counts as the first again.
	calm = time.Minute
	// A repair that failed is tried again soon: the kernel may still be busy with the device.
	failWait     = 50 * time.Millisecond
	mostFailWait = time.Minute
)

// attempt is what is known about the repairs of one thing.
type attempt struct {
	acts   int // repairs that did not last
	failed int // failures in a row
	first  time.Time
	last   time.Time
	wait   time.Duration
	urgent bool
	who    string    // probably did it
	by     string    // named while it waited
	told   time.Time // when a fight was last logged
}

// next is when it may be tried again.
func (a *attempt) next() time.Time { return a.last.Add(a.wait) }

// settled reports whether the last repair has lasted long enough to forget the ones before.
func (a *attempt) settled(now time.Time) bool { return now.Sub(a.last) > max(calm, 2*a.wait) }

// fought reports whether somebody undoes what is repaired.
func (a *attempt) fought() bool { return a.acts > quick }

// loud reports whether a fight is to be logged now: less and less often, but at least once a
// minute.
func (a *attempt) loud(now time.Time) bool {
	if a.acts&(a.acts-1) != 0 && now.Sub(a.told) < noteAgain {
		return false
	}
	a.told = now
	return true
}

// acted notes a repair, or a failed one. An excused one has its reason in a device that went
// down and came back: that is nobody's fight.
func (a *attempt) acted(now time.Time, failed, excused bool) {
	if a.last.IsZero() || a.settled(now) {
		*a = attempt{first: now, urgent: a.urgent}
	}
	if excused && !failed {
		a.last, a.wait, a.failed = now, 0, 0
		return
	}
	a.last, a.wait = now, 0
	if failed {
		a.failed++
		a.wait = doubled(failWait, a.failed-1, mostFailWait)
		if a.urgent {
			a.wait = min(a.wait, urgentMost)
		}
		return
	}
	a.failed = 0
	a.acts++
	switch {
	case a.urgent && a.acts >= urgentQuick:
		a.wait = doubled(urgentFirst, a.acts-urgentQuick, urgentMost)
	case !a.urgent && a.acts >= quick:
		a.wait = doubled(firstWait, a.acts-quick, mostWait)
	}
}

// doubled is d doubled n times, at most most.
func doubled(d time.Duration, n int, most time.Duration) time.Duration {
	for range n {
		if d *= 2; d >= most {
			return most
		}
	}
	return d
}
