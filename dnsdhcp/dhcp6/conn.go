package dhcp6

import "net/netip"

// Packet is one datagram that came to port 547.
type Packet struct {
	Data  []byte         // the DHCPv6 message; valid until the next Receive
	Src   netip.AddrPort // without a zone
	Dst   netip.Addr     // as the client addressed it (IPV6_PKTINFO): ff02::1:2, ff05::1:3 or one of ours
	Index int            // of the interface it arrived on
}

// Conn is a UDP socket of one link: bound to the device and to [::]:547, member of ff02::1:2 and ff05::1:3 there (RFC
// 8415 section 7.1), with IPV6_RECVPKTINFO.
type Conn interface {
	// Receive waits for the next datagram and reads it into buf; what does not fit is cut off. It returns an error
	// that is net.ErrClosed after Close, and others when the link is no more.
	Receive(buf []byte) (Packet, error)
	// Send sends data from port 547 of src, an address of the link (the kernel chooses if src is not valid), to dst,
	// which has no zone.
	Send(data []byte, src netip.Addr, dst netip.AddrPort) error
	// Close ends a Receive that waits.
	Close() error
}

// Memory is stable storage for the server's DUID (RFC 8415 section 11: it must not change over time).
type Memory interface {
	// Load returns the value saved last under key, or false.
	Load(key string) ([]byte, bool)
	// Save returns when value is on stable storage.
	Save(key string, value []byte) error
}
