package tree

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/resource/bridge"
	"github.com/provision-net/provision/routing/overlay"
)

func start() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func ms(f float64) time.Duration { return time.Duration(f * float64(time.Millisecond)) }

func TestCosts(t *testing.T) {
	for _, tc := range []struct {
		rtt  float64
		cost uint16
	}{{0, 30}, {1, 30}, {1.01, 40}, {7.9, 100}, {8, 100}, {90, 1300}, {300, 5140}, {512, 5140}, {513, 10260}, {90000, 10260}} {
		if got := costOf(stepOf(ms(tc.rtt))); got != tc.cost {
			t.Errorf("%v ms costs %d, want %d", tc.rtt, got, tc.cost)
		}
	}
}

// The figures are worked out by hand from RFC 6298 section 2 with alpha 1/8 and beta 1/4.
func TestSmoothed(t *testing.T) {
	r := RTT{}.add(ms(80))
	if r.Smoothed != ms(80) || r.Varies != ms(40) {
		t.Errorf("first %v", r)
	}
	if r = r.add(ms(160)); r.Smoothed != ms(90) || r.Varies != ms(50) {
		t.Errorf("then %v", r)
	}
	if r = r.add(ms(50)); r.Smoothed != ms(85) || r.Varies != ms(47.5) {
		t.Errorf("at last %v", r)
	}
}

// run feeds one wire, a round each ten seconds, and returns when its cost changed, and the cost at the end.
func run(rounds int, rtt func(i int) time.Duration) (changes []time.Duration, last uint16) {
	near := []overlay.Neighbour{{Node: "paris", Wire: "vx-paris", Measured: true, Cost: 100}}
	var s State
	for i := range rounds {
		at := time.Duration(i) * defaultEvery
		answers := map[string]time.Duration{}
		if d := rtt(i); d > 0 {
			answers["vx-paris"] = d
		}
		var changed bool
		if s, changed = s.measured(near, answers, start().Add(at)); changed {
			changes = append(changes, at)
		}
	}
	return changes, s.cost(near[0])
}

// Noise of any usual form changes nothing for a day once there is a cost, wherever the mean lies: also where it is the
// bound of a step.
func TestNoise(t *testing.T) {
	const day = 24 * 360
	for name, noise := range map[string]func(r *rand.Rand) float64{
		"none":          func(*rand.Rand) float64 { return 1 },
		"a tenth":       func(r *rand.Rand) float64 { return 0.9 + 0.2*r.Float64() },
		"half to twice": func(r *rand.Rand) float64 { return math.Exp2(2*r.Float64() - 1) },
		"lognormal":     func(r *rand.Rand) float64 { return math.Exp(0.4 * r.NormFloat64()) },
		"spikes": func(r *rand.Rand) float64 {
			if r.IntN(50) == 0 {
				return 10
			}
			return 1
		},
	} {
		for _, mean := range []float64{0.3, 6, 7.5, 8, 8.5, 10, 90, 256} {
			r := rand.New(rand.NewPCG(7, uint64(mean*10)))
			changes, cost := run(day, func(int) time.Duration { return ms(mean * noise(r)) })
			// The first cost is of few answers: it may be a step off, and be put right once.
			if len(changes) > 2 || len(changes) == 2 && changes[1] > time.Hour {
				t.Errorf("%s at %v ms: changes at %v", name, mean, changes)
			}
			if right := stepOf(ms(mean)); cost != costOf(right) && cost != costOf(right+1) && cost != costOf(max(0, right-1)) {
				t.Errorf("%s at %v ms: it costs %d", name, mean, cost)
			}
		}
	}
}

// What lasts counts, within minutes, and nothing counts twice within five.
func TestWhatLasts(t *testing.T) {
	slower := func(i int) time.Duration {
		if i >= 100 {
			return ms(90)
		}
		return ms(6)
	}
	changes, cost := run(200, slower)
	if len(changes) == 0 || cost != 1300 || changes[0] < 1000*time.Second || changes[0] > 1300*time.Second {
		t.Errorf("changes at %v, and it costs %d", changes, cost)
	}
	// Twice as slow each eighty seconds: it could follow each time.
	changes, _ = run(100, func(i int) time.Duration { return ms(math.Exp2(float64(i) / 8)) })
	if len(changes) < 3 {
		t.Errorf("it follows at %v only", changes)
	}
	for i := range changes[1:] {
		if changes[i+1]-changes[i] < 5*time.Minute {
			t.Errorf("changes at %s and %s", changes[i], changes[i+1])
		}
	}
	short, cost := run(400, func(i int) time.Duration { // a minute in which the line is full
		if i >= 100 && i < 106 {
			return ms(40)
		}
		return ms(6)
	})
	if len(short) != 0 || cost != 100 {
		t.Errorf("a minute counts: changes at %v, and it costs %d", short, cost)
	}
	silent, cost := run(400, func(i int) time.Duration {
		if i >= 100 {
			return 0
		}
		return ms(90)
	})
	if len(silent) != 1 || cost != 1300 {
		t.Errorf("silence counts: changes at %v, and it costs %d", silent, cost)
	}
}

// Several wires change together or after the pause, a node that roams stays dear, one with a fixed cost is
// let alone, and a clock that was put back stops nothing.
func TestTogether(t *testing.T) {
	near := []overlay.Neighbour{{Wire: "a", Measured: true, Cost: 100}, {Wire: "b", Measured: true, Cost: 20100, Extra: 20000}, {Wire: "c", Cost: 77}}
	var s State
	if s.cost(near[0]) != 100 || s.cost(near[1]) != 20100 || s.cost(near[2]) != 77 {
		t.Error("costs of which nothing is known")
	}
	changes := 0
	feed := func(now time.Time, rtts map[string]time.Duration) {
		for range 2 * enough {
			var changed bool
			if s, changed = s.measured(near, rtts, now); changed {
				changes++
			}
		}
	}
	feed(start(), map[string]time.Duration{"a": ms(30), "b": ms(30), "c": ms(30)})
	if changes != 1 || s.cost(near[0]) != 340 || s.cost(near[1]) != 20340 || s.cost(near[2]) != 77 || len(s.Wires) != 2 {
		t.Errorf("%d changes, %v", changes, s)
	}
	s.Changed = start().Add(24 * time.Hour) // the clock was wrong
	near[0].Wire = "d"
	feed(start(), map[string]time.Duration{"d": ms(3)})
	if changes != 2 || s.cost(near[0]) != 60 || len(s.Wires) != 2 {
		t.Errorf("%d changes, %v", changes, s)
	}
}

func TestSeen(t *testing.T) {
	port := func(name string, no uint16, state string) bridge.SpanningPort {
		return bridge.SpanningPort{Name: name, No: no, State: state}
	}
	tree := func(root string, way uint16, ports ...bridge.SpanningPort) *bridge.Spanning {
		return &bridge.Spanning{Root: bridge.ID{Priority: 1, MAC: root}, RootPort: way, Ports: ports}
	}
	var s State
	at := start()
	for i, tc := range []struct {
		b       *bridge.Spanning
		changed bool
	}{
		{nil, false},
		{tree("x", 1, port("a", 1, bridge.Listening), port("b", 2, bridge.Blocking)), true},
		{tree("x", 1, port("a", 1, bridge.Learning), port("b", 2, bridge.Blocking)), false},
		{tree("x", 1, port("a", 1, bridge.Forwarding), port("b", 2, bridge.Blocking)), false},
		{nil, false},
		{tree("x", 2, port("a", 1, bridge.Blocking), port("b", 2, bridge.Listening)), true},
		{tree("y", 2, port("a", 1, bridge.Blocking), port("b", 2, bridge.Forwarding)), true},
		{tree("y", 2, port("b", 2, bridge.Forwarding)), true},
	} {
		at = at.Add(time.Minute)
		var changed bool
		if s, changed = s.seen(tc.b, at); changed != tc.changed {
			t.Errorf("%d: changed %v", i, changed)
		}
		if i == 3 && !s.Turned.IsZero() {
			t.Error("what is seen first has changed at no known time")
		}
	}
	if s.Turned != at || fmt.Sprint(s.Tree) != "{0001.y b map[b:forwarding]}" {
		t.Errorf("%v", s)
	}
}
