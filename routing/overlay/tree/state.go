package tree

import (
	"maps"
	"time"

	"github.com/provision-net/provision/provision/resource/bridge"
	"github.com/provision-net/provision/routing/overlay"
)

// State is what is remembered: of measured wires by their devices, and of the tree.
type State struct {
	Wires map[string]Wire `json:"wires,omitempty"`
	// Changed is when costs were changed last.
	Changed time.Time `json:"changed,omitzero"`
	Tree    Shape     `json:"tree,omitzero"`
	// Turned is when the tree was seen to have changed last; zero: not since it is looked at.
	Turned time.Time `json:"turned,omitzero"`
}

// Wire is one that is measured.
type Wire struct {
	RTT
	Known bool `json:"known,omitempty"` // enough to have a step
	Step  int  `json:"step"`
	// Since is when its time was first found beyond the step, and always since.
	Since time.Time `json:"since,omitzero"`
}

// Shape is what of the tree concerns this node.
type Shape struct {
	Root  string            `json:"root"`
	Way   string            `json:"way,omitempty"` // the wire that leads there; empty at the root
	Ports map[string]string `json:"ports,omitempty"`
}

// hold is how long a time has to be beyond a step, and pause the least time between two changes.
const (
	hold  = time.Minute
	pause = 5 * time.Minute
)

// clone is a deep copy.
func (s State) clone() State {
	s.Wires = maps.Clone(s.Wires)
	if s.Wires == nil {
		s.Wires = map[string]Wire{}
	}
	return s
}

// measured takes one round of answers into account, by wire, and says whether costs have changed. A wire
// that is silent stays as it is: whether it carries frames the tree finds out itself.
func (s State) measured(near []overlay.Neighbour, rtts map[string]time.Duration, now time.Time) (State, bool) {
	s = s.clone()
	known := map[string]bool{}
	var due []overlay.Neighbour
	for _, n := range near {
		if !n.Measured {
			continue
		}
		known[n.Wire] = true
		w := s.Wires[n.Wire]
		if rtt, ok := rtts[n.Wire]; ok {
			w.RTT = w.add(rtt)
		}
		switch {
		case w.Samples < enough:
		case !w.Known:
			due = append(due, n)
		case !w.beyond(w.Step):
			w.Since = time.Time{}
		case w.Since.IsZero():
			w.Since = now
		case passed(w.Since, now, hold):
			due = append(due, n)
		}
		s.Wires[n.Wire] = w
	}
	maps.DeleteFunc(s.Wires, func(name string, _ Wire) bool { return !known[name] })
	if len(due) == 0 || !s.Changed.IsZero() && !passed(s.Changed, now, pause) {
		return s, false
	}
	changed := false
	for _, n := range due {
		w, was := s.Wires[n.Wire], s.cost(n)
		w.Known, w.Step, w.Since = true, stepOf(w.Smoothed), time.Time{}
		s.Wires[n.Wire] = w
		changed = changed || s.cost(n) != was
	}
	if changed {
		s.Changed = now
	}
	return s, changed
}

// passed also holds when the clock was put back.
func passed(since, now time.Time, d time.Duration) bool {
	took := now.Sub(since)
	return took < 0 || took >= d
}

// cost is what a wire is to cost.
func (s State) cost(n overlay.Neighbour) uint16 {
	if w := s.Wires[n.Wire]; w.Known {
		return costOf(w.Step) + n.Extra
	}
	return n.Cost
}

// seen notes the tree as it is, and says whether it has changed. What is on the way to forwarding is
// no change by itself.
func (s State) seen(b *bridge.Spanning, now time.Time) (State, bool) {
	if b == nil {
		return s, false
	}
	next := Shape{Root: b.Root.String(), Ports: map[string]string{}}
	for _, p := range b.Ports {
		if b.RootPort != 0 && p.No == b.RootPort {
			next.Way = p.Name
		}
		state := p.State
		if state == bridge.Listening || state == bridge.Learning {
			state = bridge.Forwarding
		}
		next.Ports[p.Name] = state
	}
	was := s.Tree
	s.Tree = next
	if was.Root == next.Root && was.Way == next.Way && maps.Equal(was.Ports, next.Ports) {
		return s, false
	}
	if was.Root != "" {
		s.Turned = now
	}
	return s, true
}
