package ra

import (
	"net/netip"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// ICMPv6 types (RFC 4861 section 4).
const (
	TypeSolicitation  = 133
	TypeAdvertisement = 134
)

// Why a message was answered as it was, or not: Entry.Reason of package trace.
const (
	ReasonUnicast     = "unicast"        // the asker gets an answer of its own
	ReasonNoSource    = "no-source"      // it has no address yet, all nodes are told
	ReasonOffLink     = "source-offlink" // its address is not one of the link, all nodes are told
	ReasonPending     = "pending"        // an answer to it is on its way already
	ReasonFlood       = "flood"          // too many ask at once, one answer to all nodes will do
	ReasonNotReady    = "not-ready"      // no usable link-local address yet, or nothing configured
	ReasonOwn         = "own"            // we sent it ourselves
	ReasonWrongLink   = "wrong-link"     // came in by another interface
	ReasonType        = "icmp-type"      // not router discovery
	ReasonHopLimit    = "hop-limit"      // not 255: came through a router
	ReasonCode        = "icmp-code"      // not 0
	ReasonShort       = "short"          // shorter than its header
	ReasonOptionZero  = "option-zero"    // an option of length 0
	ReasonOptionShort = "option-short"   // an option longer than the message
	ReasonSource      = "source"         // source address that is not allowed
	ReasonSourceLLA   = "source-lla"     // link-layer address without an address
)

// Solicitation checks a message against RFC 4861 section 6.1.1. It returns the asker's address, which may be ::, and
// its link-layer address if it told that, or why the message must be discarded.
func Solicitation(p Packet) (from netip.Addr, mac []byte, reason string) {
	from = p.Src
	switch {
	case len(p.Data) < 8:
		return from, nil, ReasonShort
	case p.Data[0] != TypeSolicitation:
		return from, nil, ReasonType
	case p.Data[1] != 0:
		return from, nil, ReasonCode
	case p.HopLimit != 255:
		return from, nil, ReasonHopLimit
	case !from.Is6() || from.Is4In6() || from.IsMulticast() || from.IsLoopback():
		return from, nil, ReasonSource
	}
	reason = eachOption(p.Data[8:], func(kind uint8, body []byte) {
		if kind == optSourceLLA && mac == nil {
			mac = body
		}
	})
	if reason == "" && mac != nil && from.IsUnspecified() {
		reason = ReasonSourceLLA
	}
	return from, mac, reason
}

// eachOption calls f with type and content of each option. What it returns says that the whole message is void (RFC
// 4861 section 6.1.1: all options have a length that is greater than zero); f may have been called before.
func eachOption(b []byte, f func(kind uint8, body []byte)) (reason string) {
	for len(b) > 0 {
		if len(b) < 8 {
			return ReasonOptionShort
		}
		n := int(b[1]) * 8
		switch {
		case n == 0:
			return ReasonOptionZero
		case n > len(b):
			return ReasonOptionShort
		}
		f(b[0], b[2:n])
		b = b[n:]
	}
	return ""
}

const (
	maxDelay = 500 * time.Millisecond // MAX_RA_DELAY_TIME, RFC 4861 section 10
	// askerEvery is how often one asker is answered alone; what comes in between is answered by the next one.
	askerEvery = time.Second
	// Within each window so many get an answer of their own, the others one together.
	askerWindow  = 3 * time.Second
	maxInWindow  = 32
	maxAskers    = 64
	multicastGap = 3 * time.Second // MIN_DELAY_BETWEEN_RAS
)

// askers are those who get unicast answers (RFC 7772 section 5.1).
type askers struct {
	m           map[netip.Addr]*asker
	windowStart clock.Instant
	inWindow    int
}

type asker struct {
	due     clock.Instant
	pending bool
	last    clock.Instant // answered; meaningful if was
	was     bool
}

// add schedules an answer at due or later. It says why not, or ReasonUnicast.
func (a *askers) add(now, due clock.Instant, from netip.Addr) string {
	if s := a.m[from]; s != nil && s.pending {
		return ReasonPending
	}
	if now.Sub(a.windowStart) >= askerWindow {
		a.windowStart, a.inWindow = now, 0
		for k, s := range a.m {
			if !s.pending && now.Sub(s.last) >= askerEvery {
				delete(a.m, k)
			}
		}
	}
	s := a.m[from]
	if a.inWindow >= maxInWindow || s == nil && len(a.m) >= maxAskers {
		return ReasonFlood
	}
	a.inWindow++
	if s == nil {
		s = &asker{}
		a.m[from] = s
	}
	s.pending, s.due = true, due
	if s.was {
		s.due = max(due, s.last.Add(askerEvery))
	}
	return ReasonUnicast
}

// take returns who is to be answered now.
func (a *askers) take(now clock.Instant) []netip.Addr {
	var out []netip.Addr
	for k, s := range a.m {
		if s.pending && s.due <= now {
			s.pending, s.was, s.last = false, true, now
			out = append(out, k)
		}
	}
	return out
}

func (a *askers) next() clock.Instant {
	n := forever
	for _, s := range a.m {
		if s.pending {
			n = min(n, s.due)
		}
	}
	return n
}

// clear forgets what is pending, as the link is no more.
func (a *askers) clear() {
	clear(a.m)
	a.inWindow = 0
}
