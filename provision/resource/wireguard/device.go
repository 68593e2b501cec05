package wireguard

import (
	"net/netip"
	"time"
)

// Device is a device as it is, with its peers, whoever carries it.
type Device struct {
	Name       string
	Index      int
	Up         bool
	Alias      string
	Userspace  bool
	PrivateKey Key
	PublicKey  Key // of PrivateKey; zero when there is none
	ListenPort uint16
	Fwmark     uint32
	Peers      []Peer
}

// Peer is one peer of a Device.
type Peer struct {
	PublicKey           Key
	PresharedKey        Key
	Endpoint            netip.AddrPort // from where it was heard last; invalid when it is not known
	PersistentKeepalive uint16         // seconds
	AllowedIPs          []netip.Prefix
	LastHandshake       time.Time // zero: never
	Received, Sent      uint64    // bytes, with what WireGuard adds to them
}

// Peer is the peer with this key, nil when there is none.
func (d *Device) Peer(public Key) *Peer {
	for i := range d.Peers {
		if d.Peers[i].PublicKey == public {
			return &d.Peers[i]
		}
	}
	return nil
}

// ours reports whether this program made the device. One that is unmarked, down and empty is what a
// crash between its making and its marking leaves.
func (d *Device) ours() bool {
	return d.Alias == Owner || d.Alias == "" && !d.Up && d.PrivateKey == Key{} && len(d.Peers) == 0
}

// change is what a device is told. What is nil, or invalid, stays as it is.
type change struct {
	privateKey   *Key
	listenPort   *uint16
	fwmark       *uint32
	replacePeers bool // forget all peers first
	peers        []peerChange
}

func (c change) empty() bool {
	return c.privateKey == nil && c.listenPort == nil && c.fwmark == nil && !c.replacePeers && len(c.peers) == 0
}

// peerChange is what it is told about one peer, which is made unless updateOnly is set.
type peerChange struct {
	publicKey          Key
	remove, updateOnly bool
	presharedKey       *Key
	endpoint           netip.AddrPort
	keepalive          *uint16
	replaceAllowed     bool // forget all its prefixes first
	allowed            []netip.Prefix
}
