// Package subnet chooses the small IPv4 network of a link: one that is this unit's own, that two
// units seldom share, and that is clear of every other network that this machine knows.
//
// A host may hang on the same corporate 10.0.0.0/8 as everybody; nothing here can know that. A
// small network does little harm then: the host's route to it is longer than any other and takes
// seven addresses from the rest. 169.254.0.0/16 is never used, because link-local addresses cannot
// be forwarded (RFC 3927 section 2.7).
package subnet

import (
	"net/netip"
)

// Bits is the length of a network: this side and five clients.
const Bits = 29

// Tries is how many networks are drawn before Choose gives up.
const Tries = 64

// Candidate is the network that the number draws. Eight of nine are in 10.0.0.0/8, where there is
// most room; the rest is in 172.16.0.0/12 for who has a route to all of 10.0.0.0/8.
func Candidate(n uint32) netip.Prefix {
	var a [4]byte
	if n%9 == 8 {
		n /= 9
		a = [4]byte{172, 16 + byte(n>>16&15), byte(n >> 8), byte(n)}
	} else {
		n /= 9
		a = [4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}
	}
	return netip.PrefixFrom(netip.AddrFrom4(a), Bits).Masked()
}

// Own is this side's address in a network: the first one, with the length.
func Own(p netip.Prefix) netip.Prefix { return netip.PrefixFrom(p.Addr().Next(), p.Bits()) }

// Taken are networks that a link's own must stay clear of.
type Taken []netip.Prefix

// Conflict is the network that p overlaps. What is shorter than a /8 is the way to everywhere, in
// pieces: two halves of the internet are how tunnels take a default route without touching it.
func (t Taken) Conflict(p netip.Prefix) (netip.Prefix, bool) {
	for _, o := range t {
		if o.Addr().Is4() == p.Addr().Is4() && o.Bits() >= shortest(o) && o.Overlaps(p) {
			return o, true
		}
	}
	return netip.Prefix{}, false
}

func shortest(p netip.Prefix) int {
	if p.Addr().Is4() {
		return 8
	}
	return 16
}

// wide is the shortest network that still counts when nothing else is free.
const wide = 17

// Choose is the network of a link. draw gives the number of each attempt. It keeps what the link
// has now if that is one of its own and clear, so that a conflict that has gone moves nobody
// again. When everything is covered by wide routes (a tunnel that takes all private networks),
// they are passed over, and crowded is one of them.
func Choose(draw func(n int) uint32, present []netip.Prefix, taken Taken) (chosen netip.Prefix, crowded netip.Prefix, ok bool) {
	var all [Tries]netip.Prefix
	for n := range all {
		all[n] = Candidate(draw(n))
	}
	clear := func(p netip.Prefix, t Taken) bool {
		_, hit := t.Conflict(p)
		return !hit
	}
	for _, have := range present {
		for _, p := range all {
			if have == Own(p) && clear(p, taken) {
				return p, crowded, true
			}
		}
	}
	for _, p := range all {
		if clear(p, taken) {
			return p, crowded, true
		}
	}
	var narrow Taken
	for _, t := range taken {
		if t.Bits() >= wide {
			narrow = append(narrow, t)
		}
	}
	for _, p := range all {
		if clear(p, narrow) {
			crowded, _ = taken.Conflict(p)
			return p, crowded, true
		}
	}
	return netip.Prefix{}, crowded, false
}
