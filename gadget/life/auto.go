package life

import (
	"fmt"
	"time"

	"github.com/provision-net/provision/gadget/verdict"
)

// ncm reports whether the profile in force has NCM.
func (d *Decider) ncm() bool {
	if d.c.Auto {
		return d.profile == verdict.Modern
	}
	return d.c.NCM
}

// decideAuto does something about a host that does not speak: reconnects once, where its driver may
// have stopped halfway, and then gives it the classic profile, once. Windows suspends a device for
// which it has no driver: a host that does so soon after it was plugged in is not asleep.
func (d *Decider) decideAuto() {
	p := d.plug
	if d.pending != "" || p.spoke || p.told || !p.addressed || d.state == Default {
		return
	}
	up := d.carrier()
	mayNudge := d.state == Configured && !up && !p.nudged && !d.noSoft && d.ncm() && d.ladder.room(d.now, 2)
	maySwitch := d.c.Auto && d.c.Classic && d.profile == verdict.Modern && !p.switched
	if mayNudge {
		if !d.due(p.quiet.Add(d.patience(d.c.Times.Nudge))) {
			return
		}
		p.nudged = true
		d.step(Reconnect, "the host has configured the device and left its data interface off, as macOS does sometimes: once, it is reconnected")
		return
	}
	wait := d.patience(d.c.Times.Silence)
	if up {
		wait = d.patience(d.c.Times.Mute)
	}
	if d.state == Suspended && (!maySwitch || d.since.Sub(p.began) > 2*d.c.Times.Boot) {
		return
	}
	if !d.due(p.quiet.Add(wait)) {
		return
	}
	if maySwitch {
		p.switched, p.silent = true, true
		d.change(verdict.Classic, fmt.Sprintf("the host has %s the device and has not spoken for %v", d.state, wait))
		return
	}
	p.told = true
	d.report(fmt.Sprintf("the host has %s the device and has not spoken for %v; nothing more is tried in this plug", d.state, wait))
}

// patience is longer with a host that boots.
func (d *Decider) patience(t time.Duration) time.Duration {
	if d.plug.resets > 0 {
		return max(t, d.c.Times.Boot)
	}
	return t
}

// decideSample asks for the counters as long as they can decide something.
func (d *Decider) decideSample() {
	p := d.plug
	if d.pending != "" || d.state != Configured || !d.carrier() {
		return
	}
	probe := !p.woken.IsZero() || d.suspects()
	if !probe && (p.spoke || p.told) {
		return
	}
	if d.due(d.asked.Add(d.c.Times.Sample)) {
		if probe {
			d.act(Action{Do: Probe, Why: "an answer would show that the link is well"})
		}
		d.ask("the host has not spoken yet")
		d.due(d.now.Add(d.c.Times.Sample))
	}
}

func (d *Decider) ask(why string) {
	d.asked = d.now
	d.act(Action{Do: Ask, Why: why})
}
