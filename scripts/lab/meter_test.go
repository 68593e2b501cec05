//go:build lab && linux

package lab

import (
	"testing"
	"time"
)

// A stall that the control stream shares is noise; one that goes on counts up to now; what ended before the mark does not count.
func TestLongest(t *testing.T) {
	begin := time.Now().Add(-10 * time.Second)
	at := func(ms ...int) []time.Time {
		var all []time.Time
		for _, m := range ms {
			all = append(all, begin.Add(time.Duration(m)*time.Millisecond))
		}
		return all
	}
	steady := func(from, to int) []int {
		var all []int
		for m := from; m <= to; m += 10 {
			all = append(all, m)
		}
		return all
	}
	end := int(time.Since(begin).Milliseconds())
	m := &Meter{interval: 10 * time.Millisecond, mark: begin.Add(2 * time.Second), streams: []*stream{
		{name: control, got: at(append(steady(0, 3000), steady(3200, end)...)...)},
		{name: OnLink4Stream, got: at(append(steady(0, 3000), steady(3210, end)...)...)},  // the host's own stall
		{name: OffLink4Stream, got: at(append(steady(0, 5000), steady(5300, end)...)...)}, // a stall of the network
		{name: OnLink6Stream, got: at(append(steady(0, 500), steady(1900, end)...)...)},   // over before the mark
		{name: OffLink6Stream, got: at(steady(0, 9000)...), dead: "reset by the machine"}, // never comes back
	}}
	all := m.Longest()
	for _, want := range []struct {
		stream        string
		real          time.Duration
		noisy, isDead bool
	}{
		{OnLink4Stream, 10 * time.Millisecond, true, false},
		{OffLink4Stream, 300 * time.Millisecond, false, false},
		{OnLink6Stream, 10 * time.Millisecond, false, false},
		{OffLink6Stream, time.Second, false, true},
	} {
		got := all[want.stream]
		if d := got.Real() - want.real; d.Abs() > 30*time.Millisecond || (got.Noise > 0) != want.noisy || (got.Dead != "") != want.isDead {
			t.Errorf("%s: %s, really %v; want %+v", want.stream, got, got.Real(), want)
		}
	}
}
