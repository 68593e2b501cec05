package killswitch

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/provision-net/provision/routing/match"
)

// Decide says what follows from an observation: the new state and the steps, in their order. Now
// is the time since the machine's start. The same observation after the steps have been made asks
// for none, but for renewals.
//
// Forwarding is turned off first and on last, and on only where everything was observed in place:
// what this call has just repaired, the next one has to see.
func (c Config) Decide(s State, o Observation, ask Ask, now time.Duration) (State, []Action) {
	d := &decision{c: c, s: s, o: o, now: now}
	d.s.Notes = nil
	d.asked(ask)
	broken := d.broken()
	if len(broken) > 0 {
		d.forwarding(false)
		d.repair()
	}
	d.clean()
	d.window(ask)
	why, open := d.opening()
	d.ways(open)
	d.start()
	d.detours(open)
	status, reasons := Armed, []string(nil)
	switch {
	case len(broken) > 0:
		status, reasons = Broken, broken
	case open:
		status, reasons = Open, []string{why}
	}
	if len(broken) == 0 {
		d.forwarding(true)
	}
	if status != d.s.Status || !slices.Equal(reasons, d.s.Reasons) {
		if status != d.s.Status {
			d.s.Since = now
		}
		text := string(status)
		if len(reasons) > 0 {
			text += ": " + strings.Join(reasons, "; ")
		}
		d.log("kill switch is %s", text)
	}
	d.s.Status, d.s.Reasons = status, reasons
	d.notes()
	return d.s, d.out
}

type decision struct {
	c   Config
	s   State
	o   Observation
	now time.Duration
	out []Action
}

//go:noinline
func (d *decision) do(a Action) { d.out = append(d.out, a) }

//go:noinline
func (d *decision) log(format string, args ...any) {
	d.do(Action{Do: Log, Text: fmt.Sprintf(format, args...)})
}

// broken is which layers do not hold, for people.
func (d *decision) broken() []string {
	var out []string
	if n := len(d.o.Missing); n > 3 {
		out = append(out, d.o.Missing[:3]...)
		out = append(out, fmt.Sprintf("and %d more", n-3))
	} else {
		out = append(out, d.o.Missing...)
	}
	if !d.o.Unreachable4 {
		out = append(out, "the unreachable IPv4 route is not there")
	}
	if !d.o.Unreachable6 && !d.o.NoIPv6 {
		out = append(out, "the unreachable IPv6 route is not there")
	}
	return append(out, d.o.Rules...)
}

// forwarding brings both switches to on, where they are not.
func (d *decision) forwarding(on bool) {
	if d.o.Forwarding4 != on {
		d.do(Action{Do: Forward, Family: 4, On: on})
	}
	if d.o.Forwarding6 != on && !d.o.NoIPv6 {
		d.do(Action{Do: Forward, Family: 6, On: on})
	}
}

// repair puts the other layers back, the guard first: it alone holds whatever the routes say.
func (d *decision) repair() {
	if len(d.o.Missing) > 0 {
		d.do(Action{Do: Table})
		d.s.clean = false
	}
	if !d.o.Unreachable4 {
		d.do(Action{Do: Route, Family: 4})
	}
	if !d.o.Unreachable6 && !d.o.NoIPv6 {
		d.do(Action{Do: Route, Family: 6})
	}
	if len(d.o.Rules) > 0 {
		d.do(Action{Do: Rules})
	}
}

// clean empties the learnt sets when it cannot be known what is in them: at the start, and when the
// table has been made anew. No opening outlives what it was made for.
func (d *decision) clean() {
	if d.s.clean {
		return
	}
	d.s.open, d.s.done = nil, nil
	if d.s.Window.Until != 0 {
		d.log("kill switch: the window for %s is gone with the table", d.s.Window.who())
		d.s.Window = Window{}
	}
	if len(d.o.Missing) > 0 {
		return
	}
	d.s.clean = true
	d.clear(SetOpen)
	d.clear(SetDone)
	d.clearWindow()
}

func (d *decision) clear(set string) { d.do(Action{Do: Clear, Set: set}) }

// asked takes the wish to open or to close.
func (d *decision) asked(a Ask) {
	who := ""
	if a.Who != "" {
		who = " by " + a.Who
	}
	switch {
	case a.Close:
		if d.s.OpenUntil != 0 || d.s.Window.Until != 0 {
			d.log("kill switch: closed%s", who)
		}
		d.s.OpenUntil = 0
	case a.Open:
		d.s.OpenUntil = forever
		text := "until it is closed or the machine restarts"
		if a.For > 0 {
			d.s.OpenUntil = d.now + a.For
			text = "for " + a.For.String()
		}
		d.log("kill switch: opened%s %s", who, text)
	}
	if d.s.OpenUntil != 0 && d.s.OpenUntil <= d.now {
		d.s.OpenUntil = 0
		d.log("kill switch: the time it was opened for is over")
	}
}

// forever is longer than any machine runs.
const forever = time.Duration(1<<63 - 1)

// opening is whether every way out is open, and why.
func (d *decision) opening() (string, bool) {
	if d.s.OpenUntil != 0 {
		return "by choice", true
	}
	trusted, why := d.c.trusts(d.o.Uplinks)
	if !trusted && why != "" {
		d.note("armed because %s", why)
	}
	return "every way out is trusted", trusted
}

// ways keeps SetOpen: the ways out of the present while it is open, nothing else. Elements die
// with a lease unless renewed, so they outlive neither this process nor the network's trust.
func (d *decision) ways(open bool) {
	var want []string
	if open && d.s.clean {
		for _, u := range d.o.Uplinks {
			want = append(want, u.Name)
		}
		slices.Sort(want)
	}
	if slices.ContainsFunc(d.s.open, func(n string) bool { return !slices.Contains(want, n) }) {
		d.clear(SetOpen)
		d.s.open = nil
	}
	if len(want) == 0 || slices.Equal(want, d.s.open) && d.now-d.s.renew < lease/3 {
		return
	}
	timeout := lease
	if d.s.OpenUntil != 0 {
		timeout = min(timeout, d.s.OpenUntil-d.now)
	}
	for _, n := range want {
		d.do(Action{Do: Add, Set: SetOpen, Key: match.NameKey(n), Timeout: timeout})
	}
	d.s.open, d.s.renew = want, d.now
}

// start keeps SetDone: the ports that only the start needs are closed while the tunnel is heard,
// and once the clock is right. Until then they stay allowed, towards the chosen servers.
func (d *decision) start() {
	var want []uint16
	if d.heard() {
		want = append(want, 53)
	}
	if d.o.Synchronised {
		want = append(want, 123)
	}
	if !d.s.clean {
		return
	}
	if slices.ContainsFunc(d.s.done, func(p uint16) bool { return !slices.Contains(want, p) }) {
		d.clear(SetDone)
		d.s.done = nil
	}
	if len(want) == 0 || slices.Equal(want, d.s.done) && d.now-d.s.closed < doneLease/3 {
		return
	}
	for _, p := range want {
		d.do(Action{Do: Add, Set: SetDone, Key: match.PortKey(p), Timeout: doneLease})
	}
	d.s.done, d.s.closed = want, d.now
}

// detours leads around the tunnel's table what is open, and what the start needs.
func (d *decision) detours(open bool) {
	want := Detours{All: open, Own: d.s.Window.Until != 0 && d.s.Window.Self}
	add := func(list []string) { want.To = append(want.To, slices.Concat(addrs(list, 4), addrs(list, 6))...) }
	if !d.heard() {
		add(d.c.BootstrapDNS)
	}
	if !d.o.Synchronised {
		add(d.c.NTP)
	}
	for _, s := range d.c.Endpoints {
		if ap, err := netip.ParseAddrPort(s); err == nil {
			want.To = append(want.To, ap.Addr().Unmap())
		}
	}
	if d.s.Window.Until != 0 {
		for _, u := range d.o.Uplinks {
			for _, a := range u.DNS {
				want.To = append(want.To, a.Unmap().WithZone(""))
			}
		}
	}
	if d.o.NoIPv6 {
		want.To = slices.DeleteFunc(want.To, netip.Addr.Is6)
	}
	sort.Slice(want.To, func(i, j int) bool { return want.To[i].Compare(want.To[j]) < 0 })
	want.To = slices.Compact(want.To)
	if !want.Equal(d.o.Detours) {
		d.do(Action{Do: Around, Detours: want})
	}
}

// heard: the tunnel is up and somebody answers at its other end.
func (d *decision) heard() bool { return d.o.Tunnel.Up && d.o.Tunnel.Fresh }

func (d *decision) note(format string, args ...any) {
	d.s.Notes = append(d.s.Notes, fmt.Sprintf(format, args...))
}

func (d *decision) notes() {
	switch t := d.o.Tunnel; {
	case !t.Present:
		d.note("there is no %s: nothing gets out", d.c.Tunnel)
	case !t.Up:
		d.note("%s is down: nothing gets out", d.c.Tunnel)
	case !t.Fresh:
		d.note("no peer of %s was heard for three minutes", d.c.Tunnel)
	}
	if !d.o.Synchronised && len(d.c.NTP) > 0 {
		d.note("the clock is not synchronised: %s may be asked outside the tunnel", strings.Join(d.c.NTP, ", "))
	}
	if w := d.s.Window; w.Until != 0 {
		d.note("a portal's window is open for %s, %s more", w.who(), (w.Until - d.now).Round(time.Second))
	}
}
