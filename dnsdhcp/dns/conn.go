package dns

import (
	"net"
	"net/netip"
)

// Datagram is one UDP message with both of its ends. Addresses carry no zone and no IPv4-mapped form: which link a
// link-local address belongs to is IfIndex's to say.
type Datagram struct {
	// Buf is the message. Before reading its length is the room there is; reading cuts it to what came.
	Buf []byte
	// Peer is who sent it, or where it goes.
	Peer netip.AddrPort
	// Local is the address that the client asked (IP_PKTINFO, IPV6_RECVPKTINFO): the reply leaves from it, else
	// clients drop it. Invalid when writing lets the kernel choose.
	Local netip.Addr
	// IfIndex is the interface of arrival, and the one that the reply leaves by; 0 when writing lets the routing table choose.
	IfIndex int
	// Cut says that the message was longer than Buf (MSG_TRUNC).
	Cut bool
}

// PacketConn is a UDP socket of port 53, one per link and worker. It is made for recvmmsg(2) and sendmmsg(2), and one
// datagram at a time is a lawful implementation. ReadBatch and WriteBatch may be called from different goroutines, and
// WriteBatch from several.
type PacketConn interface {
	// ReadBatch waits for at least one datagram and fills d from the start; it does not wait for more. Errors that
	// concern a single datagram (ICMP of an earlier reply) are not returned. After Close it returns net.ErrClosed.
	ReadBatch(d []Datagram) (int, error)
	// WriteBatch sends all of d as far as possible: one that cannot be sent does not keep the following back. It
	// returns how many were sent and the last error.
	WriteBatch(d []Datagram) (int, error)
	Close() error
}

// Stream is an accepted TCP connection with what UDP learns from pktinfo. The addresses are without zone.
type Stream struct {
	net.Conn
	Peer    netip.AddrPort
	Local   netip.Addr
	IfIndex int // the link that the listening socket is bound to
}

// Listener is a TCP socket of port 53, one per link. After Close Accept returns net.ErrClosed; other errors are
// taken for passing ones (EMFILE, ECONNABORTED).
type Listener interface {
	Accept() (Stream, error)
	Close() error
}
