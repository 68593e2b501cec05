package socket

import (
	"encoding/binary"
	"net/netip"
)

// arpFrame is an ARP packet for IPv4 on Ethernet (RFC 826).
type arpFrame struct {
	op                 uint16
	senderHW, targetHW [6]byte
	senderIP, targetIP netip.Addr
}

const (
	arpRequest = 1
	arpReply   = 2
	arpSize    = 28
)

// parseARP reads a packet from the hardware type on; what is behind it is padding.
func parseARP(b []byte) (a arpFrame, ok bool) {
	be := binary.BigEndian
	if len(b) < arpSize || be.Uint16(b) != 1 || be.Uint16(b[2:]) != 0x0800 || b[4] != 6 || b[5] != 4 {
		return arpFrame{}, false
	}
	a.op = be.Uint16(b[6:])
	a.senderHW = [6]byte(b[8:14])
	a.senderIP = netip.AddrFrom4([4]byte(b[14:18]))
	a.targetHW = [6]byte(b[18:24])
	a.targetIP = netip.AddrFrom4([4]byte(b[24:28]))
	return a, a.op == arpRequest || a.op == arpReply
}

// append appends the packet.
func (a arpFrame) append(b []byte) []byte {
	be := binary.BigEndian
	b = be.AppendUint16(b, 1)
	b = be.AppendUint16(b, 0x0800)
	b = append(b, 6, 4)
	b = be.AppendUint16(b, a.op)
	b = append(b, a.senderHW[:]...)
	sender, target := a.senderIP.As4(), a.targetIP.As4()
	b = append(b, sender[:]...)
	b = append(b, a.targetHW[:]...)
	return append(b, target[:]...)
}

// claims returns the address whose use a packet shows: that of its sender, or in a probe of somebody else the one that he
// is about to take (RFC 5227 section 2.1.1).
func (a arpFrame) claims() netip.Addr {
	if !a.senderIP.IsUnspecified() {
		return a.senderIP
	}
	if a.op == arpRequest {
		return a.targetIP
	}
	return netip.Addr{}
}
