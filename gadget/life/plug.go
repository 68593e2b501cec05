package life

import (
	"time"

	"github.com/provision-net/provision/gadget/verdict"
)

// plug is one host's stay, from its first enumeration until nobody is there.
type plug struct {
	n     int
	began time.Time
	// quiet is since when nothing has happened on the bus: waiting times count from it.
	quiet     time.Time
	resets    int // of the bus after the device was addressed: the host boots, or hands over
	addressed bool
	spoke     bool
	spokeAt   time.Time
	host      verdict.Host
	label     string
	recorded  verdict.Profile // the verdict of this plug was noted for it
	silent    bool            // modern was tried in this plug, and nobody spoke
	switched  bool
	nudged    bool
	told      bool // that nothing more can be tried

	woken   time.Time // zero: not, or it was looked at
	counted bool      // since then
	wokenRX uint64    // at the first count since then
	wokenTX uint64
}

// noteState hears of the controller.
func (d *Decider) noteState(s State) {
	was := d.state
	d.check.moved = true
	if s == was {
		return
	}
	slept := d.now.Sub(d.since)
	if was == Absent && d.seen {
		d.restore = true
	}
	d.seen = true
	d.state, d.since = s, d.now
	ours := d.pending.unplugs() || d.check.do != ""
	if !s.host() {
		if !ours && d.away.IsZero() {
			d.away, d.ready = d.now, false
		}
		return
	}
	if !ours {
		d.away = time.Time{}
	}
	switch {
	case d.plug == nil:
		d.begin()
	case was == Suspended && s != Configured && slept >= d.c.Times.Settle && !ours:
		d.begin() // no VBUS sense: so a pulled cable and another host look
	}
	p := d.plug
	p.quiet = d.now
	switch {
	case s == Default && p.addressed && !ours:
		p.resets++
	case s == Addressed, s == Configured:
		p.addressed = true
	}
	if was == Suspended && s == Configured && p.spoke {
		p.woken, p.counted = d.now, false
		d.ask("the bus was resumed")
	}
	if s == Suspended {
		p.woken = time.Time{}
	}
}

// begin begins a plug.
func (d *Decider) begin() {
	d.plugs++
	d.plug = &plug{n: d.plugs, began: d.now, quiet: d.now}
	d.failure, d.ladder.used, d.ladder.rung = "", false, 0
	if d.c.Auto {
		d.table = d.table.Plugged(d.profile)
		d.act(Action{Do: Save, Why: "a host was plugged in"})
	}
	d.ask("a host was plugged in")
}

// decideAway ends a plug, and puts the profile there that the next one begins with.
func (d *Decider) decideAway() {
	if d.away.IsZero() {
		d.away = d.now
	}
	if d.plug == nil && d.ready || !d.due(d.away.Add(d.c.Times.Settle)) {
		return
	}
	d.plug, d.leased = nil, false
	if d.ready {
		return
	}
	d.ready = true
	if !d.c.Auto {
		return
	}
	if want, why := d.table.Start(d.c.Classic); want != d.profile {
		d.change(want, "nobody is plugged in, and the next plug begins with "+string(want)+": "+why)
	}
}

func (d *Decider) change(p verdict.Profile, why string) {
	d.former, d.profile = d.profile, p
	d.act(Action{Do: Switch, Profile: p, Why: why})
}

func (d *Decider) noteCarrier(e Carrier) {
	l := d.link(e.Link)
	if l.carrier == e.Up {
		return
	}
	l.carrier = e.Up
	if d.plug != nil {
		d.plug.quiet = d.now
	}
	if !e.Up {
		return
	}
	d.check.moved = true
	// A controller whose state says `configured` over an unplug, as that of dummy_hcd does, tells
	// the return of the host by this alone.
	if d.plug != nil && !d.plug.spoke {
		d.ask("link " + e.Link + " has carrier")
	}
}

// maxLinks bounds what events can make this remember.
const maxLinks = 16

func (d *Decider) link(name string) *link {
	l := d.links[name]
	if l == nil {
		l = &link{}
		if len(d.links) < maxLinks {
			d.links[name] = l
		}
	}
	return l
}

func (d *Decider) carrier() bool {
	for _, l := range d.links {
		if l.carrier {
			return true
		}
	}
	return false
}

// total of the packets as they were counted last.
func (d *Decider) total() (rx, tx uint64) {
	for _, l := range d.links {
		if l.known {
			rx, tx = rx+l.rx, tx+l.tx
		}
	}
	return rx, tx
}

// noteCounts finds that a host speaks, and what the ladder needs.
func (d *Decider) noteCounts(list []Count) {
	grown := false
	for _, n := range list {
		l := d.link(n.Link)
		switch {
		case l.known && n.RX >= l.rx && n.TX >= l.tx:
			grown = grown || n.RX > l.rx
		case l.known: // another device of that name
			d.ladder.start, d.ladder.counted = time.Time{}, false
			grown = grown || n.RX > 0
		default:
			// The first look at a device that was there before us: what came in came from a host, but
			// perhaps from the last one.
			grown = grown || n.RX > 0 && l.carrier && d.plugs <= 1
		}
		*l = link{carrier: l.carrier, known: true, rx: n.RX, tx: n.TX}
	}
	if grown {
		d.heard()
	}
	if p := d.plug; p != nil && !p.woken.IsZero() && !p.counted {
		p.counted = true
		p.wokenRX, p.wokenTX = d.total()
	}
	d.countedWedge()
}

// heard: a frame of the host arrived.
func (d *Decider) heard() {
	d.ladder.heard = d.now
	p := d.plug
	if p == nil || p.spoke || !d.state.host() || d.pending.unplugs() {
		return
	}
	d.failure = ""
	p.spoke, p.spokeAt, p.told = true, d.now, false
	d.record()
}

func (d *Decider) noteHeard(e Heard) {
	d.heard()
	p := d.plug
	if p == nil || d.pending.unplugs() {
		return
	}
	if h := e.Seen.Host(); h != "" && h != p.host {
		// A router solicitation comes first and says little; what says more replaces it.
		if p.host == "" || len(e.Seen.Options4) > 0 || len(e.Seen.Options6) > 0 && p.label == "" {
			p.host, p.label, p.recorded = h, e.Seen.Label(), ""
		}
	}
	d.record()
}

// record remembers what works with this host, once.
func (d *Decider) record() {
	p := d.plug
	if !d.c.Auto || !p.spoke || p.host == "" || p.recorded == d.profile || d.pending != "" {
		return
	}
	p.recorded = d.profile
	d.table = d.table.Spoke(p.host, p.label, d.profile, p.silent && d.profile == verdict.Classic)
	d.act(Action{Do: Save, Why: "it is known what works with this host"})
}
