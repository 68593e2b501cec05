package overlay

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/address"
	"github.com/provision-net/provision/provision/resource/bridge"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/provision/resource/vxlan"
	wgresource "github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/match"
	"github.com/provision-net/provision/routing/wireguard"
)

// Input is what Plan decides from.
type Input struct {
	Facts *facts.Facts
	// PrivateKey is what stands in the file; the zero key where that is not known.
	PrivateKey wgresource.Key
}

// Result is what Plan says. The tunnel below is not in it: WireGuard has it.
type Result struct {
	// Desired has the bridge, its addresses, each wire and what makes it a port of the bridge.
	Desired provision.Desired
	Intents intent.Set
}

// WireGuard is the tunnel of this node, by the name of its device. c has no problems. A node that is not
// called keeps its way through NAT open itself.
func (c Config) WireGuard() wireguard.Config {
	if !c.Enabled() {
		return nil
	}
	n := c.Nodes[c.Node]
	i := wireguard.Interface{PrivateKeyFile: c.PrivateKeyFile, Addresses: n.Addresses, MTU: uint16(c.mtu()),
		ListenPort: n.ListenPort, Zone: c.zone(), Route: wireguard.RouteSplit, Peers: map[string]wireguard.Peer{}}
	if i.ListenPort == 0 && n.Endpoint != "" {
		_, i.ListenPort, _ = wireguard.SplitEndpoint(n.Endpoint, false) // judged
	}
	for _, w := range c.wires() {
		name, _, _, ok := w.other(c.Node)
		if !ok {
			continue
		}
		far := c.Nodes[name]
		p := wireguard.Peer{PublicKey: far.PublicKey, Endpoint: far.Endpoint}
		for _, text := range far.Addresses {
			a, _ := netip.ParsePrefix(text) // judged
			p.AllowedIPs = append(p.AllowedIPs, netip.PrefixFrom(a.Addr(), a.Addr().BitLen()).String())
		}
		if n.Endpoint == "" {
			p.PersistentKeepalive = keepalive
		}
		i.Peers[name] = p
	}
	return wireguard.Config{c.Device(): i}
}

// guardPriority is before everything that lets packets in.
const guardPriority = -300

// Guard is the fragment of the own table that drops what comes to the port of the wires by anything but
// the tunnel, this machine's own programs included, and what is sent to all on a LAN. It stands where the
// kernel has put fragments together again (ip_local_deliver in net/ipv4/ip_input.c). It has no chain
// where there is no overlay.
func (c Config) Guard() nft.Table {
	t := nft.Table{Family: nft.OwnFamily, Name: nft.OwnTable}
	if !c.Enabled() {
		return t
	}
	t.Chains = []nft.Chain{{Name: "overlay-raw", Comment: "wires take frames from the tunnel only",
		Rules: []nft.Rule{match.Rule("not from "+c.Device(), match.Not(match.IIFName(c.Device())), match.DPort(match.UDP, c.port()), match.Drop())},
		Base:  &nft.Base{Type: "filter", Hook: "input", Priority: guardPriority, Policy: "accept"}}}
	return t
}

func (c Config) port() uint16 { return cmp.Or(c.Port, vxlan.Port) }

// Plan says what should exist beside the tunnel and the guard. Nothing is wanted when c is empty.
func Plan(in Input, c Config) (Result, error) {
	var r Result
	var errs []error
	for _, p := range c.Problems() {
		errs = append(errs, fmt.Errorf("routing.overlay.%s: %s", p.Path, p.Text))
	}
	if err := errors.Join(errs...); err != nil || !c.Enabled() {
		return r, err
	}
	own, all := c.Nodes[c.Node], c.wires()
	if k := in.PrivateKey; k != (wgresource.Key{}) && k.Public().String() != own.PublicKey {
		return r, fmt.Errorf("routing.overlay.private-key-file: the key in %s is that of %s, and not of %s: give this machine the key of its own, or say its name under node", c.PrivateKeyFile, c.called(k.Public().String()), c.Node)
	}
	const key = "routing.overlay"
	add := func(w ...provision.Want) { r.Desired.Wants = append(r.Desired.Wants, w...) }
	delay, hello, age := c.times()
	add(bridge.WantTree(c.Switch(), mac("bridge", c.Node), bridge.Tree{Priority: own.rank(), ForwardDelay: delay, HelloTime: hello, MaxAge: age}, key))
	size := c.size(all)
	near := c.Neighbours()
	for _, w := range all {
		name, local, remote, ok := w.other(c.Node)
		if !ok {
			continue
		}
		dev, why := wireName(name), "wire to "+name
		port := bridge.CostPort("name:"+dev, c.Switch(), w.cost, why)
		if n := near[slices.IndexFunc(near, func(n Neighbour) bool { return n.Node == name })]; n.Measured {
			port = bridge.Port("name:"+dev, c.Switch(), why) // the watch has its cost
		}
		add(vxlan.Want(vxlan.Spec{Name: dev, VNI: w.vni, Local: local, Remote: remote, Port: c.port(), Dev: c.Device(),
			MAC: mac("wire", c.Node, name), TxChecksum: c.TxChecksum}, why),
			port,
			link.UpMTU("name:"+dev, c.mtu()-vxlan.Overhead(remote), why))
	}
	selector := "name:" + c.Switch()
	for _, text := range own.BridgeAddresses {
		a, _ := netip.ParsePrefix(text) // judged
		add(address.Want(selector, a, key+".nodes."+c.Node+".bridge-addresses"))
	}
	add(link.UpMTU(selector, size, key))

	r.Intents.Members = []intent.Member{{Zone: c.zone(), Interfaces: []string{c.Switch()}, Joins: true, Why: key}}
	r.Intents.Services = []intent.Service{{Name: "vxlan", Interfaces: []string{c.Device()}, Proto: "udp", Ports: []uint16{c.port()}, Why: key}}
	r.notes(c, in.Facts)
	return r, nil
}

// called is the node with a public key, in words.
func (c Config) called(public string) string {
	for _, name := range c.names() {
		if c.Nodes[name].PublicKey == public {
			return name
		}
	}
	return "none of the nodes (its public key is " + public + ")"
}

// rank is the node's priority in the tree.
func (n Node) rank() uint16 {
	switch {
	case n.Priority != nil:
		return *n.Priority
	case n.Endpoint == "":
		return leafRank
	}
	return priority
}

// notes tell what a person should know.
func (r *Result) notes(c Config, f *facts.Facts) {
	note := func(format string, args ...any) {
		r.Desired.Notes = append(r.Desired.Notes, provision.Note{Level: "warning", Subject: "routing.overlay", Text: fmt.Sprintf(format, args...)})
	}
	if delay, _, age := c.times(); 2*(delay.Seconds()-1) < age.Seconds() {
		note("with a forward-delay of %s and a max-age of %s a wire may carry frames before every node knows of a change, and frames go round until then: IEEE 802.1D wants a forward-delay of %s s or more",
			delay, age, strconv.FormatFloat(age.Seconds()/2+1, 'g', -1, 64))
	}
	if f == nil {
		return
	}
	if l, ok := f.LinkByName(c.Switch()); ok && l.Kind != "bridge" {
		note("%s is a device of another kind here: choose another name under bridge", c.Switch())
	}
}
