// Package names keeps the endpoints that are given by name where their names lead: at the start, when
// the ways out change, and when hands were not shaken for longer than a live session goes without.
//
// An endpoint that is set takes the place of where the peer was heard last, so none is set while the
// peer answers: it may have roamed (https://www.wireguard.com/#built-in-roaming).
package names

import (
	"net/netip"
	"slices"
	"time"

	"github.com/provision-net/provision/provision/resource/wireguard"
)

// Stale is the age of a handshake from which on the session is taken for dead: a live one is renewed
// after 120 s (REKEY_AFTER_TIME) by the next packet, for which it tries 5 s (REKEY_TIMEOUT), twice with
// some patience (WireGuard paper, section 6.1).
const Stale = 135 * time.Second

// Pauses between two questions about a name: of a peer that is called and does not answer, of a tunnel
// in which nobody talks, and of a name that nobody knows.
const (
	firstPause   = 15 * time.Second
	callingPause = time.Minute
	idlePause    = 10 * time.Minute
	unknownPause = 2 * time.Minute
)

// Seen is what is remembered of a peer between two looks.
type Seen struct {
	Sent, Received uint64
	Tries          int       // questions since the last good handshake
	Next           time.Time // no question before

	allowed   netip.AddrPort // by a kill switch
	allowedAt time.Time
}

// Need is what a look says of a peer.
type Need struct {
	Ask bool // about its name, now
	// Calling: packets go out and none come back, so where they go to is wrong, or nobody is there.
	Calling bool
}

// Look decides whether the name has to be asked for. families are those (4, 6) that have a way out.
func Look(now time.Time, stale time.Duration, s *Seen, p wireguard.Peer, families []int) Need {
	n := Need{Calling: p.Sent > s.Sent && p.Received == s.Received}
	s.Sent, s.Received = p.Sent, p.Received
	fresh := !p.LastHandshake.IsZero() && now.Sub(p.LastHandshake) < stale
	lost := p.Endpoint.IsValid() && len(families) > 0 && !slices.Contains(families, familyOf(p.Endpoint.Addr()))
	if p.Endpoint.IsValid() && fresh && !lost {
		s.Tries, s.Next = 0, time.Time{}
		return n
	}
	n.Calling = n.Calling || lost
	n.Ask = len(families) > 0 && !now.Before(s.Next)
	return n
}

// Asked notes a question, and what came of it.
func (s *Seen) Asked(now time.Time, known, calling bool) {
	most := idlePause
	switch {
	case !known:
		most = unknownPause
	case calling:
		most = callingPause
	}
	s.Next = now.Add(min(firstPause<<min(s.Tries, 6), most))
	s.Tries++
}

// Choose says where the peer is called now, out of the addresses of its name; ok is false where it stays
// as it is. One that does not answer is called at the next address, which may be of the other family.
func Choose(have netip.AddrPort, list []netip.Addr, port uint16, families []int, calling bool) (at netip.AddrPort, ok bool) {
	var usable []netip.Addr
	for _, a := range list {
		if slices.Contains(families, familyOf(a)) {
			usable = append(usable, a.Unmap())
		}
	}
	if len(usable) == 0 {
		return at, false
	}
	i := slices.Index(usable, have.Addr().Unmap().WithZone(""))
	switch {
	case i < 0 || have.Port() != port:
		i = max(i, 0)
	case calling && len(usable) > 1:
		i = (i + 1) % len(usable)
	default:
		return have, false
	}
	return netip.AddrPortFrom(usable[i], port), true
}

func familyOf(a netip.Addr) int {
	if a.Unmap().Is4() {
		return 4
	}
	return 6
}
