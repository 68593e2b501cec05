package wireguard

import (
	"fmt"
	"net/netip"

	"github.com/provision-net/provision/provision"
)

// batch is what is asked of one device.
type batch struct {
	name    string
	device  *Device
	peers   map[Key]*Peer
	owner   map[netip.Prefix]Key // of what is wanted
	changes []peerChange
	lose    []netip.Prefix // what a peer has and is not to have any more
	gone    int
	made    int
}

// add judges one step.
func (b *batch) add(s provision.Step, public Key) error {
	now := b.peers[public]
	if stalePeer(now, s.Have, s.Want) {
		return fmt.Errorf("wireguard-peer %s: %w", s.Name, provision.ErrStale)
	}
	switch {
	case s.Want == nil && now == nil:
		return nil
	case s.Want == nil:
		b.changes = append(b.changes, peerChange{publicKey: public, remove: true})
		b.gone++
		return nil
	case b.device == nil:
		return fmt.Errorf("wireguard-peer %s: there is no WireGuard device %s yet: %w", s.Name, b.name, provision.ErrPending)
	case public == b.device.PublicKey:
		return fmt.Errorf("wireguard-peer %s: this is the device's own key: the peer needs a key of its own", s.Name)
	}
	c, allowed, err := peerWant(s.Name, public, now, s.Want)
	if err != nil {
		return err
	}
	had := map[netip.Prefix]bool{}
	if now != nil {
		for _, p := range now.AllowedIPs {
			had[p] = true
		}
	} else {
		b.made++
	}
	for _, p := range allowed {
		if other, ok := b.owner[p]; ok && other != public {
			return fmt.Errorf("wireguard-peer %s: %s is an allowed-ip of the peer %s too: the device sends it to one of them", s.Name, p, other)
		}
		b.owner[p] = public
		if !had[p] {
			c.allowed = append(c.allowed, p)
		}
		delete(had, p)
	}
	for p := range had {
		b.lose = append(b.lose, p)
	}
	if c.updateOnly && c.presharedKey == nil && !c.endpoint.IsValid() && c.keepalive == nil && len(c.allowed) == 0 {
		return nil
	}
	b.changes = append(b.changes, c)
	return nil
}

// stalePeer reports whether now is no longer have, as far as want is about it. Where a peer is heard
// changes by itself.
func stalePeer(now *Peer, have, want provision.Attrs) bool {
	if (now == nil) != (have == nil) {
		return true
	}
	if now == nil {
		return false
	}
	attrs := now.attrs()
	for k := range want {
		if k != AttrEndpoint && attrs[k] != have[k] {
			return true
		}
	}
	return false
}

// bin is the peer that takes prefixes away from others. No key of X25519 that anybody has is this one.
func bin() Key {
	var k Key
	copy(k[:], "prefixes that nobody is to have")
	return k
}

// change is what the device is told. A prefix can be taken from a peer, without taking all of them for
// a moment, by giving it to another one: to one that goes at once. (Kernels since 6.17 and recent
// userspace devices can take a single one; this works with all.)
func (b *batch) change() change {
	if b.device != nil && b.gone > 1 && b.made == 0 && b.gone == len(b.device.Peers) {
		return change{replacePeers: true} // the kernel waits once for its readers, and not for each peer
	}
	peers := b.changes
	var lose []netip.Prefix
	for _, p := range b.lose {
		if _, wanted := b.owner[p]; !wanted {
			lose = append(lose, p)
		}
	}
	if len(lose) > 0 {
		peers = append(peers[:len(peers):len(peers)], peerChange{publicKey: bin(), allowed: lose}, peerChange{publicKey: bin(), remove: true})
	}
	return change{peers: peers}
}

// back is what the device is told when change has failed half-way.
func (b *batch) back() change {
	var c change
	seen := map[Key]bool{}
	undo := func(public Key) {
		p := b.peers[public]
		switch {
		case seen[public]:
		case p == nil:
			c.peers = append(c.peers, peerChange{publicKey: public, remove: true})
		default:
			c.peers = append(c.peers, peerChange{publicKey: public, presharedKey: &p.PresharedKey, endpoint: p.Endpoint,
				keepalive: &p.PersistentKeepalive, replaceAllowed: true, allowed: p.AllowedIPs})
		}
		seen[public] = true
	}
	undo(bin())
	for _, ch := range b.changes {
		undo(ch.publicKey)
	}
	// Whoever a prefix was taken from.
	for public, p := range b.peers {
		for _, a := range p.AllowedIPs {
			if _, ok := b.owner[a]; ok {
				undo(public)
			}
		}
	}
	for _, a := range b.lose {
		for public, p := range b.peers {
			for _, x := range p.AllowedIPs {
				if x == a {
					undo(public)
				}
			}
		}
	}
	return c
}
