package guard

import (
	"fmt"
	"net/netip"
	"time"
)

// Limits. A machine must be back 5 s after it was lost; going back takes up to 1.5 s.
const (
	tcpLimit  = 3 * time.Second         // unacknowledged data without progress
	hopLimit  = 2500 * time.Millisecond // a next hop that answered before and is silent
	probeGap  = 250 * time.Millisecond
	minProbes = 6 // unanswered: never judge by the clock alone, nobody may have asked
)

// flow is what TCP_INFO says (struct tcp_info, linux/tcp.h).
type flow struct {
	Unacked     uint32 // segments in flight
	Retransmits uint8  // of the oldest one, without an answer
	Acked       uint64 // bytes that the peer has acknowledged
	Received    uint64 // bytes received
}

// path is the way that packets of the session take now.
type path struct {
	Index   int
	Link    string
	NextHop netip.Addr
	Broken  string // why there is none: no route, no address
}

// hopState is what a next hop has answered.
type hopState struct {
	Probeable  bool // Ethernet, so ARP or ND can be asked
	Answered   bool // at least once
	Silent     time.Duration
	Unanswered int // probes since the last answer
}

// sample is one look at a session.
type sample struct {
	Now    time.Time
	Flow   *flow // nil: the kernel does not say
	Closed bool  // the socket was there and is not any more
	Path   path
	Hop    hopState
}

// track is what is remembered of a session between looks.
type track struct {
	name string

	began   bool
	dead    bool // was already stuck when the watch began, and has not moved since
	last    flow
	alive   time.Time // of the last progress of TCP
	waiting time.Time // since when data is unacknowledged without progress; zero: none
	broken  time.Time // since when there is no path; zero: there is one
	first   path
	changed time.Time // when the path last changed; zero: never
	now     path
}

// judge takes a look and returns why the session is lost, empty while it is not. It
// prefers what TCP says of the whole way; an idle session says nothing, then its
// next hop decides.
func (t *track) judge(s sample) string {
	if s.Closed {
		return ""
	}
	if !t.began {
		t.began = true
		t.first, t.now = s.Path, s.Path
		t.dead = s.Path.Broken != "" || s.Flow != nil && s.Flow.Unacked > 0 && s.Flow.Retransmits > 0
		if s.Flow != nil {
			t.last = *s.Flow
		}
	}
	if f := s.Flow; f != nil {
		moved := f.Acked != t.last.Acked || f.Received != t.last.Received
		if moved {
			t.alive = s.Now
			t.dead = false
		}
		switch {
		case f.Unacked == 0:
			t.waiting = time.Time{}
		case moved || t.waiting.IsZero():
			t.waiting = s.Now
		}
		t.last = *f
	}
	switch {
	case s.Path.Broken == "":
		t.broken = time.Time{}
		if s.Path.Index != t.now.Index || s.Path.NextHop != t.now.NextHop {
			t.changed = s.Now
		}
		t.now = s.Path
	case t.broken.IsZero():
		t.broken = s.Now
	}
	if t.dead {
		return "" // not our doing
	}
	if d := since(s.Now, t.waiting); d >= tcpLimit {
		return fmt.Sprintf("%s: TCP has had %d unacknowledged segments for %.1f s (%d retransmissions)", t.name, s.Flow.Unacked, d.Seconds(), s.Flow.Retransmits)
	}
	if !t.alive.IsZero() && since(s.Now, t.alive) < time.Second {
		return "" // it flows, whatever the neighbour says
	}
	if d := since(s.Now, t.broken); d >= hopLimit {
		return fmt.Sprintf("%s: %s for %.1f s", t.name, s.Path.Broken, d.Seconds())
	}
	h := s.Hop
	if !h.Probeable || s.Path.Broken != "" || h.Unanswered < minProbes {
		return ""
	}
	// A next hop that never answered cannot stop answering; one that the change has
	// chosen must answer.
	silent := h.Silent
	if !h.Answered {
		if t.changed.IsZero() {
			return ""
		}
		silent = since(s.Now, t.changed)
	}
	if silent >= hopLimit {
		return fmt.Sprintf("%s: the next hop %v on %s has not answered %s for %.1f s (%s)", t.name, s.Path.NextHop, s.Path.Link,
			protocol(s.Path.NextHop), silent.Seconds(), t.tcpText(s))
	}
	return ""
}

func (t *track) tcpText(s sample) string {
	switch {
	case s.Flow == nil:
		return "the kernel does not show the TCP state"
	case s.Flow.Unacked > 0:
		return fmt.Sprintf("TCP: %d unacknowledged segments", s.Flow.Unacked)
	}
	return "the session is idle, so TCP does not tell"
}

// evidence says what speaks for a session that is not lost.
func (t *track) evidence(s sample) string {
	switch {
	case s.Closed:
		return t.name + ": closed by itself"
	case t.dead:
		return t.name + ": was dead before, not watched"
	case !t.alive.IsZero() && since(s.Now, t.alive) < hopLimit:
		return t.name + ": alive, TCP makes progress"
	case s.Hop.Probeable && s.Hop.Answered:
		return fmt.Sprintf("%s: idle, its next hop %v on %s answers %s", t.name, s.Path.NextHop, s.Path.Link, protocol(s.Path.NextHop))
	}
	return t.name + ": idle, and its next hop cannot be asked: only its route and address are watched"
}

func protocol(a netip.Addr) string {
	if a.Is4() {
		return "ARP"
	}
	return "ND"
}

// since is zero for a time that has not been set.
func since(now, then time.Time) time.Duration {
	if then.IsZero() {
		return 0
	}
	return now.Sub(then)
}
