package facts

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

const (
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY, linux/sock_diag.h
	inetDiagReqSize  = 56 // struct inet_diag_req_v2
	inetDiagMsgSize  = 72 // struct inet_diag_msg
)

// diagRequest is struct inet_diag_req_v2 for all sockets in the given states.
func diagRequest(family, protocol byte, states uint32) []byte {
	b := make([]byte, inetDiagReqSize)
	b[0], b[1] = family, protocol
	binary.NativeEndian.PutUint32(b[4:], states)
	return b
}

// decodeSocket reads struct inet_diag_msg (linux/inet_diag.h).
func decodeSocket(p []byte) (Socket, bool) {
	if len(p) < inetDiagMsgSize {
		return Socket{}, false
	}
	size := 4
	if p[0] == unix.AF_INET6 {
		size = 16
	} else if p[0] != unix.AF_INET {
		return Socket{}, false
	}
	be, ne := binary.BigEndian, binary.NativeEndian
	src, _ := netip.AddrFromSlice(p[8 : 8+size])
	dst, _ := netip.AddrFromSlice(p[24 : 24+size])
	s := Socket{
		Local: netip.AddrPortFrom(src.Unmap(), be.Uint16(p[4:])),
		Link:  int(ne.Uint32(p[40:])),
		UID:   int(ne.Uint32(p[64:])),
		Inode: uint64(ne.Uint32(p[68:])),
	}
	if port := be.Uint16(p[6:]); port != 0 {
		s.Remote = netip.AddrPortFrom(dst.Unmap(), port)
	}
	return s, true
}
