package life

import (
	"time"

	"github.com/provision-net/provision/gadget/led"
	"github.com/provision-net/provision/gadget/verdict"
)

// Decider is the state machine. It belongs to one goroutine.
type Decider struct {
	c       Config
	table   verdict.Table
	profile verdict.Profile
	former  verdict.Profile // before the last Switch

	state State
	since time.Time // of state
	away  time.Time // since when there is nobody; zero while there is
	ready bool      // the profile for the next plug was put there, or cannot be
	plug  *plug     // nil: unplugged
	plugs int       // seen by this Decider
	seen  bool      // the state was told
	// restore: the controller was away and is there again, so the gadget has to be put there too.
	restore bool

	links map[string]*link
	asked time.Time // when the counters were asked for last

	pending Verb  // a disruptive action that has not ended
	check   check // of the last action that unplugs
	noSoft  bool

	ladder  ladder
	moving  moving
	uplink  bool
	tunnel  bool
	leased  bool
	shown   led.State
	failure string // why the light says fault

	last, lastWhy string // action
	lastAt        time.Time

	now  time.Time
	next time.Time
	out  []Action
}

// check is the wait for the host after an action of ours.
type check struct {
	do    Verb // "" when there is none
	at    time.Time
	moved bool // the controller told a state since
}

type link struct {
	carrier bool
	known   bool // the counters are known
	rx, tx  uint64
}

// New returns a Decider. The first event should be the controller's state.
func New(c Config, t verdict.Table, now time.Time) *Decider {
	c.Times = c.Times.complete()
	d := &Decider{c: c, table: t, profile: c.Profile, since: now, away: now, now: now, noSoft: c.NoSoft, links: map[string]*link{}}
	d.ready = true // the one who started us chose the profile by the same table
	return d
}

// Table is what is remembered of hosts now.
func (d *Decider) Table() verdict.Table { return d.table }

// Next is when Wake has something to do, unless an event comes first; false: never.
func (d *Decider) Next() (time.Time, bool) { return d.next, !d.next.IsZero() }

// Wake decides because time has passed.
func (d *Decider) Wake(now time.Time) []Action { return d.Take(now, nil) }

// Take takes an event and says what is to be done.
func (d *Decider) Take(now time.Time, e Event) []Action {
	if now.After(d.now) { // it never goes back
		d.now = now
	}
	d.out, d.next = nil, time.Time{}
	d.note(e)
	d.decide()
	d.show()
	return d.out
}

func (d *Decider) note(e Event) {
	switch e := e.(type) {
	case UDC:
		d.noteState(e.State)
	case Carrier:
		d.noteCarrier(e)
	case Counts:
		d.noteCounts(e.Links)
	case Heard:
		d.noteHeard(e)
	case Leased:
		d.leased = e.Up
	case Logged:
		if Complaint(e.Line) {
			d.ladder.complaint = d.now
		}
	case Ways:
		d.uplink, d.tunnel = e.Uplink, e.Tunnel
	case Overlaps:
		d.noteOverlaps(e.List)
	case Done:
		d.noteDone(e)
	}
}

func (d *Decider) decide() {
	if d.pending != "" {
		return
	}
	if d.restore {
		d.restore = false
		d.act(Action{Do: Restore, Why: "the controller is there again"})
		return
	}
	if d.verify() {
		d.decidePlug()
	}
	if d.pending == "" {
		d.decideMove()
	}
}

// decidePlug decides what depends on who is plugged in.
func (d *Decider) decidePlug() {
	switch {
	case d.state == Absent:
		return
	case !d.state.host():
		d.decideAway()
	case d.plug != nil:
		d.decideWoken()
		d.decideWedge()
		d.decideAuto()
		d.decideSample()
	}
}

// verify waits for the host after an action of ours; false: still waiting, or something is done
// about it.
func (d *Decider) verify() bool {
	if d.check.do == "" {
		return true
	}
	back := d.check.moved && (d.state == Configured || d.state == Suspended)
	if !back && !d.due(d.check.at.Add(d.c.Times.Verify)) {
		return false
	}
	do := d.check.do
	d.endCheck()
	if do == Reconnect && !back && d.state != Addressed {
		d.noSoft = true
		d.step(Rebind, "the host did not come back after a soft reconnect: soft_connect does not work here and is not used again")
		return false
	}
	return true
}

func (d *Decider) endCheck() {
	d.check = check{}
	if d.plug != nil {
		d.plug.quiet = d.now
	}
	d.away = time.Time{}
	if !d.state.host() {
		d.away, d.ready = d.now, d.plug == nil // the host is gone, perhaps with the cable
	}
}

// due reports whether t has come; if not, Next is not later than t.
func (d *Decider) due(t time.Time) bool {
	if !d.now.Before(t) {
		return true
	}
	if d.next.IsZero() || t.Before(d.next) {
		d.next = t
	}
	return false
}

// act orders an action.
func (d *Decider) act(a Action) {
	d.out = append(d.out, a)
	if a.Do.Disruptive() {
		d.pending = a.Do
		d.last, d.lastWhy, d.lastAt = string(a.Do), a.Why, d.now
		if a.Do == Switch {
			d.last += " " + string(a.Profile)
		}
		if a.Do.unplugs() {
			d.check = check{do: a.Do, at: d.now}
		}
	}
}

// noteDone hears how a disruptive action ended.
func (d *Decider) noteDone(e Done) {
	if d.pending != e.Do {
		return
	}
	d.pending = ""
	if e.Do.unplugs() {
		d.check.at = d.now
	}
	switch {
	case e.Do == Readdress:
		d.movedAway(e.Err)
	case e.Do == Restore:
		if d.failure = ""; e.Err != nil {
			d.failure = "cannot put the gadget on its controller again: " + e.Err.Error()
			d.report(d.failure)
		}
	case e.Err != nil && e.Do == Reconnect:
		d.noSoft = true // and the rest is found by verify, from the state that it left
		d.report("soft_connect is not used again: " + e.Err.Error())
	case e.Err != nil:
		if e.Do == Switch { // it was gone back on
			d.profile = d.former
		}
		d.endCheck()
		d.failure = "cannot " + string(e.Do) + ": " + e.Err.Error()
		d.report(d.failure)
	case e.Do == Switch:
		d.failure = ""
		d.forgetCounters()
	default:
		d.forgetCounters()
	}
}

func (d *Decider) report(why string) { d.act(Action{Do: Report, Why: why}) }

// forgetCounters because a bind makes new devices, or not, depending on the kernel.
func (d *Decider) forgetCounters() {
	for _, l := range d.links {
		l.known = false
	}
}

// show keeps the light right.
func (d *Decider) show() {
	if !d.seen {
		return // nothing is known yet
	}
	s := led.NoHost
	switch {
	case d.failure != "" || d.state == Absent:
		s = led.Fault
	case !d.state.host() || d.state == Suspended:
	case !d.leased:
		s = led.Enumerated
	case d.tunnel:
		s = led.Tunnel
	case d.uplink:
		s = led.Uplink
	default:
		s = led.Leased
	}
	if d.check.do != "" && s == led.NoHost || s == d.shown {
		return // an unplug of our own making is not shown
	}
	d.shown = s
	d.act(Action{Do: Show, LED: s, Why: "the gadget's state is " + quote(d.state)})
}

func quote(s State) string {
	if s == Absent {
		return "no controller"
	}
	return string(s)
}
