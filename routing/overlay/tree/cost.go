// Package tree looks after the spanning tree of an overlay: what the wires of this node cost, by how long
// answers take, and since when the tree is as it is. And it says in plain words how the tree stands.
//
// A cost that follows each measurement would turn the tree over again and again, and frames stop each
// time. So times are smoothed as TCP does (RFC 6298 section 2), mapped to costs by steps that are far apart,
// and a step is left only when the time has been clearly beyond it for a minute, and at most every five
// minutes. Both ends of a wire decide for themselves: a spanning tree counts the cost of the port at which a
// bridge hears of the root (IEEE 802.1D-1998 section 8.6.2), and never needs that of the other end.
package tree

import "time"

// top is the last step. Step n is for round trips up to 2 to the power of n milliseconds, and the last
// for all above; so the first is up to 1 ms, and the last from 512 ms.
const top = 10

// perHop is what any wire costs beside its time: two short ones are worse than a long one of the same time.
const perHop = 20

// bound is the longest round trip of a step.
func bound(step int) time.Duration { return time.Millisecond << step }

// stepOf is the step of a round trip.
func stepOf(rtt time.Duration) int {
	for n := range top {
		if rtt <= bound(n) {
			return n
		}
	}
	return top
}

// costOf is what a wire of a step costs: 30 to 10260. Up to 8 ms it is 100, as a wire of which nothing is
// known.
func costOf(step int) uint16 { return perHop + 10<<step }

// RTT is the smoothed round trip time of a wire (RFC 6298 section 2).
type RTT struct {
	Smoothed time.Duration `json:"srtt_ns"`
	Varies   time.Duration `json:"rttvar_ns"`
	Samples  int           `json:"samples"` // counted up to enough
}

// enough samples make a time that counts.
const enough = 8

// add takes another round trip into account.
func (r RTT) add(rtt time.Duration) RTT {
	if r.Samples == 0 {
		return RTT{rtt, rtt / 2, 1}
	}
	off := r.Smoothed - rtt
	r.Varies += (max(off, -off) - r.Varies) / 4
	r.Smoothed += (rtt - r.Smoothed) / 8
	r.Samples = min(r.Samples+1, enough)
	return r
}

// beyond reports whether the time is clearly not one of the step any more: by a quarter of the step's
// bound, and by what it varies.
func (r RTT) beyond(step int) bool {
	high := step < top && r.Smoothed > bound(step)*5/4 && r.Smoothed-r.Varies > bound(step)
	low := step > 0 && r.Smoothed < bound(step-1)*3/4 && r.Smoothed+r.Varies < bound(step-1)
	return high || low
}
