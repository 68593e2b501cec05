package agent

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"

	keys "github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/wireguard"
	"github.com/provision-net/provision/routing/wireguard/key"
)

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
	if out.Interface, err = chooseOf(c, device); err != nil {
		return out, err
	}
	i := c.WireGuard[out.Interface]
	p, ok := i.Peers[name]
	if !ok {
		return out, noPeer(out.Interface, i, name)
	}
	out.PublicKey = p.PublicKey
	out.Addresses = append(out.Addresses, p.AllowedIPs...)
	if added, err := a.wireguardAdded(); err == nil {
		if _, ok := added.Peers[out.Interface][name]; ok {
			out.File = wireguardFile(out.Interface, name)
		}
	}
	return out, a.sideOf(out.Interface, i, name, keys.Key{}, &out)
}
