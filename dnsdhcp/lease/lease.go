// Package lease is the one truth about who holds which IPv4 address: the table that allots addresses, and what makes
// it durable. It knows addresses, clients and time, but no packets.
package lease

import (
	"net/netip"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// Key is a client's identity inside a network, compared as opaque bytes (RFC 4361 section 6.3): 'i' and the client
// identifier, or 'h', the hardware type and the hardware address (RFC 2131 section 4.2).
type Key string

// HW is a hardware address: the type of RFC 1700 (1 is Ethernet) and at most 16 bytes.
type HW struct {
	Type uint8
	Addr string // raw bytes
}

// Client is who asks.
type Client struct {
	Key      Key
	HW       HW
	ClientID string // option 61 as sent, raw; empty if absent
	Hostname string // the one label that it would like to be known by, already checked; empty for none
	Agent    string // option 82 as relayed, raw
}

// State of an address that is not free.
type State uint8

const (
	Offered  State = iota + 1 // held for a client that has not answered yet; in memory only
	Bound                     // acknowledged
	Released                  // given back, remembered for its last holder
	Expired                   // ran out, remembered for its last holder
	Declined                  // in use by somebody unknown; nobody gets it until Expiry
)

// Lease is one address and its present or last holder.
type Lease struct {
	Client
	Network string // name of the network that the address was allotted from
	Addr    netip.Addr
	State   State
	Since   clock.Instant // when this client got it
	Expiry  clock.Instant // what the client was told last; Forever for an infinite lease
	Durable clock.Instant // up to when stable storage holds the address for this client; never before what was acknowledged
	// Reserved: the configuration gives this address to this client.
	Reserved bool
}

// Forever is the expiry of an infinite lease (RFC 2131 section 3.3: 0xffffffff).
const Forever = clock.Never
