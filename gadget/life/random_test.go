package life

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/gadget/verdict"
)

// Thousands of scripts of things that happen to a board, in any order, against what must never be
// done.
func TestRandomLives(t *testing.T) {
	lives := 1500
	if testing.Short() {
		lives = 300
	}
	seen := map[string]int{}
	for seed := range lives {
		life(t, uint64(seed), seen)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	for _, v := range []string{"switch modern", "switch classic", "reconnect", "rebind", "rebind-driver", "readdress", "restore", "report"} {
		if seen[v] == 0 {
			t.Errorf("no life had a %q: %v", v, seen)
		}
	}
	t.Log(seen)
}

func life(t *testing.T, seed uint64, seen map[string]int) {
	r := rand.New(rand.NewPCG(seed, 17))
	c := Config{Profile: verdict.Modern, Auto: r.IntN(4) > 0, Classic: r.IntN(3) > 0, NCM: true, NoSoft: r.IntN(4) == 0, Driver: r.IntN(2) == 0}
	w := newWorld(t, c, verdict.Table{})
	w.softBroken = r.IntN(3) == 0
	j := &judge{w: w, c: c}
	w.each = j.judge
	w.set(NotAttached)
	hosts := []hostModel{linuxHost, windows7, driverless, macAltZero, firmware, serverLinux}
	for range 40 {
		switch r.IntN(14) {
		case 0, 1, 2:
			if w.host == nil {
				j.switches = 0
				w.plugIn(hosts[r.IntN(len(hosts))])
			}
		case 3:
			w.unplug()
		case 4: // the host resets the bus, or boots
			if w.host != nil {
				w.host = &hosts[r.IntN(len(hosts))]
				w.setCarrier(false)
				w.enumerate()
			}
		case 5:
			if w.host != nil && w.state == Configured {
				w.set(Suspended)
				w.run(time.Duration(r.IntN(7200)) * time.Second)
				w.stuck = r.IntN(2) == 0
				w.set(Configured)
				w.rx += uint64(r.IntN(6))
			}
		case 6, 7:
			w.wedged, w.wedgeLevel = true, 1+r.IntN(4)
			for range r.IntN(90) {
				w.tell(Logged{complaint})
				w.run(time.Second)
			}
		case 8:
			w.traffic(uint64(r.IntN(9)))
		case 9:
			if w.pendingNone() {
				w.epoch++
				w.setCarrier(false)
				w.set(Absent)
				w.run(time.Duration(r.IntN(60)) * time.Second)
				w.set(NotAttached)
				w.enumerate()
			}
		case 10:
			w.tell(Overlaps{[]Overlap{{netip.MustParsePrefix("10.55.0.0/29"), netip.MustParsePrefix("10.0.0.0/8"), "wlan0"}}[:r.IntN(2)]})
		case 12:
			w.softBroken = r.IntN(2) == 0
		case 11: // nonsense from outside
			w.tell(Carrier{fmt.Sprint("usb", r.IntN(99)), false})
			w.tell(Counts{[]Count{{fmt.Sprint("usb", r.IntN(99)), r.Uint64(), r.Uint64()}}[:r.IntN(2)]})
			w.tell(UDC{w.state})
		}
		w.run(time.Duration(r.IntN(40)) * time.Second * time.Duration(1+r.IntN(20)*r.IntN(2)))
		if len(w.d.links) > maxLinks {
			t.Fatalf("%d links are remembered", len(w.d.links))
		}
	}
	for _, a := range w.acts {
		seen[a]++
	}
	// In the end all is well, and nothing is left to do.
	w.tell(Overlaps{})
	w.wedged, w.stuck = false, false
	w.unplug()
	w.run(24 * time.Hour)
	j.switches = 0
	w.plugIn(linuxHost)
	w.run(24 * time.Hour)
	w.acts, w.all, w.when = nil, nil, nil
	w.run(48 * time.Hour)
	if len(w.all) > 0 {
		t.Errorf("with a healthy host: %v", w.all)
	}
	if s := w.d.Status(); !s.Spoke || s.Doing != "" || s.Fault != "" {
		t.Errorf("%+v", s)
	}
	if _, ok := w.d.Next(); ok {
		t.Error("it waits for something")
	}
}

func (w *world) pendingNone() bool { return w.d.pending == "" }

// judge knows what must never be done.
type judge struct {
	w        *world
	c        Config
	steps    []time.Time
	moves    []time.Time
	switches int
	last     Verb
}

func (j *judge) judge(a Action) {
	w := j.w
	fail := func(text string) {
		w.t.Errorf("at %v, %s: %s %s because %s", w.now.Sub(epoch), text, a.Do, a.Profile, a.Why)
	}
	if !a.Do.Disruptive() {
		return
	}
	nobody := !w.state.host()
	switch a.Do {
	case Readdress:
		j.moves = append(j.moves, w.now)
		if n := len(j.moves); n > maxMoves && j.moves[n-1-maxMoves].After(w.now.Add(-24*time.Hour)) {
			fail("moved too often")
		}
		return
	case Restore:
		return
	case Switch:
		if !j.c.Auto || a.Profile == verdict.Classic && !j.c.Classic {
			fail("not allowed")
		}
		if a.Profile == w.profile {
			fail("for nothing")
		}
		if nobody {
			break
		}
		if a.Profile != verdict.Classic {
			fail("under the host's hands")
		}
		if j.switches++; j.switches > 1 && !strings.Contains(a.Why, "nobody") {
			fail("twice in a plug")
		}
	default:
		mending := a.Do == Rebind && j.last == Reconnect && strings.Contains(a.Why, "did not come back")
		if !mending && w.state != Configured {
			fail("while it is " + string(w.state))
		}
		if a.Do == Reconnect && j.c.NoSoft {
			fail("soft_connect is known not to work")
		}
		if a.Do == RebindDriver && !j.c.Driver {
			fail("not allowed")
		}
		if a.Do == RebindDriver && !strings.Contains(a.Why, "complained") {
			fail("without evidence")
		}
		if n := len(j.steps); n > 0 && strings.Contains(a.Why, "complained") && w.now.Sub(j.steps[n-1]) < DefaultTimes().Backoff {
			fail("too soon")
		}
		j.steps = append(j.steps, w.now)
		if n := len(j.steps); n > MaxSteps && j.steps[n-1-MaxSteps].After(w.now.Add(-time.Hour)) {
			fail("too many steps in an hour")
		}
	}
	j.last = a.Do
}
