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
	"strings"

	keys "github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing"
	"github.com/provision-net/provision/routing/wireguard"
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

// chooseOf is the interface of c that is meant. The tunnel below an overlay is meant by its name only: its peers
// are the nodes, which the overlay's description has.
func chooseOf(c routing.Config, name string) (string, error) {
	if name != "" {
		return chooseTunnel(c.WireGuard, name)
	}
	all := maps.Clone(c.WireGuard)
	for below := range c.Overlay.WireGuard() {
		delete(all, below)
	}
	return chooseTunnel(all, name)
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
