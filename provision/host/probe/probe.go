// Package probe asks a host whether it answers through one device: an ICMP or ICMPv6 echo, a TCP
// connection, a DNS query. The socket is bound to the device (SO_BINDTODEVICE, socket(7)), so the
// kernel takes the routes through it whatever the others are. Nothing resolves a name. One
// question is one packet, and an answer counts only if it is that to the question.
package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// Through is the way that a question takes.
type Through struct {
	Device string
	Mark   uint32 // of its packets (SO_MARK), for the rules of policy routing; 0: none
}

// Errors of a question that was not answered; more may be wrapped with them.
var (
	ErrSilent      = errors.New("no answer in time")
	ErrTooLarge    = errors.New("larger than the device takes")
	ErrUnsupported = errors.New("devices can be probed on Linux only")
)

// echo is an ICMP (RFC 792) or ICMPv6 (RFC 4443 section 4) echo request. The checksum of ICMPv6
// is the kernel's (RFC 3542 section 3.1).
func echo(v4 bool, id, seq uint16, nonce [8]byte) []byte {
	b := []byte{128, 0, 0, 0}
	if v4 {
		b[0] = 8
	}
	b = binary.BigEndian.AppendUint16(b, id)
	b = binary.BigEndian.AppendUint16(b, seq)
	b = append(b, nonce[:]...)
	if v4 {
		binary.BigEndian.PutUint16(b[2:], checksum(b))
	}
	return b
}

// echoed reports whether an ICMP message is the reply to echo.
func echoed(v4 bool, b []byte, pad int, id, seq uint16, nonce [8]byte) bool {
	kind := byte(129)
	if v4 {
		kind = 0
		if checksum(b) != 0 {
			return false
		}
	}
	return len(b) == 16+pad && b[0] == kind && b[1] == 0 && binary.BigEndian.Uint16(b[4:]) == id && binary.BigEndian.Uint16(b[6:]) == seq && [8]byte(b[8:]) == nonce
}

// payload4 is what an IPv4 packet from that source carries, as raw sockets give it (raw(7)).
func payload4(b []byte, from netip.Addr) ([]byte, bool) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return nil, false
	}
	n := int(b[0]&0xf) * 4
	if n < 20 || n > len(b) || netip.AddrFrom4([4]byte(b[12:])) != from {
		return nil, false
	}
	return b[n:], true
}

// checksum of the Internet (RFC 1071); of a message that has one it is 0.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// query asks for the name servers of the root (RFC 1035 section 4.1), recursion desired: any
// resolver can answer, and has the answer.
func query(id uint16) []byte {
	return append(binary.BigEndian.AppendUint16(nil, id), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0 /* . */, 0 /* NS */, 0, 2 /* IN */, 0, 1)
}

// answered judges a message: done is false when it is not the answer to the query.
func answered(b []byte, id uint16) (done bool, err error) {
	q := query(id)
	if len(b) < len(q) || binary.BigEndian.Uint16(b) != id || b[2]&0xf8 != 0x80 || binary.BigEndian.Uint16(b[4:]) != 1 || string(b[12:len(q)]) != string(q[12:]) {
		return false, nil
	}
	if code := b[3] & 0xf; code == 2 {
		return true, errors.New("the server has failed (SERVFAIL): it does not reach the others")
	} else if code != 0 && code != 5 {
		return true, fmt.Errorf("the server answers with the code %d", code)
	}
	return true, nil
}
