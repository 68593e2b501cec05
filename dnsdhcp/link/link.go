// Package link follows network interfaces by netlink: which there are, what they are called, which addresses they
// have. A missing interface is a state, not an error; one that is deleted and made again is another one.
package link

import (
	"net"
	"net/netip"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// Link is one interface at one moment. Index tells incarnations apart: a recreated interface has another one.
type Link struct {
	Name    string
	Index   int
	MAC     net.HardwareAddr
	MTU     int
	Up      bool // administratively (IFF_UP)
	Carrier bool // IFF_LOWER_UP
	Addrs   []Addr

	Type      uint16 // ARPHRD_ of if_arp.h: 1 is Ethernet, 772 the loopback, 65534 a tunnel without addresses
	Loopback  bool
	Multicast bool // IFF_MULTICAST
	Master    int  // index of the bridge or bond that the interface is a port of; 0 for none
}

// Addr is an address of an interface with its prefix (rtnetlink(7), IFA_ADDRESS or IFA_LOCAL, and IFA_CACHEINFO).
type Addr struct {
	Prefix     netip.Prefix // the address itself with the length of its prefix
	Tentative  bool         // duplicate address detection is not over (IFA_F_TENTATIVE without IFA_F_OPTIMISTIC), or has failed
	Temporary  bool         // IFA_F_TEMPORARY
	Deprecated bool
	// Preferred and Valid are the remaining lifetimes at the time At, when the kernel was asked; Infinite for no end.
	Preferred, Valid time.Duration
	At               clock.Instant
}

// LinkLocal returns the interface's IPv6 link-local address, once duplicate address detection is done with it; the zero
// Addr as long as there is none.
func (l Link) LinkLocal() netip.Addr {
	for _, a := range l.Addrs {
		if ip := a.Prefix.Addr(); ip.Is6() && ip.IsLinkLocalUnicast() && !a.Tentative {
			return ip
		}
	}
	return netip.Addr{}
}

// Infinite is a lifetime without an end (0xffffffff in rtnetlink).
const Infinite = time.Duration(1<<63 - 1)

// Neighbour is an entry of the kernel's neighbour table (ip-neighbour(8)).
type Neighbour struct {
	Index     int // of the interface
	Addr      netip.Addr
	MAC       net.HardwareAddr
	Reachable bool // confirmed lately: REACHABLE, DELAY, PROBE, PERMANENT; not STALE
	Gone      bool // the entry was deleted or has FAILED
}
