package overlay

import (
	"hash/fnv"
	"net"
	"net/netip"
	"slices"
	"sort"

	"github.com/provision-net/provision/provision/resource/vxlan"
)

// wire is one between two nodes, with all that both ends agree on.
type wire struct {
	a, b   string // sorted
	vni    uint32
	cost   uint16
	ends   [2]netip.Addr // of a and of b, in the tunnel; invalid where they have no family in common
	chosen bool          // the VNI is written
	priced bool          // the cost is
	leaf   bool          // one of the two has no endpoint
	at     string        // path of the entry of wires, if there is one
}

// names are those of the nodes, sorted.
func (c Config) names() []string {
	out := make([]string, 0, len(c.Nodes))
	for n := range c.Nodes {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

// joined reports whether two nodes have a wire: one can be called, and both want it.
func (c Config) joined(a, b string) bool {
	x, y := c.Nodes[a], c.Nodes[b]
	wants := func(n Node, other string) bool { return len(n.To) == 0 || slices.Contains(n.To, other) }
	return (x.Endpoint != "" || y.Endpoint != "") && wants(x, b) && wants(y, a)
}

// wires are all of them, in the order of names.
func (c Config) wires() []wire {
	names := c.names()
	var out []wire
	for i, a := range names {
		for _, b := range names[i+1:] {
			if !c.joined(a, b) {
				continue
			}
			w := wire{a: a, b: b, vni: VNI(a, b), cost: nearCost, ends: ends(c.Nodes[a], c.Nodes[b])}
			if c.Nodes[a].Endpoint == "" || c.Nodes[b].Endpoint == "" {
				w.cost, w.leaf = leafCost, true
			}
			if n := c.entry(a, b); n >= 0 {
				w.at = entryPath(n)
				if e := c.Wires[n]; e.VNI != 0 {
					w.vni, w.chosen = e.VNI, true
				}
				if e := c.Wires[n]; e.Cost != 0 {
					w.cost, w.priced = e.Cost, true
				}
			}
			out = append(out, w)
		}
	}
	return out
}

// entry is the place of the entry for two nodes, -1 for none.
func (c Config) entry(a, b string) int {
	return slices.IndexFunc(c.Wires, func(w Wire) bool {
		return len(w.Between) == 2 && (w.Between[0] == a && w.Between[1] == b || w.Between[0] == b && w.Between[1] == a)
	})
}

// other is the far end of w seen from node, and whether node is one of the two.
func (w wire) other(node string) (name string, own, far netip.Addr, ok bool) {
	switch node {
	case w.a:
		return w.b, w.ends[0], w.ends[1], true
	case w.b:
		return w.a, w.ends[1], w.ends[0], true
	}
	return "", own, far, false
}

// ends are the addresses that carry a wire.
func ends(a, b Node) [2]netip.Addr {
	for _, six := range []bool{false, true} {
		x, y := first(a, six), first(b, six)
		if x.IsValid() && y.IsValid() {
			return [2]netip.Addr{x, y}
		}
	}
	return [2]netip.Addr{}
}

func first(n Node, six bool) netip.Addr {
	for _, text := range n.Addresses {
		if p, err := netip.ParsePrefix(text); err == nil && p.Addr().Is6() == six && !p.Addr().IsLinkLocalUnicast() {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// size is what all wires carry: bridges do not make packets smaller (IEEE 802.1D-1998 section 6.3.8), so
// the smallest wire anywhere is the size everywhere.
func (c Config) size(all []wire) int {
	size := c.mtu() - vxlan.Overhead(netip.IPv4Unspecified())
	for _, w := range all {
		if w.ends[0].IsValid() {
			size = min(size, c.mtu()-vxlan.Overhead(w.ends[0]))
		}
	}
	return size
}

// VNI is the network identifier of the wire between two nodes, in whichever order: it depends on their
// names only, so it stays when nodes come and go.
func VNI(a, b string) uint32 {
	if a > b {
		a, b = b, a
	}
	return uint32(hash("wire", a, b)%vxlan.MaxVNI) + 1
}

// mac is a locally administered address (IEEE 802 section 8.2.2) that depends on words only: a bridge
// keeps its rank and its neighbours their tables when it is made anew.
func mac(words ...string) string {
	h := hash(words...)
	b := net.HardwareAddr{byte(h>>40)&0xfc | 2, byte(h >> 32), byte(h >> 24), byte(h >> 16), byte(h >> 8), byte(h)}
	return b.String()
}

// hash is FNV-1a, and then mixed: its upper bits hardly depend on the last letters.
func hash(words ...string) uint64 {
	h := fnv.New64a()
	for _, w := range words {
		_, _ = h.Write([]byte(w))
		_, _ = h.Write([]byte{0})
	}
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	return x ^ x>>33
}

// wireName is the name of the device of the wire to a node.
func wireName(node string) string { return "vx-" + node }
