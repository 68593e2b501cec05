// Package netset makes the small changes by which a keeper repairs the kernel's network state:
// a route put in its place again, a neighbour answered for. It asks nothing and decides nothing.
package netset

import (
	"errors"
	"net/netip"
)

// Route is a unicast route with one next hop.
type Route struct {
	Table    uint32
	Dst      netip.Prefix // a default route has 0.0.0.0/0 or ::/0
	Index    int          // of the device
	Gateway  netip.Addr   // none: the destination is on the link
	Metric   uint32       // 0: none for IPv4, the kernel's 1024 for IPv6
	Src      netip.Addr   // preferred source address, none: the kernel chooses
	Protocol uint8        // rtnetlink(7), RTPROT_*
	OnLink   bool         // the gateway is on the link although no route says so
}

// Neighbour is an address that this machine answers for on a device (proxy ARP, proxy NDP).
type Neighbour struct {
	Index int
	Addr  netip.Addr
}

// ErrUnsupported says that this system has no rtnetlink.
var ErrUnsupported = errors.New("routes can be changed on Linux only")
