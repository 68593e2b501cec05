package lease

import (
	"net/netip"
)

// Range is the addresses from First to Last, both included.
type Range struct{ First, Last netip.Addr }

// Reservation ties an address or a name, or both, to a client, which is known by any of its hardware addresses or
// client identifiers: a hardware address matches also when a client identifier was sent, because boot loader, initrd
// and system of one machine send different ones.
type Reservation struct {
	Addr      netip.Addr // invalid: the name only
	HW        []HW
	ClientIDs []string // option 61, raw
	Name      string   // a label; empty: the address only
}

// Network is what addresses are allotted from. Reserved addresses may be inside or outside of the pools and go to
// nobody else. The first and the last address of the prefix (unless it is a /31 or /32), and any x.x.x.0 and x.x.x.255
// of a prefix shorter than /24, which old clients refuse, are never taken from a pool.
type Network struct {
	Name         string
	Prefix       netip.Prefix
	Pools        []Range
	Exclude      []netip.Addr
	Reservations []Reservation
}
