package agent

import (
	"maps"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/routing/foreign"
	"github.com/provision-net/provision/routing/wireguard"
)

// tunnels is the configuration while a command changes it.
type tunnels struct {
	file   wireguard.Config // what the configuration file says
	added  wireguard.Added  // what commands added
	all    wireguard.Config // both
	facts  *facts.Facts
	edits  []wireguardEdit
	device string
	// whole: an interface goes, and everything that was there for it.
	whole bool
	// keys are the public keys of the peers that change, or are nil where an interface does: then nothing
	// but these of all the peers is looked at.
	keys map[string]bool
	// notes are what the plan says of the tunnels.
	notes []provision.Note
	// flows are what the policy lets through.
	flows []foreign.Flow
}

// copy is what commands added, to change it.
func (t *tunnels) copy() wireguard.Added {
	out := wireguard.Added{Interfaces: maps.Clone(t.added.Interfaces), Peers: maps.Clone(t.added.Peers)}
	for name, peers := range out.Peers {
		out.Peers[name] = maps.Clone(peers)
	}
	return out
}

// setInterface keeps an interface; nil takes it away with its peers.
func (t *tunnels) setInterface(name string, i *wireguard.Interface) {
	_, had := t.added.Interfaces[name]
	t.keys = nil
	if i == nil {
		for peer := range t.added.Peers[name] {
			t.edits = append(t.edits, wireguardEdit{device: name, peer: peer})
		}
		t.edits = append(t.edits, wireguardEdit{device: name})
		delete(t.added.Peers, name)
		delete(t.added.Interfaces, name)
		t.whole = true
		return
	}
	t.edits = append(t.edits, wireguardEdit{device: name, data: wireguard.EncodeInterface(*i), fresh: !had})
	t.added.Interfaces[name] = *i
}

// setPeer keeps a peer; nil takes it away.
func (t *tunnels) setPeer(device, name string, p *wireguard.Peer) {
	was, had := t.added.Peers[device][name]
	if t.keys != nil {
		if t.keys[was.PublicKey] = true; p != nil {
			t.keys[p.PublicKey] = true
		}
	}
	if p == nil {
		t.edits = append(t.edits, wireguardEdit{device: device, peer: name})
		delete(t.added.Peers[device], name)
		return
	}
	t.edits = append(t.edits, wireguardEdit{device: device, peer: name, data: wireguard.EncodePeer(*p), fresh: !had})
	if t.added.Peers[device] == nil {
		t.added.Peers[device] = map[string]wireguard.Peer{}
	}
	t.added.Peers[device][name] = *p
}
