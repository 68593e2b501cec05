package socket

import (
	"net/netip"
)

// ethernet is ARPHRD_ETHER of if_arp.h.
const ethernet = 1

const (
	family4 = iota + 1
	family6
	familyBoth // one socket; IPv4 alone where there is no IPv6
)

// udpOptions is what distinguishes the UDP sockets.
type udpOptions struct {
	purpose   string
	family    int
	addr      netip.Addr // the zero Addr is every address
	port      uint16
	shared    bool // SO_REUSEADDR: others who set it as well may have the same port
	reusePort bool // SO_REUSEPORT before the bind
	letReuse  bool // SO_REUSEPORT after the bind
	broadcast bool
	groups    []netip.Addr
	hops      int // TTL and hop limit, 0 for the system's
	buffer    int // bytes, 0 for the system's
}

// failure is what explain needs to know.
type failure struct {
	purpose string
	link    string
	addr    netip.Addr
	proto   string // udp, tcp
	port    uint16
}
