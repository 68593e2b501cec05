package lease

import (
	"errors"
	"net/netip"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// What Propose and Bind refuse.
var (
	ErrNoNetwork     = errors.New("no such network")
	ErrExhausted     = errors.New("no free address")
	ErrReservedInUse = errors.New("the reserved address is in use")
	ErrTaken         = errors.New("another client has the address")
	ErrOutside       = errors.New("the address is in no pool of the network")
	ErrReserved      = errors.New("the address, or another one for this client, is reserved")
)

// DefaultSlack is the share of a lease time by which storage is told to hold an address longer than the client is, so
// that not every renewal is a write.
const DefaultSlack = 0.5

// Options of a Table.
type Options struct {
	Clock clock.Clock // for Addrs and Name, which are asked without a time
	// Slack is the share, see DefaultSlack; 0 writes every renewal.
	Slack float64
}

// Proposal is an address held for a client.
type Proposal struct {
	Lease Lease
	// Probe: somebody unknown may be using the address. False if this client itself had it last.
	Probe bool
}

// Record is what must be on stable storage before the client may be told. It is the lease as it then is: Bound (the
// storage holds it until Durable), Released, Expired, or Declined (until Expiry).
type Record struct {
	Lease
	At   clock.Instant // when it was made
	Left netip.Addr    // the address that the client held before in this network and has no more; invalid if none
}

// Record is the lease as one, for what Advance returned: worth writing for the history, but nothing waits for it.
func (l Lease) Record(now clock.Instant) Record { return Record{Lease: l, At: now} }
