package tree

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/resource/bridge"
	"github.com/provision-net/provision/routing/overlay"
)

// macs are those of the bridges, which follow from names.
func id(t *testing.T, c overlay.Config, node string, priority uint16) bridge.ID {
	t.Helper()
	r, err := overlay.Plan(overlay.Input{}, func() overlay.Config { c.Node = node; return c }())
	if err != nil {
		t.Fatal(err)
	}
	return bridge.ID{Priority: priority, MAC: r.Desired.Wants[0].Attrs[bridge.AttrMAC]}
}

func TestReport(t *testing.T) {
	c := between("")
	paris := c.Nodes["paris"]
	paris.To = []string{"osaka", "laptop"} // so quito comes by osaka
	c.Nodes["paris"] = paris
	osaka, root := id(t, c, "osaka", 0x8000), id(t, c, "paris", 0x1000)
	port := func(node string, no uint16, state string, cost uint32, designated bridge.ID) bridge.SpanningPort {
		return bridge.SpanningPort{Name: "vx-" + node, No: no, State: state, Cost: cost, Designated: designated}
	}
	full := func() Seen {
		return Seen{Config: c, Asked: true, Devices: []string{"vx-paris", "vx-quito", "vx-laptop"},
			Spanning: &bridge.Spanning{Own: osaka, Root: root, RootCost: 100, RootPort: 2, Ports: []bridge.SpanningPort{
				port("laptop", 1, bridge.Blocking, 1000, id(t, c, "laptop", 0xf000)), port("paris", 2, bridge.Forwarding, 100, root), port("quito", 3, bridge.Forwarding, 77, osaka)}},
			RTTs:    map[string]time.Duration{"vx-laptop": ms(30), "vx-paris": ms(12), "vx-quito": ms(90)},
			Reached: map[string]bool{"laptop": true, "paris": true},
			State:   State{Turned: start(), Wires: map[string]Wire{"vx-paris": {RTT: RTT{Smoothed: ms(13)}}}}}
	}
	lines := func(s Status) string {
		var b strings.Builder
		fmt.Fprintf(&b, "%s of %s, root %s at %d", s.Node, s.Bridge, s.Root, s.RootCost)
		for _, n := range s.Nodes {
			fmt.Fprintf(&b, "|%s %s %d %s: %s", n.Node, n.State, n.Cost, n.RTT, n.Why)
		}
		for _, p := range s.Problems {
			b.WriteString("|! " + p)
		}
		return b.String()
	}
	const head, rest = "osaka of br-overlay, root paris at 100", "|paris forwards 100 12ms: the way to the root|quito forwards 77 90ms: open to quito"
	for name, tc := range map[string]struct {
		change func(s *Seen)
		want   string
	}{
		"all is well": {func(*Seen) {}, head + "|laptop blocked 1000 30ms: frames go by paris" + rest},
		"by others": {func(s *Seen) { delete(s.RTTs, "vx-laptop") },
			head + "|laptop blocked 1000 0s: frames go by paris" + rest + "|! laptop does not answer in the tunnel: it is reached through others"},
		"lost": {func(s *Seen) { delete(s.RTTs, "vx-laptop"); s.Reached["laptop"] = false },
			head + "|laptop blocked 1000 0s: frames go by paris" + rest + "|! laptop cannot be reached, neither by its wire nor through others"},
		"without an address": {func(s *Seen) { delete(s.RTTs, "vx-quito") },
			head + "|laptop blocked 1000 30ms: frames go by paris|paris forwards 100 12ms: the way to the root|quito forwards 77 0s: open to quito|! quito does not answer in the tunnel"},
		"changing": {func(s *Seen) { s.Reached["laptop"] = false; s.Spanning.Ports[2].State = bridge.Learning },
			head + "|laptop blocked 1000 30ms: frames go by paris|paris forwards 100 12ms: the way to the root|quito learning 77 90ms: soon open to quito" +
				"|! laptop answers in the tunnel, and not on the bridge: the tree may be changing, which takes max-age and twice forward-delay"},
		"gone": {func(s *Seen) { s.Spanning.Ports = s.Spanning.Ports[1:]; s.Devices = s.Devices[:2] },
			head + "|laptop missing 0 30ms: there is no such device" + rest + "|! the wire to laptop is not in the bridge: `provision apply` puts it there"},
		"taken out": {func(s *Seen) { s.Spanning.Ports = s.Spanning.Ports[1:] },
			head + "|laptop elsewhere 0 30ms: is no port of the bridge" + rest + "|! the wire to laptop is not in the bridge: `provision apply` puts it there"},
		"down": {func(s *Seen) { s.Spanning.Ports[0].State = bridge.Disabled }, head + "|laptop down 1000 30ms: device or bridge is down" + rest},
		"root": {func(s *Seen) {
			s.Spanning = &bridge.Spanning{Own: osaka, Root: osaka, Ports: []bridge.SpanningPort{port("laptop", 1, bridge.Listening, 1000, osaka), port("paris", 2, bridge.Forwarding, 100, osaka), port("quito", 3, bridge.Forwarding, 77, osaka)}}
		}, "osaka of br-overlay, root osaka at 0|laptop listening 1000 30ms: soon open to laptop|paris forwards 100 12ms: open to paris|quito forwards 77 90ms: open to quito"},
		"a stranger": {func(s *Seen) { s.Spanning.Root = bridge.ID{Priority: 1, MAC: "02:00:00:00:00:09"} },
			"osaka of br-overlay, root 0001.02:00:00:00:00:09 at 100|laptop blocked 1000 30ms: frames go by paris" + rest +
				"|! the root of the tree is the bridge 0001.02:00:00:00:00:09, which is none of the nodes: somebody has put another bridge or switch on this one"},
		"nobody asked": {func(s *Seen) { s.Asked, s.RTTs, s.Reached = false, nil, nil },
			head + "|laptop blocked 1000 0s: frames go by paris|paris forwards 100 0s: the way to the root|quito forwards 77 0s: open to quito"},
		"no overlay": {func(s *Seen) { s.Spanning, s.Devices, s.Asked = nil, nil, false },
			"osaka of br-overlay, root  at 0|laptop missing 0 30ms: there is no such device|paris missing 0 12ms: there is no such device|quito missing 0 90ms: there is no such device" +
				"|! there is no bridge br-overlay: `provision apply` makes it|! the wire to laptop is not in the bridge: `provision apply` puts it there" +
				"|! the wire to paris is not in the bridge: `provision apply` puts it there|! the wire to quito is not in the bridge: `provision apply` puts it there"},
	} {
		s := full()
		tc.change(&s)
		if got := lines(Report(s)); got != tc.want {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.ReplaceAll(got, "|", "\n"), strings.ReplaceAll(tc.want, "|", "\n"))
		}
	}
	if s := Report(full()); !s.Changed.Equal(start()) || s.Nodes[1].Smoothed != ms(13) || s.Nodes[1].Reached == nil || s.Nodes[2].Reached != nil {
		t.Errorf("%+v", s)
	}
	s := full()
	s.Config.Node = "quito"
	s.Asked, s.Reached = true, map[string]bool{"paris": true}
	if got := lines(Report(s)); !strings.Contains(got, "|paris  0 0s: neither calls the other") || strings.Contains(got, "! paris") {
		t.Errorf("without a wire: %s", got)
	}
}

// Each is asked in the tunnel and on the bridge, and again where it was silent.
func TestAsk(t *testing.T) {
	w := &line{takes: map[string]time.Duration{"wg-overlay 10.97.99.2": ms(9), "br-overlay 10.97.100.2": 1, "br-overlay 10.97.100.4": 1}}
	rtts, reached := Ask(t.Context(), w, between(""), time.Second)
	if fmt.Sprint(rtts, reached) != "map[vx-paris:9ms] map[laptop:true paris:true]" || w.asked.Load() != 3+2+2 {
		t.Errorf("%v, %v, asked %d times", rtts, reached, w.asked.Load())
	}
	w.takes = nil
	rtts, reached = Ask(t.Context(), w, between(""), time.Second)
	if fmt.Sprint(rtts, reached) != "map[] map[laptop:false paris:false]" {
		t.Errorf("%v, %v", rtts, reached)
	}
}
