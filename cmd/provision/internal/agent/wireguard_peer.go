package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	keys "github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/wireguard"
	"github.com/provision-net/provision/routing/wireguard/addressing"
	"github.com/provision-net/provision/routing/wireguard/conf"
	"github.com/provision-net/provision/routing/wireguard/key"
)

// Words of WireguardPeer.Route.
const (
	PeerFull  = "full"  // everything
	PeerSplit = "split" // the tunnel's networks, and the LANs of this machine
	PeerLAN   = "lan"   // the LANs alone, and this machine itself
)

// WireguardPeer says what a peer is to be.
type WireguardPeer struct {
	WireguardOptions
	Name string
	// PublicKey is given where the private key never leaves the peer.
	PublicKey string
	KeepKey   bool
	// Route is what the peer sends by the tunnel; AllowedIPs says it in detail, and Except leaves something
	// out of everything.
	Route      string
	AllowedIPs []netip.Prefix
	Except     []netip.Prefix
	DNS        []string
	Keepalive  *uint16 // of the peer's side, in seconds
	MTU        uint16
	Addresses  []netip.Prefix
	Behind     []netip.Prefix // networks behind the peer
	Endpoint   string         // where the peer finds this machine, if not where the others do
	Call       string         // where this machine finds the peer
	// Fits judges the text of the QR code before anything is made; nil takes all.
	Fits func(compact string) error
}

// natKeepalive keeps the way through a NAT open: most of them forget UDP after 30 seconds at the earliest
// (RFC 4787 section 4.3 wants two minutes, and few have it).
const natKeepalive = 25

// WireguardAdd makes a peer while the others keep flowing.
func (a *Agent) WireguardAdd(ctx context.Context, o WireguardPeer) (WireguardOutcome, error) {
	out := WireguardOutcome{Peer: o.Name}
	err := a.changing(ctx, o.WireguardOptions, &out, func(t *tunnels) error {
		i, err := t.choose(o.Interface, &out)
		if err != nil {
			return err
		}
		if why := wireguard.BadPeer(o.Name); why != "" {
			return UsageError{errors.New(why)}
		}
		if _, there := i.Peers[o.Name]; there {
			return UsageError{fmt.Errorf("there is a peer %s of %s already: `provision wireguard show %s` shows it, `rotate` gives it new keys, `remove` takes it away", o.Name, t.device, o.Name)}
		}
		p, private, err := t.peer(i, o, &out)
		if err != nil {
			return err
		}
		return a.finish(t, i, o, p, private, &out)
	})
	return out, err
}

// choose is the interface that is meant.
func (t *tunnels) choose(name string, out *WireguardOutcome) (wireguard.Interface, error) {
	name, err := chooseTunnel(t.all, name)
	t.device, out.Interface = name, name
	return t.all[name], err
}

func chooseTunnel(all wireguard.Config, name string) (string, error) {
	names := slices.Sorted(maps.Keys(all))
	switch {
	case len(names) == 0:
		return name, UsageError{errors.New("there is no WireGuard interface: `provision wireguard init` makes one")}
	case name == "" && len(names) == 1:
		return names[0], nil
	case name == "":
		return name, UsageError{fmt.Errorf("there are %s: say which one with --interface", strings.Join(names, ", "))}
	case !all.Has(name):
		return name, UsageError{fmt.Errorf("there is no WireGuard interface %s: there is %s", name, strings.Join(names, ", "))}
	}
	return name, nil
}

// peer makes a peer of what is said.
func (t *tunnels) peer(i wireguard.Interface, o WireguardPeer, out *WireguardOutcome) (p wireguard.Peer, private keys.Key, err error) {
	c := &wireguard.Client{DNS: o.DNS, MTU: o.MTU, Endpoint: o.Endpoint}
	p = wireguard.Peer{Endpoint: o.Call, Client: c}
	if private, err = newKeys(&p, o.PublicKey, o.KeepKey); err != nil {
		return p, private, err
	}
	own := o.Addresses
	if len(own) == 0 {
		if own, err = t.next(i); err != nil {
			return p, private, UsageError{err}
		}
	}
	for _, a := range own {
		if !a.IsSingleIP() {
			return p, private, UsageError{fmt.Errorf("--address %s is a network: a peer has single addresses, and --behind for the networks behind it", a)}
		}
		p.AllowedIPs = append(p.AllowedIPs, a.String())
		out.Addresses = append(out.Addresses, a.String())
	}
	for _, b := range o.Behind {
		p.AllowedIPs = append(p.AllowedIPs, b.String())
	}
	switch {
	case o.Keepalive != nil:
		c.PersistentKeepalive = *o.Keepalive
	case o.Call == "": // who has to be called has no NAT in the way
		c.PersistentKeepalive = natKeepalive
	}
	routes, err := t.routesOf(i, o, out)
	for _, r := range routes {
		c.AllowedIPs = append(c.AllowedIPs, r.String())
	}
	return p, private, err
}

// newKeys gives a peer its keys. private is zero where it never leaves the peer.
func newKeys(p *wireguard.Peer, public string, keep bool) (private keys.Key, err error) {
	psk, err := key.NewPreshared(rand.Reader)
	if err != nil {
		return private, err
	}
	p.PresharedKey, p.PresharedKeyFile = psk.String(), ""
	p.Client.PrivateKey = ""
	if public != "" {
		k, err := keys.ParseKey(public)
		if err == nil && k == (keys.Key{}) {
			err = keys.ErrKey
		}
		if err != nil {
			return private, UsageError{fmt.Errorf("--public-key: %w", err)}
		}
		p.PublicKey = k.String()
		return private, nil
	}
	pair, err := key.NewPair(rand.Reader)
	if err != nil {
		return private, err
	}
	p.PublicKey = pair.Public.String()
	if keep {
		p.Client.PrivateKey = pair.Private.String()
	}
	return pair.Private, nil
}

// next are the first addresses that are nobody's: one of each network of the interface, with the same
// number in all of them.
func (t *tunnels) next(i wireguard.Interface) ([]netip.Prefix, error) {
	used := used(i)
	var nets []netip.Prefix
	for _, text := range i.Addresses {
		if p, err := netip.ParsePrefix(text); err == nil && !p.IsSingleIP() {
			nets = append(nets, p)
		}
	}
	plan := addressing.Of(nets)
	for {
		own, err := plan.Next(used)
		if err != nil {
			return nil, err
		}
		number := uint32(0)
		last := own[len(own)-1].Addr().AsSlice()
		for n, b := range plan.Networks()[len(own)-1].Addr().AsSlice() {
			number = number<<8 | uint32(last[n]^b)
		}
		clash := false
		for _, n := range nets {
			more := addressing.Of([]netip.Prefix{n})
			if slices.Contains(plan.Networks(), n.Masked()) {
				continue
			}
			host, err := more.Host(number)
			if err != nil {
				return nil, err
			}
			a := netip.PrefixFrom(host[0].Addr(), host[0].Addr().BitLen())
			clash = clash || slices.ContainsFunc(used, func(u netip.Prefix) bool { return u.Bits() > 0 && u.Overlaps(a) })
			own = append(own, a)
		}
		if !clash {
			return own, nil
		}
		used = append(used, own...)
	}
}

// used are all addresses that somebody in the tunnel has.
func used(i wireguard.Interface) []netip.Prefix {
	var out []netip.Prefix
	add := func(list []string) {
		for _, text := range list {
			if p, err := netip.ParsePrefix(text); err == nil {
				out = append(out, p)
			} else if a, err := netip.ParseAddr(text); err == nil {
				out = append(out, netip.PrefixFrom(a, a.BitLen()))
			}
		}
	}
	for _, text := range i.Addresses {
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
		}
	}
	for _, p := range i.Peers {
		add(p.AllowedIPs)
		if p.Client != nil {
			add(p.Client.Addresses)
		}
	}
	return out
}

// routesOf is what the peer sends by the tunnel; nil is everything.
func (t *tunnels) routesOf(i wireguard.Interface, o WireguardPeer, out *WireguardOutcome) ([]netip.Prefix, error) {
	if len(o.AllowedIPs) > 0 {
		return o.AllowedIPs, nil
	}
	if len(o.Except) > 0 {
		if o.Route != "" && o.Route != PeerFull {
			return nil, UsageError{errors.New("--except leaves something out of everything: it goes with --route full")}
		}
		return addressing.Except(o.Except), nil
	}
	var list []netip.Prefix
	for _, text := range i.Addresses {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			continue
		}
		if o.Route == PeerLAN {
			p = netip.PrefixFrom(p.Addr(), p.Addr().BitLen())
		}
		list = append(list, p.Masked())
	}
	switch o.Route {
	case "", PeerFull:
		return nil, nil
	case PeerSplit, PeerLAN:
	default:
		return nil, UsageError{fmt.Errorf("--route %q is not one of %s, %s, %s", o.Route, PeerFull, PeerSplit, PeerLAN)}
	}
	lans := addressing.LANs(t.facts, t.device)
	switch {
	case len(lans) == 0 && o.Route == PeerLAN:
		return nil, UsageError{errors.New("this machine is in no private network that could be reached: name networks with --allowed-ips")}
	case len(i.Reach) == 0:
		out.note("warning", t.device, "its reach is empty, so peers reach this machine alone: `provision wireguard init %s --reach internet` lets them through", t.device)
	}
	return addressing.Tidy(append(list, lans...)), nil
}

// finish keeps the peer and makes the file of its side.
func (a *Agent) finish(t *tunnels, i wireguard.Interface, o WireguardPeer, p wireguard.Peer, private keys.Key, out *WireguardOutcome) error {
	name := o.Name
	out.File, out.PublicKey = wireguardFile(t.device, name), p.PublicKey
	i.Peers = maps.Clone(i.Peers)
	if i.Peers == nil {
		i.Peers = map[string]wireguard.Peer{}
	}
	i.Peers[name] = p
	if err := a.sideOf(t.device, i, name, private, out); err != nil {
		if p.Endpoint == "" {
			return err
		}
		out.note("info", t.device, "no file is made for the other side, which this machine calls: %v", err)
	}
	if o.Fits != nil && out.Compact != "" {
		if err := o.Fits(out.Compact); err != nil {
			return fmt.Errorf("nothing was made: %w", err)
		}
	}
	t.setPeer(t.device, name, &p)
	return nil
}

// sideOf fills in the file of the peer's side.
func (a *Agent) sideOf(device string, i wireguard.Interface, name string, private keys.Key, out *WireguardOutcome) error {
	k, err := a.keysOf(device, i, name)
	if err != nil {
		return err
	}
	f, err := conf.ForPeer(i, name, k, private)
	if err != nil {
		return UsageError{fmt.Errorf("%w (`provision wireguard init %s --endpoint NAME`, or --endpoint here)", err, device)}
	}
	out.Config, out.Compact = string(f.Phone()), string(f.Compact())
	out.Endpoint = f.Peers[0].Endpoint
	out.KeyShown = f.Interface.PrivateKey != (keys.Key{})
	if c := i.Peers[name].Client; c != nil {
		out.KeyKept = c.PrivateKey != ""
	}
	if !out.KeyShown {
		out.Config = strings.Replace(out.Config, "[Interface]\n", "[Interface]\n# PrivateKey = (it is not known here)\n", 1)
		out.Compact = ""
	}
	return nil
}

// keysOf reads the keys that the file of a peer's side is made with.
func (a *Agent) keysOf(device string, i wireguard.Interface, peers ...string) (conf.Keys, error) {
	k := conf.Keys{Preshared: map[string]keys.Key{}}
	read := func(at, text, path string) (keys.Key, error) {
		if path != "" {
			f := readKeyFile(filepath.Join(a.Root, path))
			switch {
			case f.Err != nil:
				return keys.Key{}, fmt.Errorf("cannot read the key of %s: %w", at, f.Err)
			case f.Mode.Perm()&0o077 != 0:
				return keys.Key{}, fmt.Errorf("%w: others may read %s (mode %04o), and it holds a key: chmod 600 %s", ErrConfig, path, f.Mode.Perm(), path)
			}
			text = strings.TrimSpace(string(f.Text))
		}
		key, err := keys.ParseKey(text)
		if err != nil {
			err = fmt.Errorf("%w: the key of %s: %w", ErrConfig, at, err)
		}
		return key, err
	}
	var err error
	if k.Private, err = read(device, i.PrivateKey, i.PrivateKeyFile); err != nil {
		return k, err
	}
	for _, name := range peers {
		p := i.Peers[name]
		if k.Preshared[name], err = read("peer "+name, p.PresharedKey, p.PresharedKeyFile); err != nil {
			return k, err
		}
	}
	return k, nil
}

// WireguardRemove takes away a peer, or with whole an interface and all its peers.
func (a *Agent) WireguardRemove(ctx context.Context, o WireguardOptions, peer string, whole bool) (WireguardOutcome, error) {
	out := WireguardOutcome{Peer: peer}
	err := a.changing(ctx, o, &out, func(t *tunnels) error {
		i, err := t.choose(o.Interface, &out)
		if err != nil {
			return err
		}
		out.File = wireguardFile(t.device, peer)
		if whole {
			if _, written := t.file[t.device]; written {
				return UsageError{fmt.Errorf("%s stands in %s, which commands do not change", t.device, a.Source)}
			}
			for name := range t.all[t.device].Peers {
				out.Again = append(out.Again, name)
			}
			sort.Strings(out.Again)
			t.setInterface(t.device, nil)
			return nil
		}
		p, err := t.mine(a, i, peer)
		if err != nil {
			return err
		}
		out.PublicKey = p.PublicKey
		t.setPeer(t.device, peer, nil)
		return nil
	})
	return out, err
}

// mine is a peer that a command added.
func (t *tunnels) mine(a *Agent, i wireguard.Interface, name string) (wireguard.Peer, error) {
	if p, ok := t.added.Peers[t.device][name]; ok {
		return p, nil
	}
	if _, written := i.Peers[name]; written {
		return wireguard.Peer{}, UsageError{fmt.Errorf("peer %s of %s stands in %s, which commands do not change", name, t.device, a.Source)}
	}
	return wireguard.Peer{}, noPeer(t.device, i, name)
}

func noPeer(device string, i wireguard.Interface, name string) error {
	names := slices.Sorted(maps.Keys(i.Peers))
	if len(names) > 12 {
		names = append(names[:12], "...")
	}
	if len(names) == 0 {
		return UsageError{fmt.Errorf("%s has no peer %s, and no other: `provision wireguard add %s` makes it", device, name, name)}
	}
	return UsageError{fmt.Errorf("%s has no peer %s: there is %s", device, name, strings.Join(names, ", "))}
}

// WireguardRotate gives a peer new keys, or the interface itself where name is empty.
func (a *Agent) WireguardRotate(ctx context.Context, o WireguardPeer) (WireguardOutcome, error) {
	out := WireguardOutcome{Peer: o.Name}
	err := a.changing(ctx, o.WireguardOptions, &out, func(t *tunnels) error {
		i, err := t.choose(o.Interface, &out)
		if err != nil {
			return err
		}
		if o.Name == "" {
			return t.rotateOwn(a, &out)
		}
		p, err := t.mine(a, i, o.Name)
		if err != nil {
			return err
		}
		c := wireguard.Client{}
		if p.Client != nil {
			c = *p.Client
		}
		keep := o.KeepKey || c.PrivateKey != ""
		p.Client = &c
		private, err := newKeys(&p, o.PublicKey, keep)
		if err != nil {
			return err
		}
		return a.finish(t, i, o, p, private, &out)
	})
	return out, err
}

// rotateOwn gives an interface a new key: every peer has to be told.
func (t *tunnels) rotateOwn(a *Agent, out *WireguardOutcome) error {
	i, ok := t.added.Interfaces[t.device]
	if !ok {
		return UsageError{fmt.Errorf("%s stands in %s, which commands do not change: put a new key into its file, and apply", t.device, a.Source)}
	}
	pair, err := key.NewPair(rand.Reader)
	if err != nil {
		return err
	}
	i.PrivateKey, i.PrivateKeyFile = pair.Private.String(), ""
	out.File, out.PublicKey, out.Addresses, out.ListenPort, out.Endpoint = wireguardFile(t.device, ""), pair.Public.String(), i.Addresses, i.ListenPort, i.PublicEndpoint
	out.Again = slices.Sorted(maps.Keys(t.all[t.device].Peers))
	t.setInterface(t.device, &i)
	return nil
}

// WireguardShow is the file of a peer's side, as far as its keys are known.
func (a *Agent) WireguardShow(device, name string) (WireguardOutcome, error) {
	out := WireguardOutcome{Peer: name}
	c, err := a.routingConfig()
	if err != nil {
		return out, err
	}
	if out.Interface, err = chooseTunnel(c.WireGuard, device); err != nil {
		return out, err
	}
	i := c.WireGuard[out.Interface]
	p, ok := i.Peers[name]
	if !ok {
		return out, noPeer(out.Interface, i, name)
	}
	out.PublicKey = p.PublicKey
	for _, a := range p.AllowedIPs {
		out.Addresses = append(out.Addresses, a)
	}
	if added, err := a.wireguardAdded(); err == nil {
		if _, ok := added.Peers[out.Interface][name]; ok {
			out.File = wireguardFile(out.Interface, name)
		}
	}
	return out, a.sideOf(out.Interface, i, name, keys.Key{}, &out)
}
