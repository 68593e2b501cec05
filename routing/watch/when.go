package watch

import "time"

// due is when something has to be done next.
func (e *Engine) due(now time.Time) time.Time {
	var at time.Time
	earlier := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	earlier(e.read.due)
	if e.read.whole.IsZero() || e.read.wholly {
		earlier(now)
	} else {
		earlier(e.read.whole.Add(e.Whole))
	}
	for _, j := range e.jobs {
		earlier(e.wants(j))
	}
	if at.IsZero() {
		at = now.Add(e.Whole)
	}
	// Who has read more than is allowed rests; one that failed waits longer each time.
	rest := max(0, restFactor*-e.read.credit)
	if e.read.failed > 0 {
		rest = doubled(failWait, e.read.failed-1, 5*time.Second)
	}
	if t := e.read.at.Add(rest); at.Before(t) {
		at = t
	}
	if e.unsafe {
		if t := e.saved.Add(saveEvery); t.Before(at) && t.After(now) {
			at = t
		}
	}
	return at
}

// wants is when a job has to look without an event.
func (e *Engine) wants(j *running) time.Time {
	at := j.again
	earlier := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if every := j.Needs().Every; every > 0 {
		earlier(j.looked.Add(every))
	}
	if w, ok := j.Job.(Waker); ok && !j.busy {
		earlier(w.Wake())
	}
	if j.fresh {
		return time.Unix(1, 0)
	}
	return at
}
