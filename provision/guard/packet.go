package guard

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
)

// arpRequest asks who has target (RFC 826), without Ethernet header. It is broadcast:
// some devices do not answer a unicast request.
func arpRequest(mac net.HardwareAddr, from, target netip.Addr) []byte {
	p := []byte{0, 1, 8, 0, 6, 4, 0, 1}
	p = append(p, mac...)
	p = append(p, from.AsSlice()...)
	p = append(p, 0, 0, 0, 0, 0, 0)
	return append(p, target.AsSlice()...)
}

// arpSender returns who sent an ARP packet: any packet of a neighbour shows that it
// lives.
func arpSender(p []byte) (netip.Addr, net.HardwareAddr, bool) {
	if len(p) < 28 || !bytes.Equal(p[:6], []byte{0, 1, 8, 0, 6, 4}) {
		return netip.Addr{}, nil, false
	}
	return netip.AddrFrom4([4]byte(p[14:18])), net.HardwareAddr(p[8:14]), true
}

// solicit is a Neighbor Solicitation (RFC 4861 section 4.3) to the solicited-node
// multicast address, as an IPv6 packet.
func solicit(mac net.HardwareAddr, from, target netip.Addr) (packet []byte, dst net.HardwareAddr) {
	t := target.As16()
	group := [16]byte{0xff, 0x02, 11: 1, 12: 0xff, 13: t[13], 14: t[14], 15: t[15]}
	icmp := make([]byte, 24, 32)
	icmp[0] = 135
	copy(icmp[8:], t[:])
	icmp = append(icmp, 1, 1) // source link-layer address option
	icmp = append(icmp, mac...)
	src := from.As16()
	p := make([]byte, 40, 40+len(icmp))
	p[0] = 0x60
	binary.BigEndian.PutUint16(p[4:], uint16(len(icmp)))
	p[6], p[7] = 58, 255
	copy(p[8:], src[:])
	copy(p[24:], group[:])
	binary.BigEndian.PutUint16(icmp[2:], checksum(p[8:40], icmp))
	return append(p, icmp...), net.HardwareAddr{0x33, 0x33, 0xff, t[13], t[14], t[15]}
}

// advertised returns the target of a Neighbor Advertisement (RFC 4861 section 4.4).
func advertised(p []byte) (netip.Addr, bool) {
	if len(p) < 40+24 || p[0]>>4 != 6 || p[6] != 58 || p[7] != 255 || p[40] != 136 || p[41] != 0 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16([16]byte(p[48:64])), true
}

// checksum is that of ICMPv6 over the pseudo header (RFC 8200 section 8.1).
func checksum(addresses, icmp []byte) uint16 {
	s := uint32(len(icmp)) + 58
	for _, b := range [][]byte{addresses, icmp} {
		for i := 0; i+1 < len(b); i += 2 {
			s += uint32(binary.BigEndian.Uint16(b[i:]))
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}
