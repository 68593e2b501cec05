package socket

import (
	"encoding/binary"
	"net/netip"
)

const (
	ipv4Header = 20
	udpHeader  = 8
)

// appendUDP4 appends an IPv4 packet with a UDP datagram (RFC 791, RFC 768), both checksums filled in. Both addresses are
// IPv4 ones and payload is short enough for one packet.
func appendUDP4(b []byte, src, dst netip.AddrPort, payload []byte) []byte {
	be := binary.BigEndian
	from, to := src.Addr().As4(), dst.Addr().As4()
	start := len(b)
	udpLen := udpHeader + len(payload)
	b = append(b, 0x45, 0xc0) // no options; CS6, as network control has (RFC 4594 section 3.1)
	b = be.AppendUint16(b, uint16(ipv4Header+udpLen))
	b = append(b, 0, 0, 0x40, 0) // never fragmented, so the identification means nothing (RFC 6864)
	b = append(b, 64, 17, 0, 0)
	b = append(b, from[:]...)
	b = append(b, to[:]...)
	be.PutUint16(b[start+10:], fold(sum(b[start:], 0)))
	udp := len(b)
	b = be.AppendUint16(b, src.Port())
	b = be.AppendUint16(b, dst.Port())
	b = be.AppendUint16(b, uint16(udpLen))
	b = append(b, 0, 0)
	b = append(b, payload...)
	pseudo := sum(from[:], sum(to[:], 17+uint32(udpLen)))
	check := fold(sum(b[udp:], pseudo))
	if check == 0 {
		check = 0xffff // zero means that there is none
	}
	be.PutUint16(b[udp+6:], check)
	return b
}

// sum adds 16-bit words (RFC 1071); it is good for 64 KiB.
func sum(b []byte, s uint32) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}
