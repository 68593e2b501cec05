package life

import (
	"fmt"
	"slices"
	"time"
)

// moving is what changing the addresses remembers.
type moving struct {
	list  []Overlap
	since time.Time // of the overlap
	moved []time.Time
}

// maxMoves in a day. Who moves that often has a network that no choice of ours can please.
const maxMoves = 6

func (d *Decider) noteOverlaps(list []Overlap) {
	m := &d.moving
	if len(list) > 0 && len(m.list) == 0 {
		m.since = d.now
	}
	m.list = slices.Clone(list[:min(len(list), maxLinks)])
}

// decideMove asks for other addresses when an overlap lasts: a route that comes and goes while
// Wi-Fi roams moves nobody.
func (d *Decider) decideMove() {
	m := &d.moving
	if len(m.list) == 0 || !d.due(m.since.Add(d.c.Times.Overlap)) {
		return
	}
	m.moved = slices.DeleteFunc(m.moved, func(t time.Time) bool { return d.now.Sub(t) >= 24*time.Hour })
	if n := len(m.moved); n >= maxMoves {
		d.due(m.moved[0].Add(24 * time.Hour))
		return
	} else if n > 0 && !d.due(m.moved[n-1].Add(d.c.Times.Move<<(n-1))) {
		return
	}
	o := m.list[0]
	m.moved = append(m.moved, d.now)
	d.act(Action{Do: Readdress, Why: fmt.Sprintf("%v of the gadget overlaps with %v of %s since %v", o.Ours, o.Theirs, o.Device, d.now.Sub(m.since))})
}

func (d *Decider) movedAway(err error) {
	if err != nil {
		d.report("the addresses still overlap: " + err.Error())
	}
}
