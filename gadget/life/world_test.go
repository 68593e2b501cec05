package life

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/gadget/verdict"
)

// hostModel is a computer of some kind.
type hostModel struct {
	modern, classic bool // has a driver for it
	configures      bool // even without a driver
	quiet           bool // has a driver and nobody to use it
	alt0            int  // how many times it leaves the data interface off
	seen            verdict.Seen
	suspends        bool // what it has no driver for
}

var (
	linuxHost   = hostModel{modern: true, classic: true, configures: true, seen: verdict.Seen{Options4: []byte{1, 28, 2, 3, 33, 42}, Hostname: "box"}}
	windows7    = hostModel{classic: true, configures: true, seen: verdict.Seen{Vendor: "MSFT 5.0", Options4: []byte{1, 15}, Hostname: "old"}}
	driverless  = hostModel{classic: true, suspends: true, seen: verdict.Seen{Vendor: "MSFT 5.0", Options4: []byte{1, 15}, Hostname: "odd"}}
	macAltZero  = hostModel{modern: true, configures: true, alt0: 1, seen: verdict.Seen{Options4: []byte{1, 121, 3, 6, 95}, Hostname: "air"}}
	firmware    = hostModel{configures: true}
	serverLinux = hostModel{modern: true, classic: true, configures: true, quiet: true}
)

// world is a board, a cable and a host, in a time of its own.
type world struct {
	t       *testing.T
	now     time.Time
	d       *Decider
	queue   []job
	n       int
	host    *hostModel
	state   State
	profile verdict.Profile
	carrier bool
	rx, tx  uint64
	alt0    int

	softBroken bool
	softDead   bool // a soft disconnect broke it
	wedged     bool // nothing comes in until the UDC is bound anew
	wedgeLevel int  // 1: reconnect mends it, 2: rebind, 3: the driver, 4: nothing
	stuck      bool // nothing goes out
	epoch      int  // of enumeration: what belongs to an earlier one does not happen

	acts []string
	all  []Action
	when []time.Time
	each func(Action)
}

type job struct {
	at time.Time
	n  int
	do func()
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func newWorld(t *testing.T, c Config, table verdict.Table) *world {
	w := &world{t: t, now: epoch, profile: c.Profile}
	w.d = New(c, table, w.now)
	return w
}

func (w *world) after(d time.Duration, do func()) {
	w.n++
	w.queue = append(w.queue, job{w.now.Add(d), w.n, do})
}

// inEpoch is after, as long as the host did not enumerate again.
func (w *world) inEpoch(d time.Duration, do func()) {
	e := w.epoch
	w.after(d, func() {
		if e == w.epoch {
			do()
		}
	})
}

func (w *world) tell(e Event) { w.acted(w.d.Take(w.now, e)) }

func (w *world) set(s State) {
	w.state = s
	w.tell(UDC{s})
}

func (w *world) setCarrier(up bool) {
	if w.carrier != up {
		w.carrier = up
		w.tell(Carrier{"usb0", up})
	}
}

// run lets time pass: jobs, and the decider's own deadlines.
func (w *world) run(d time.Duration) {
	end := w.now.Add(d)
	for turns := 0; ; turns++ {
		if turns > 200000 {
			w.t.Fatalf("the decider does not come to rest at %v: %v", w.now.Sub(epoch), w.acts)
		}
		sort.SliceStable(w.queue, func(i, j int) bool {
			a, b := w.queue[i], w.queue[j]
			return a.at.Before(b.at) || a.at.Equal(b.at) && a.n < b.n
		})
		next, wakes := w.d.Next()
		if len(w.queue) > 0 && (!wakes || !next.Before(w.queue[0].at)) {
			if j := w.queue[0]; !j.at.After(end) {
				w.queue = w.queue[1:]
				w.now = j.at
				j.do()
				continue
			}
		} else if wakes && !next.After(end) {
			if next.After(w.now) {
				w.now = next
			}
			w.acted(w.d.Wake(w.now))
			continue
		}
		w.now = end
		return
	}
}

func (w *world) acted(list []Action) {
	for _, a := range list {
		w.all, w.when = append(w.all, a), append(w.when, w.now)
		if a.Why == "" {
			w.t.Fatalf("%s without a reason", a.Do)
		}
		if w.each != nil {
			w.each(a)
		}
		switch a.Do {
		case Ask:
			w.after(0, func() { w.tell(Counts{[]Count{{"usb0", w.rx, w.tx}}}) })
		case Probe:
			w.traffic(1)
		case Show, Save:
		case Report:
			w.acts = append(w.acts, "report")
		default:
			text := string(a.Do)
			if a.Do == Switch {
				text += " " + string(a.Profile)
			}
			w.acts = append(w.acts, text)
			w.carryOut(a)
		}
	}
}

func (w *world) carryOut(a Action) {
	w.epoch++
	switch a.Do {
	case Readdress, Restore:
		w.epoch--
		w.after(200*time.Millisecond, func() { w.tell(Done{Do: a.Do}) })
		return
	case Switch:
		w.profile, w.softDead, w.rx, w.tx = a.Profile, false, 0, 0
	case Rebind, RebindDriver:
		w.softDead, w.rx, w.tx = false, 0, 0
	case Reconnect:
		w.softDead = w.softDead || w.softBroken
	}
	if w.wedgeLevel <= map[Verb]int{Reconnect: 1, Rebind: 2, Switch: 2, RebindDriver: 3}[a.Do] {
		w.wedged = false
	}
	w.stuck = false
	w.after(10*time.Millisecond, func() { w.setCarrier(false); w.set(NotAttached) })
	w.after(300*time.Millisecond, func() {
		w.tell(Done{Do: a.Do})
		w.enumerate()
	})
}

// enumerate is what a host does with a device that it sees.
func (w *world) enumerate() {
	if w.host == nil {
		return
	}
	w.epoch++
	h := w.host
	w.inEpoch(100*time.Millisecond, func() { w.set(Default) })
	if w.softDead {
		return
	}
	w.inEpoch(200*time.Millisecond, func() { w.set(Addressed) })
	driver := w.profile == verdict.Modern && h.modern || w.profile == verdict.Classic && h.classic
	if driver || h.configures {
		w.inEpoch(400*time.Millisecond, func() { w.set(Configured) })
	} else if h.suspends {
		w.inEpoch(3*time.Second, func() { w.set(Suspended) })
	}
	if !driver {
		return
	}
	if w.alt0 < h.alt0 {
		w.alt0++
		return
	}
	w.inEpoch(time.Second, func() { w.setCarrier(true) })
	if h.quiet {
		return
	}
	w.inEpoch(1500*time.Millisecond, func() {
		w.traffic(3)
		w.tell(Heard{"usb0", h.seen})
	})
	w.inEpoch(1600*time.Millisecond, func() { w.tell(Leased{true}) })
}

// traffic is n frames there and back.
func (w *world) traffic(n uint64) {
	if w.state != Configured || !w.carrier {
		return
	}
	if !w.wedged && w.host != nil && !w.host.quiet {
		w.rx += n
	}
	if !w.stuck {
		w.tx += n
	}
}

func (w *world) plugIn(h hostModel) {
	w.host, w.alt0 = &h, 0
	w.enumerate()
}

func (w *world) unplug() {
	w.epoch++
	w.host = nil
	w.setCarrier(false)
	w.set(NotAttached)
}

func (w *world) want(text string) {
	w.t.Helper()
	if got := strings.Join(w.acts, ", "); got != text {
		w.t.Errorf("at %v: did %q, want %q", w.now.Sub(epoch), got, text)
		for i, a := range w.all {
			if a.Do.Disruptive() || a.Do == Report {
				w.t.Log(w.when[i].Sub(epoch), fmt.Sprintf("%s %s: %s", a.Do, a.Profile, a.Why))
			}
		}
	}
	w.acts = nil
}

func auto() Config { return Config{Profile: verdict.Modern, Auto: true, Classic: true} }
