package packet

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host/nstest"
)

// inject sends bytes as an IP packet.
func (l *lab) inject(ns *nstest.NS, b []byte, to netip.Addr, mark uint32) error {
	var err error
	ns.Do(func() { err = sendRaw(b, to, mark) })
	return err
}

func sendRaw(b []byte, to netip.Addr, mark uint32) error {
	domain, level, opt := unix.AF_INET, unix.IPPROTO_IP, unix.IP_HDRINCL
	if to.Is6() {
		domain, level, opt = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_HDRINCL
	}
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, level, opt, 1); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1); err != nil {
		return err
	}
	if mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(mark)); err != nil {
			return err
		}
	}
	if to.Is6() {
		return unix.Sendto(fd, b, 0, &unix.SockaddrInet6{Addr: to.As16()})
	}
	return unix.Sendto(fd, b, 0, &unix.SockaddrInet4{Addr: to.As4()})
}

// sendLoop puts a packet on the loopback behind the back of all rules of output.
func sendLoop(b []byte) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Sendto(fd, b, 0, &unix.SockaddrLinklayer{Protocol: binary.NativeEndian.Uint16([]byte{8, 0}), Ifindex: 1})
}

// raw makes the bytes of a packet; seq tells the packets of a TCP flow apart.
func raw(p Packet, seq uint32) []byte {
	m := newMachine(World{}, p)
	s := m.s
	if p.TTL == 0 {
		s.ttl = 77
	}
	var l4 []byte
	switch s.proto {
	case protoTCP:
		l4 = s.transport().b
		binary.BigEndian.PutUint32(l4[4:], 1000+seq)
		if s.flags&flagACK != 0 {
			ack := uint32(5001)
			if s.flags&flagSYN != 0 {
				binary.BigEndian.PutUint32(l4[4:], 5000)
				ack = 1001
			}
			binary.BigEndian.PutUint32(l4[8:], ack)
		}
		binary.BigEndian.PutUint16(l4[14:], 8192)
		if len(l4) == 24 {
			binary.BigEndian.PutUint16(l4[22:], 1460)
		}
	case protoUDP:
		l4 = append(s.transport().b, "data"...)
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
	default:
		l4 = append(s.transport().b, "data"...)
		binary.BigEndian.PutUint16(l4[4:], p.Sport) // echo identifier
	}
	sumAt := map[uint8]int{protoTCP: 16, protoUDP: 6, protoICMP: 2, protoICMPv6: 2}[s.proto]
	pseudo := append(s.src.AsSlice(), s.dst.AsSlice()...)
	pseudo = append(pseudo, 0, s.proto, byte(len(l4)>>8), byte(len(l4)))
	if s.proto == protoICMP {
		pseudo = nil
	}
	binary.BigEndian.PutUint16(l4[sumAt:], checksum(append(pseudo, l4...)))
	head := s.network().b
	if s.six() {
		head = head[:40]
		binary.BigEndian.PutUint16(head[4:], uint16(len(l4)))
	} else {
		head = head[:20]
		binary.BigEndian.PutUint16(head[2:], uint16(20+len(l4)))
		binary.BigEndian.PutUint16(head[4:], 1)
	}
	return append(head, l4...)
}

func checksum(b []byte) uint16 {
	var n uint32
	for i := 0; i+1 < len(b); i += 2 {
		n += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		n += uint32(b[len(b)-1]) << 8
	}
	for n>>16 != 0 {
		n = n>>16 + n&0xffff
	}
	return ^uint16(n)
}
