package ra

import "net/netip"

// Packet is one ICMPv6 message as it came from the wire. The kernel has checked its checksum.
type Packet struct {
	Data     []byte     // from the ICMPv6 type on; valid until the next Receive
	Src, Dst netip.Addr // without a zone
	HopLimit int        // 255 unless a router forwarded it; -1 where the kernel did not say
	Index    int        // of the interface it arrived on (IPV6_PKTINFO)
}

// Conn is a raw ICMPv6 socket of one link: bound to the device, member of ff02::2 (all routers) and of ff02::1 (all
// nodes, to which other routers advertise), filtered to router solicitations and advertisements (types 133 and 134),
// with IPV6_RECVPKTINFO and IPV6_RECVHOPLIMIT.
type Conn interface {
	// Receive waits for the next message and reads it into buf; what does not fit is cut off. It returns an error
	// that is net.ErrClosed after Close, and others (ENETDOWN, ENODEV) when the link is no more.
	Receive(buf []byte) (Packet, error)
	// Send sends an ICMPv6 message from src, an address of the link, with hop limit 255; the kernel fills in the
	// checksum. dst is ff02::1 or an address on the link, without a zone.
	Send(data []byte, src, dst netip.Addr) error
	// Close ends a Receive that waits.
	Close() error
}

// Memory is stable storage for the few things that must outlive a reboot. Values are small (at most MaxSaved bytes)
// and written seldom: when what is announced changes, not when it is announced.
type Memory interface {
	// Load returns the value saved last under key, or false.
	Load(key string) ([]byte, bool)
	// Save returns when value is on stable storage.
	Save(key string, value []byte) error
}
