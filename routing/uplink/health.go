package uplink

import "time"

// Health is what is known of an uplink in one family. The zero value was never judged and counts
// as up: nothing changes until something was seen to fail.
type Health struct {
	Down  bool      `json:"down,omitempty"`
	Good  int       `json:"good,omitempty"` // rounds in a row with an answer
	Lost  int       `json:"lost,omitempty"` // and without
	Since time.Time `json:"since,omitzero"` // of the present verdict
	Falls int       `json:"falls,omitempty"`
	// Ready is when it may be returned to: a fall holds it down for Hold, the next one soon after
	// for twice that, and so on.
	Ready time.Time `json:"ready,omitzero"`
}

// mostFalls bounds the doubling: 32 times Hold.
const mostFalls = 6

// Judge takes one round into account.
func (r Rules) Judge(h Health, answered bool, now time.Time) Health {
	if h.Since.IsZero() {
		h.Since = now
	}
	if answered {
		h.Good, h.Lost = min(h.Good+1, r.Recover), 0
	} else {
		h.Good, h.Lost = 0, min(h.Lost+1, r.Fail)
	}
	switch {
	case !h.Down && h.Lost >= r.Fail:
		h = r.fall(h, now)
	case h.Down && h.Good >= r.Recover:
		h.Down, h.Since = false, now
	}
	return h
}

// fall is also that of an uplink whose link or default route is gone.
func (r Rules) fall(h Health, now time.Time) Health {
	if h.Down {
		return h
	}
	if !h.Since.IsZero() && now.Sub(h.Since) > 2*r.hold(h.Falls) {
		h.Falls = 0 // it has been up long enough to be trusted as before
	}
	h.Falls = min(h.Falls+1, mostFalls)
	h.Down, h.Since, h.Good, h.Ready = true, now, 0, now.Add(r.hold(h.Falls))
	return h
}

func (r Rules) hold(falls int) time.Duration {
	d := r.Hold
	for range falls - 1 {
		d *= 2
	}
	return d
}
