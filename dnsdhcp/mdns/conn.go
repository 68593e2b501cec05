package mdns

import "net/netip"

// Port is where multicast DNS is spoken (RFC 6762 section 3).
const Port = 5353

// The groups of RFC 6762 section 3.
var (
	Group4 = netip.AddrPortFrom(netip.AddrFrom4([4]byte{224, 0, 0, 251}), Port)
	Group6 = netip.AddrPortFrom(netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0xfb}), Port)
)

// Datagram is one UDP payload and the two ends of its way.
type Datagram struct {
	Data []byte
	// Peer is who sent it or who shall get it. Addresses carry no zone, the link is the Conn's, and IPv4 ones are
	// not mapped into IPv6.
	Peer netip.AddrPort
	// Local is the address that a received datagram was sent to: a group, or one of ours. Sending, it is the wanted
	// source address; invalid lets the kernel choose.
	Local netip.Addr
}

// Conn is port 5353 of one link in both families, and nothing of any other link: joined to both groups on this one
// interface, bound to it (SO_BINDTODEVICE), sharing the port with other responders (SO_REUSEADDR and SO_REUSEPORT),
// sending multicast and unicast with TTL or hop limit 255 (RFC 6762 section 11). Whether multicast loops back does
// not matter: the responder knows its own packets.
type Conn interface {
	// Receive waits for datagrams, puts them into in and says how many. It uses the capacity of each Data that is
	// there already; what does not fit (Data is made 9000 bytes long if it has no capacity) is cut. Datagrams
	// that came over another interface are dropped inside. After Close it returns an error that is net.ErrClosed.
	Receive(in []Datagram) (int, error)
	// Send sends all; an error for one does not keep the rest back and is returned joined. A link that has no
	// address of a family yet makes errors for that family, which is not fatal.
	Send(out []Datagram) error
	Close() error
}
