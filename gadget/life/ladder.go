package life

import (
	"fmt"
	"time"
)

// ladder is what reviving a link remembers.
type ladder struct {
	complaint time.Time   // of the log
	heard     time.Time   // a frame of the host
	steps     []time.Time // taken, of the last hour
	rung      int
	used      bool // up to its end, and told

	start   time.Time // of the window over which counters are compared
	rx, tx  uint64    // at its start
	counted bool
	agree   bool // over the whole window we sent and nothing came
}

// room reports whether n steps more may be taken in this hour.
func (l *ladder) room(now time.Time, n int) bool {
	keep := l.steps[:0]
	for _, t := range l.steps {
		if now.Sub(t) < time.Hour {
			keep = append(keep, t)
		}
	}
	l.steps = keep
	return len(l.steps)+n <= MaxSteps
}

// step takes one step that the host sees as an unplug.
func (d *Decider) step(v Verb, why string) {
	d.ladder.room(d.now, 0)
	d.ladder.steps = append(d.ladder.steps, d.now)
	d.ladder.start, d.ladder.counted, d.ladder.agree = time.Time{}, false, false
	d.act(Action{Do: v, Why: why})
}

// suspects reports whether the log complained lately, about a link that has carrier.
func (d *Decider) suspects() bool {
	return !d.ladder.complaint.IsZero() && d.now.Sub(d.ladder.complaint) < d.c.Times.Fresh && d.state == Configured && d.carrier() && !d.ladder.used
}

// minTX is how many frames of ours prove that the way to the host is open.
const minTX = 3

// countedWedge compares the counters with those at the start of the window.
func (d *Decider) countedWedge() {
	l := &d.ladder
	if !d.suspects() {
		l.counted, l.agree = false, false
		return
	}
	rx, tx := d.total()
	if !l.counted || rx != l.rx {
		l.start, l.rx, l.tx, l.counted, l.agree = d.now, rx, tx, true, false
		return
	}
	l.agree = d.now.Sub(l.start) >= d.c.Times.Window && tx >= l.tx+minTX
}

// decideWedge takes the next rung where everything agrees: configured, carrier, frames that leave
// and none that comes, and the driver's complaint.
func (d *Decider) decideWedge() {
	l := &d.ladder
	if l.rung > 0 && l.heard.After(d.lastStep()) && d.now.Sub(l.heard) > d.c.Times.Fresh {
		l.rung = 0
	}
	if d.pending != "" || !l.agree || !d.suspects() || d.plug == nil {
		return
	}
	why := fmt.Sprintf("the driver complained, %d frames left and none came for %v", d.sent(), d.now.Sub(l.start))
	d.climb(why)
}

func (d *Decider) sent() uint64 {
	_, tx := d.total()
	return tx - min(tx, d.ladder.tx)
}

func (d *Decider) lastStep() time.Time {
	if n := len(d.ladder.steps); n > 0 {
		return d.ladder.steps[n-1]
	}
	return time.Time{}
}

// climb takes the softest step that is left, unless it is too soon.
func (d *Decider) climb(why string) {
	l := &d.ladder
	if !d.due(d.since.Add(d.patience(d.c.Times.Steady))) {
		return // the host may still be booting
	}
	if n := len(l.steps); n > 0 && !d.due(l.steps[n-1].Add(d.c.Times.Backoff<<min(n-1, 5))) {
		return
	}
	rungs := d.rungs()
	need := 1
	if l.rung < len(rungs) && rungs[l.rung] == Reconnect {
		need = 2 // it may have to be mended
	}
	switch {
	case l.rung >= len(rungs):
		d.giveUp("every step was tried")
	case !l.room(d.now, need):
		d.giveUp(fmt.Sprintf("%d steps were taken within an hour", len(l.steps)))
	default:
		v := rungs[l.rung]
		l.rung++
		d.step(v, why)
	}
}

func (d *Decider) rungs() []Verb {
	// Reconnect keeps its place where it does not work, or the others would move down under a
	// ladder that is half climbed.
	rungs := []Verb{Reconnect, Rebind}
	if d.c.Driver {
		rungs = append(rungs, RebindDriver)
	}
	if d.noSoft && d.ladder.rung == 0 {
		d.ladder.rung = 1
	}
	return rungs
}

func (d *Decider) giveUp(why string) {
	d.ladder.used = true
	d.failure = "the link is dead, and cannot be revived: " + why
	d.report(d.failure)
}

// decideWoken looks whether frames still leave after the host has woken up: u_ether keeps its queue
// stopped for ever where the remote wakeup failed (raspberrypi/linux issue 6831).
func (d *Decider) decideWoken() {
	p := d.plug
	if d.pending != "" || p.woken.IsZero() || !p.counted || d.state != Configured {
		return
	}
	rx, tx := d.total()
	age := d.now.Sub(p.woken)
	switch {
	case tx > p.wokenTX || age > 8*d.c.Times.Woken:
		p.woken = time.Time{} // all is well, or nothing can be said
	case rx < p.wokenRX+minTX:
	case !d.due(p.woken.Add(d.c.Times.Woken)):
	case d.noSoft || !d.ladder.room(d.now, 2):
		if d.ladder.room(d.now, 1) {
			p.woken = time.Time{}
			d.step(Rebind, stuck(rx-p.wokenRX, age))
			return
		}
		p.woken = time.Time{}
		d.giveUp("no frame leaves since the host woke up")
	default:
		p.woken = time.Time{}
		d.step(Reconnect, stuck(rx-p.wokenRX, age))
	}
}

func stuck(rx uint64, age time.Duration) string {
	return fmt.Sprintf("since the host woke up %v ago it sent %d frames and none of ours left", age, rx)
}
