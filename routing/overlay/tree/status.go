package tree

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/provision-net/provision/provision/resource/bridge"
	"github.com/provision-net/provision/routing/overlay"
)

// Status is how the spanning tree stands, as seen from this node.
type Status struct {
	Node   string `json:"node"`
	Bridge string `json:"bridge"`
	// Root is the node at the root of the tree, or the identifier of a bridge that is none of the nodes;
	// empty where there is no bridge here.
	Root     string `json:"root,omitempty"`
	RootCost uint32 `json:"root_cost"` // of the way there
	// Changed is when the watch saw the tree change last, within ten seconds; zero: it did not, or does not run.
	Changed time.Time    `json:"changed,omitzero"`
	Nodes   []NodeStatus `json:"nodes"`
	// Problems are what is wrong, in words.
	Problems []string `json:"problems"`
}

// NodeStatus is another node, and the wire to it.
type NodeStatus struct {
	Node  string `json:"node"`
	Wire  string `json:"wire,omitempty"`  // its device; empty where there is none
	State string `json:"state,omitempty"` // one of the constants below
	Why   string `json:"why"`
	Cost  uint32 `json:"cost,omitempty"`
	// RTT is that of one answer just now, through the tunnel; 0: there was none. Smoothed is what the watch has.
	RTT      time.Duration `json:"rtt_ns,omitempty"`
	Smoothed time.Duration `json:"smoothed_rtt_ns,omitempty"`
	// Reached says whether the node answers on the bridge, by whichever way; nil: it has no address there, or
	// nobody was asked.
	Reached *bool `json:"reached,omitempty"`
}

// States of a wire.
const (
	Forwards  = "forwards"
	Blocked   = "blocked"
	Listens   = "listening"
	Learns    = "learning"
	Down      = "down"
	Missing   = "missing"
	Elsewhere = "elsewhere" // a device that is no port of the bridge
)

// Seen is what Report judges.
type Seen struct {
	Config   overlay.Config
	Spanning *bridge.Spanning // nil: there is no bridge
	// Devices are all that there are here.
	Devices []string
	State   State // of the watch; zero: not known
	// Asked: RTTs and Reached are known; they are by wire and by node.
	Asked   bool
	RTTs    map[string]time.Duration
	Reached map[string]bool
}

// Report says how the tree stands.
func Report(s Seen) Status {
	c := s.Config
	out := Status{Node: c.Node, Bridge: c.Switch(), Changed: s.State.Turned, Nodes: []NodeStatus{}, Problems: []string{}}
	wrong := func(format string, args ...any) { out.Problems = append(out.Problems, fmt.Sprintf(format, args...)) }
	if s.Spanning == nil {
		wrong("there is no bridge %s: `provision apply` makes it", c.Switch())
	} else {
		out.Root, out.RootCost = nodeOf(c, s.Spanning.Root), s.Spanning.RootCost
		if _, ours := c.NodeOf(s.Spanning.Root.MAC); !ours {
			wrong("the root of the tree is the bridge %s, which is none of the nodes: somebody has put another bridge or switch on this one", out.Root)
		}
	}
	near := c.Neighbours()
	for _, name := range c.Others() {
		n := NodeStatus{Node: name, Why: "neither calls the other"}
		if i := slices.IndexFunc(near, func(n overlay.Neighbour) bool { return n.Node == name }); i >= 0 {
			n = s.wire(near[i])
		}
		if reached, known := s.Reached[name]; s.Asked && known {
			n.Reached = &reached
		}
		silent := s.Asked && n.Wire != "" && n.RTT == 0
		switch {
		case n.State == Missing || n.State == Elsewhere:
			wrong("the wire to %s is not in the bridge: `provision apply` puts it there", name)
		case n.Reached != nil && !*n.Reached && (silent || n.Wire == ""):
			wrong("%s cannot be reached, neither by its wire nor through others", name)
		case n.Reached != nil && !*n.Reached:
			wrong("%s answers in the tunnel, and not on the bridge: the tree may be changing, which takes max-age and twice forward-delay", name)
		case silent && n.Reached != nil:
			wrong("%s does not answer in the tunnel: it is reached through others", name)
		case silent:
			wrong("%s does not answer in the tunnel", name)
		}
		out.Nodes = append(out.Nodes, n)
	}
	return out
}

func nodeOf(c overlay.Config, id bridge.ID) string {
	if name, ok := c.NodeOf(id.MAC); ok {
		return name
	}
	return id.String()
}

// wire is how one stands.
func (s Seen) wire(near overlay.Neighbour) NodeStatus {
	n := NodeStatus{Node: near.Node, Wire: near.Wire, RTT: s.RTTs[near.Wire], Smoothed: s.State.Wires[near.Wire].Smoothed}
	i := -1
	if s.Spanning != nil {
		i = slices.IndexFunc(s.Spanning.Ports, func(p bridge.SpanningPort) bool { return p.Name == near.Wire })
	}
	switch {
	case i >= 0:
		p := s.Spanning.Ports[i]
		n.Cost = p.Cost
		n.State, n.Why = s.port(near.Node, p)
	case slices.Contains(s.Devices, near.Wire):
		n.State, n.Why = Elsewhere, "is no port of the bridge"
	default:
		n.State, n.Why = Missing, "there is no such device"
	}
	return n
}

// port says what one does, and why (IEEE 802.1D-1998 section 8.3.2).
func (s Seen) port(node string, p bridge.SpanningPort) (state, why string) {
	b := s.Spanning
	switch {
	case b.RootPort != 0 && p.No == b.RootPort:
		why = "the way to the root"
	case p.Designated == b.Own:
		// The far end of such a wire may be blocked, of which nothing is heard here.
		why = "open to " + node
	case p.Designated != b.Own && b.RootPort != 0:
		why = "frames go by " + s.way()
	}
	switch p.State {
	case bridge.Forwarding:
		return Forwards, why
	case bridge.Blocking:
		return Blocked, why
	case bridge.Listening:
		return Listens, "soon " + why
	case bridge.Learning:
		return Learns, "soon " + why
	}
	return Down, "device or bridge is down"
}

// way is the node that the root port leads to.
func (s Seen) way() string {
	for _, n := range s.Config.Neighbours() {
		for _, p := range s.Spanning.Ports {
			if p.Name == n.Wire && p.No == s.Spanning.RootPort {
				return n.Node
			}
		}
	}
	return "another port"
}

// Ask is what Seen has of answers: each node is asked by its wire's tunnel and on the bridge, all at once,
// and once more where it was silent.
func Ask(ctx context.Context, w World, c overlay.Config, limit time.Duration) (rtts map[string]time.Duration, reached map[string]bool) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	reached = map[string]bool{}
	for _, name := range c.Others() {
		to := c.OnBridge(name)
		if !to.IsValid() || !c.OnBridge(c.Node).IsValid() {
			continue
		}
		wg.Go(func() {
			ok := false
			for try := 0; try < 2 && !ok; try++ {
				ok = answers(ctx, w, c.Switch(), to, limit)
			}
			mu.Lock()
			reached[name] = ok
			mu.Unlock()
		})
	}
	near := c.Neighbours()
	rtts = ask(ctx, w, c.Device(), limit, near)
	silent := slices.DeleteFunc(near, func(n overlay.Neighbour) bool { _, ok := rtts[n.Wire]; return ok })
	for wire, rtt := range ask(ctx, w, c.Device(), limit, silent) {
		rtts[wire] = rtt
	}
	wg.Wait()
	return rtts, reached
}

func answers(ctx context.Context, w World, device string, to netip.Addr, limit time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := w.Echo(ctx, device, to)
	return err == nil
}
