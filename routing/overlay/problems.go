package overlay

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/provision-net/provision/provision/resource/vxlan"
	wgresource "github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/wireguard"
)

type judge struct {
	out   []Problem
	owner map[netip.Addr]string
	keys  map[string]string
}

func (j *judge) add(path, format string, args ...any) {
	j.out = append(j.out, Problem{path, fmt.Sprintf(format, args...)})
}

// Problems lists everything that is wrong in c without looking at a machine.
func (c Config) Problems() []Problem {
	if !c.Enabled() {
		return nil
	}
	j := &judge{owner: map[netip.Addr]string{}, keys: map[string]string{}}
	j.own(c)
	j.tree(c)
	for _, name := range c.names() {
		j.node(c, name, c.Nodes[name])
	}
	j.entries(c)
	j.wires(c)
	return j.out
}

// own judges what is this machine's.
func (j *judge) own(c Config) {
	if _, ok := c.Nodes[c.Node]; c.Node == "" {
		j.add("node", "is missing: say which of the nodes this machine is")
	} else if !ok {
		j.add("node", "%q is none of the nodes: %s", c.Node, strings.Join(c.names(), ", "))
	}
	switch {
	case c.PrivateKeyFile == "":
		j.add("private-key-file", "is missing: name a file of mode 0600 with the private key of this node")
	case !strings.HasPrefix(c.PrivateKeyFile, "/"):
		j.add("private-key-file", "%q is no whole path, which begins with /", c.PrivateKeyFile)
	}
	if why := wireguard.BadInterface(c.Device()); why != "" {
		j.add("interface", "%s", why)
	}
	if why := wireguard.BadInterface(c.Switch()); why != "" {
		j.add("bridge", "%s", why)
	} else if c.Switch() == c.Device() {
		j.add("bridge", "%s is the WireGuard device: give the bridge another name", c.Switch())
	}
	for _, name := range c.names() {
		if d := wireName(name); d == c.Switch() || d == c.Device() {
			j.add("nodes."+name, "the wire to it is called %s, as another device here", d)
		}
	}
	if c.MTU != 0 && c.MTU < minMTU {
		j.add("mtu", "%d leaves less than the 1280 bytes that IPv6 needs on the bridge: at least %d", c.MTU, minMTU)
	}
}

// tree judges the times of the spanning tree (net/bridge/br_private.h has the bounds).
func (j *judge) tree(c Config) {
	delay, hello, age := c.times()
	for _, t := range []struct {
		key, text string
		is        time.Duration
		low, high time.Duration
	}{{"forward-delay", c.ForwardDelay, delay, 2 * time.Second, 30 * time.Second}, {"hello-time", c.HelloTime, hello, time.Second, 10 * time.Second}, {"max-age", c.MaxAge, age, 6 * time.Second, 40 * time.Second}} {
		if t.is < t.low || t.is > t.high {
			j.add(t.key, "%q is none of %s to %s, in hundredths of a second", t.text, t.low, t.high)
		}
	}
	if c.Costs != "" && c.Costs != CostsFixed && c.Costs != CostsMeasured {
		j.add("costs", "%q is neither %s nor %s", c.Costs, CostsFixed, CostsMeasured)
	}
	if hello > 0 && age > 0 && age < 2*(hello+time.Second) {
		j.add("max-age", "%s is less than twice the hello time and a second (%s): one message that is lost would turn the tree over", age, 2*(hello+time.Second))
	}
}

func (j *judge) node(c Config, name string, n Node) {
	at := "nodes." + name
	if name == "" || len(name) > 12 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || name[0] == '-' || name[len(name)-1] == '-' {
		j.add(at, "%q is no name of a node: 1 to 12 small letters, digits and - between them, as wires and names in DNS are made of it", name)
	}
	if k, err := wgresource.ParseKey(n.PublicKey); err != nil || k == (wgresource.Key{}) {
		j.add(at+".public-key", "%q is no key: `wg pubkey` prints it", n.PublicKey)
	} else if other, twice := j.keys[n.PublicKey]; twice {
		j.add(at+".public-key", "is that of %s already: each node has its own", other)
	} else {
		j.keys[n.PublicKey] = name
	}
	if n.Endpoint != "" {
		if _, _, why := wireguard.SplitEndpoint(n.Endpoint, false); why != "" {
			j.add(at+".endpoint", "%s", why)
		}
	}
	if len(n.Addresses) == 0 {
		j.add(at+".addresses", "is missing: an address in the tunnel, such as 10.97.99.1/24")
	}
	j.addresses(at+".addresses", name, n.Addresses)
	j.addresses(at+".bridge-addresses", name, n.BridgeAddresses)
	for i, to := range n.To {
		if _, ok := c.Nodes[to]; !ok || to == name {
			j.add(fmt.Sprintf("%s.to[%d]", at, i), "%q is none of the other nodes", to)
		} else if n.Endpoint == "" && c.Nodes[to].Endpoint == "" {
			j.add(fmt.Sprintf("%s.to[%d]", at, i), "neither %s nor %s has an endpoint, so neither can call the other", name, to)
		}
	}
}

func (j *judge) addresses(at, name string, list []string) {
	for i, text := range list {
		at := fmt.Sprintf("%s[%d]", at, i)
		p, err := netip.ParsePrefix(text)
		a := p.Addr()
		switch {
		case err != nil || a.Is4In6() || p.Bits() == 0 || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.IsLinkLocalUnicast():
			j.add(at, "%q is no address of a node, such as 10.97.99.1/24 or fd12:3456:789a:1::1/64", text)
		case a.Is4() && p.Bits() < 31 && a == p.Masked().Addr():
			j.add(at, "%s is the network, not an address in it, such as %s", a, a.Next())
		case j.owner[a] != "":
			j.add(at, "%s is an address of %s already", a, j.owner[a])
		default:
			j.owner[a] = name
		}
	}
}

func entryPath(n int) string { return "wires[" + strconv.Itoa(n) + "]" }

// entries judges what is written of single wires.
func (j *judge) entries(c Config) {
	for i, w := range c.Wires {
		at := entryPath(i)
		if len(w.Between) != 2 || w.Between[0] == w.Between[1] {
			j.add(at+".between", "want two nodes, such as [tokyo, paris]")
			continue
		}
		a, b := w.Between[0], w.Between[1]
		missing := slices.DeleteFunc(slices.Clone(w.Between), func(n string) bool { _, ok := c.Nodes[n]; return ok })
		switch {
		case len(missing) > 0:
			j.add(at+".between", "%q is none of the nodes", missing[0])
		case c.entry(a, b) != i:
			j.add(at+".between", "%s and %s have %s already", a, b, entryPath(c.entry(a, b)))
		case !c.joined(a, b):
			j.add(at+".between", "there is no wire between %s and %s: neither has an endpoint, or one has others only under to", a, b)
		}
		if w.VNI > vxlan.MaxVNI {
			j.add(at+".vni", "%d is more than %d", w.VNI, vxlan.MaxVNI)
		}
	}
}

// wires judges what follows: each wire its own identifier, a family that both ends have, and a way from
// every node to every other one.
func (j *judge) wires(c Config) {
	first := map[uint32]wire{}
	reach := map[string]string{}
	for _, n := range c.names() {
		reach[n] = n
	}
	root := func(n string) string {
		for reach[n] != n {
			n = reach[n]
		}
		return n
	}
	for _, w := range c.wires() {
		if f, twice := first[w.vni]; twice {
			at := "wires"
			if w.chosen {
				at = w.at + ".vni"
			} else if f.chosen {
				at = f.at + ".vni"
			}
			j.add(at, "the wires %s-%s and %s-%s would both have the network identifier %d: write another vni for one of them", f.a, f.b, w.a, w.b, w.vni)
		} else {
			first[w.vni] = w
		}
		if !w.ends[0].IsValid() && len(c.Nodes[w.a].Addresses) > 0 && len(c.Nodes[w.b].Addresses) > 0 {
			j.add("nodes."+w.b+".addresses", "has no address of a family that %s has too: their wire needs one", w.a)
		}
		reach[root(w.b)] = root(w.a)
	}
	names := c.names()
	for _, n := range names {
		if root(n) != root(names[0]) {
			j.add("nodes."+n, "there is no way from %s to it: give one of them an endpoint, or name a node under to", names[0])
		}
	}
}
