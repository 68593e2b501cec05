package overlay

import "net/netip"

// Neighbour is a node at the far end of a wire of this one.
type Neighbour struct {
	Node string
	Wire string     // its device here
	Far  netip.Addr // where the wire ends, in the tunnel
	// Cost is what the wire costs: always, or, where it is Measured, as long as nothing is known. Extra is
	// added to what is measured.
	Cost, Extra uint16
	Measured    bool
}

// Neighbours are those of this node, in the order of names; none where c has problems.
func (c Config) Neighbours() []Neighbour {
	if !c.Enabled() || len(c.Problems()) > 0 {
		return nil
	}
	var out []Neighbour
	for _, w := range c.wires() {
		name, _, far, ok := w.other(c.Node)
		if !ok {
			continue
		}
		n := Neighbour{Node: name, Wire: wireName(name), Far: far, Cost: w.cost, Measured: c.Costs == CostsMeasured && !w.priced}
		if n.Measured && w.leaf {
			// A node that roams must stay dearer than the longest way round it.
			n.Cost, n.Extra = nearCost+leafExtra, leafExtra
		}
		out = append(out, n)
	}
	return out
}

// Others are all nodes but this one, sorted.
func (c Config) Others() []string {
	var out []string
	for _, n := range c.names() {
		if n != c.Node {
			out = append(out, n)
		}
	}
	return out
}

// OnBridge is where a node is found on the bridge; invalid where it has no address there.
func (c Config) OnBridge(node string) netip.Addr {
	for _, text := range c.Nodes[node].BridgeAddresses {
		if p, err := netip.ParsePrefix(text); err == nil {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// NodeOf is the node whose bridge has this MAC.
func (c Config) NodeOf(bridgeMAC string) (string, bool) {
	for _, n := range c.names() {
		if mac("bridge", n) == bridgeMAC {
			return n, true
		}
	}
	return "", false
}

// Named is a node as name servers are told of it.
type Named struct {
	Node  string
	Addrs []netip.Addr
}

// Names are all nodes, sorted, with their addresses on the bridge, which every node reaches; one that has none
// there has those in the tunnel. There are none where c has problems.
func (c Config) Names() []Named {
	if !c.Enabled() || len(c.Problems()) > 0 {
		return nil
	}
	var out []Named
	for _, n := range c.names() {
		list := c.Nodes[n].BridgeAddresses
		if len(list) == 0 {
			list = c.Nodes[n].Addresses
		}
		named := Named{Node: n}
		for _, text := range list {
			p, _ := netip.ParsePrefix(text) // judged
			named.Addrs = append(named.Addrs, p.Addr())
		}
		out = append(out, named)
	}
	return out
}
