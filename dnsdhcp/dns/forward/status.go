package forward

import (
	"slices"
	"time"
)

// Status is a look at the forwarder.
type Status struct {
	InFlight, Waiters     int
	Bytes, Peak, MaxBytes int    // of the budget: now, most ever, bound
	Refused               uint64 // for lack of room
	Upstreams             []UpstreamStatus
}

// UpstreamStatus is a look at one upstream. An answer that does not fit its question was dropped.
type UpstreamStatus struct {
	Upstream
	Groups  []string
	State   string        // healthy, unknown (not asked yet), dead, probing, looping
	Latency time.Duration // smoothed
	RetryIn time.Duration // of a dead one

	Sent, Answered, Failed, Silent, Hedged uint64
	WrongID, WrongName, WrongCase, Garbage uint64
	Truncated, TCP, Dialled, Plain, Errors uint64
}

// Status may be called at any time.
func (f *Forwarder) Status() Status {
	s := f.state.Load()
	now := f.asker.clock.Now()
	f.mu.Lock()
	st := Status{InFlight: len(f.flights), Waiters: f.waiters, Bytes: f.bytes, Peak: f.peak, MaxBytes: s.config.MaxBytes, Refused: f.refused}
	f.mu.Unlock()
	for _, u := range s.ups {
		at := u.standing(now)
		state := [...]string{"healthy", "probing", "dead", "looping"}[at.class]
		if at.class == healthy && at.rtt == 0 {
			state = "unknown"
		}
		c := &u.count
		us := UpstreamStatus{
			Upstream: u.Upstream, State: state, Latency: at.rtt,
			Sent: c.sent.Load(), Answered: c.answered.Load(), Failed: c.failed.Load(), Silent: c.silent.Load(), Hedged: c.hedged.Load(),
			WrongID: c.wrongID.Load(), WrongName: c.wrongName.Load(), WrongCase: c.wrongCase.Load(), Garbage: c.garbage.Load(),
			Truncated: c.truncated.Load(), TCP: c.tcp.Load(), Dialled: c.tcpDialled.Load(), Plain: c.plain.Load(), Errors: c.errors.Load(),
		}
		if at.class == dead {
			us.RetryIn = at.until.Sub(now)
		}
		for name, g := range s.groups {
			if slices.Contains(g.ups, u) {
				us.Groups = append(us.Groups, name)
			}
		}
		slices.Sort(us.Groups)
		st.Upstreams = append(st.Upstreams, us)
	}
	return st
}
