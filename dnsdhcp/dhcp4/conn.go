package dhcp4

import (
	"context"
	"net/netip"

	"github.com/provision-net/provision/dnsdhcp/lease"
)

// Ports of RFC 2131 section 4.1.
const (
	ServerPort = 67
	ClientPort = 68
)

// Datagram is one UDP payload that came in on ServerPort.
type Datagram struct {
	// Payload is the reader's buffer: ReadBatch fills it up to its capacity and sets its length. What does not fit is cut
	// off; a DHCP message is at most as long as the link's MTU allows.
	Payload []byte
	From    netip.AddrPort
	To      netip.Addr // the destination in the IP header (IP_PKTINFO ipi_addr): 255.255.255.255, or an address of ours
	IfIndex int        // the interface it came in on (IP_PKTINFO ipi_ifindex), as the kernel says and not as the socket was bound
}

// Conn is the socket of one link, at one incarnation of that link.
type Conn interface {
	// ReadBatch waits for at least one datagram and fills as many of ds as are there. It returns net.ErrClosed after
	// Close; any other error is the end of this Conn as well (the link went away), passing ones are retried inside.
	ReadBatch(ds []Datagram) (n int, err error)
	// Send puts one message on the wire, from ServerPort of to.From. It may be called from several goroutines at once,
	// does not keep payload, and does not wait for anything but the kernel's send buffer: a full one is an error.
	Send(to Dest, payload []byte) error
	Close() error
}

// How a reply reaches its client (RFC 2131 section 4.1).
type Path uint8

const (
	// Unicast is a normal UDP datagram to To: a relay, or a client whose address works (ciaddr).
	Unicast Path = iota + 1
	// Broadcast goes to 255.255.255.255 and, on Ethernet, to ff:ff:ff:ff:ff:ff, whatever the routes say.
	Broadcast
	// Direct is a frame to the hardware address HW with To as IP destination: the client does not answer ARP for it yet.
	// Where the link has no such addresses (a tunnel, HW.Addr not 6 bytes) it goes out as Broadcast does.
	Direct
)

// Dest is where a reply goes.
type Dest struct {
	Path    Path
	IfIndex int            // out by this interface
	From    netip.Addr     // source address; an address of the link
	To      netip.AddrPort // Unicast: the relay or client; Broadcast: 255.255.255.255:68; Direct: yiaddr:68
	HW      lease.HW       // Direct only
}

// Prober asks whether an address is in use, by ARP (RFC 5227 section 2.1.1: sender address 0.0.0.0).
type Prober interface {
	// Probe returns at once. done is called exactly once, from any goroutine but not from inside of Probe: as soon as
	// somebody claims addr (inUse, and who; also if that is the asking client itself, the server sorts that out), or with
	// false when ctx ends, whose deadline is the length of the probe (some 300 ms), or when it could not be sent.
	Probe(ctx context.Context, ifindex int, addr netip.Addr, done func(inUse bool, by lease.HW))
}
