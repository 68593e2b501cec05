package socket

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

var native = binary.NativeEndian

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	unix.Msghdr
	n uint32
}

const (
	// controlSize has room for IPV6_PKTINFO and IPV6_HOPLIMIT, whatever the word's size.
	controlSize = 96
	nameSize    = unix.SizeofSockaddrInet6
)

// frames is the memory that one batch of datagrams needs beside the payloads.
type frames struct {
	hdrs  [maxBatch]mmsghdr
	iovs  [maxBatch]unix.Iovec
	names [maxBatch][nameSize]byte
	ctl   [maxBatch][controlSize]byte
}

func newFrames() *frames {
	f := &frames{}
	for i := range f.hdrs {
		h := &f.hdrs[i]
		h.Iov = &f.iovs[i]
		h.SetIovlen(1)
		h.Name = &f.names[i][0]
		h.Control = &f.ctl[i][0]
	}
	return f
}

func (f *frames) data(i int, b []byte) {
	f.iovs[i].Base = unsafe.SliceData(b)
	f.iovs[i].SetLen(len(b))
}

// reset gives the kernel all room again, which each call takes away.
func (f *frames) reset(n int) {
	for i := range f.hdrs[:n] {
		h := &f.hdrs[i]
		h.Namelen = nameSize
		h.SetControllen(controlSize)
		h.Flags = 0
	}
}

func recvmmsg(fd uintptr, f *frames, n int) (int, syscall.Errno) {
	got, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&f.hdrs[0])), uintptr(n), 0, 0, 0)
	return int(got), errno
}

func sendmmsg(fd uintptr, f *frames, first, n int) (int, syscall.Errno) {
	got, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&f.hdrs[first])), uintptr(n),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return int(got), errno
}

// message reads what the kernel wrote about the i-th datagram.
func (f *frames) message(i int) message {
	h := &f.hdrs[i]
	m := message{hop: -1, size: int(h.n), cut: h.Flags&unix.MSG_TRUNC != 0}
	m.peer = parseName(f.names[i][:min(h.Namelen, nameSize)])
	parseControl(f.ctl[i][:min(uint64(h.Controllen), controlSize)], &m)
	return m
}

// parseName reads a struct sockaddr_in or sockaddr_in6.
func parseName(b []byte) netip.AddrPort {
	if len(b) < 2 {
		return netip.AddrPort{}
	}
	switch family := native.Uint16(b); {
	case family == unix.AF_INET && len(b) >= unix.SizeofSockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[4:8])), binary.BigEndian.Uint16(b[2:]))
	case family == unix.AF_INET6 && len(b) >= unix.SizeofSockaddrInet6:
		return netip.AddrPortFrom(unmap(netip.AddrFrom16([16]byte(b[8:24]))), binary.BigEndian.Uint16(b[2:]))
	}
	return netip.AddrPort{}
}

// parseControl reads control messages (cmsg(3)).
func parseControl(b []byte, m *message) {
	head := unix.CmsgLen(0)
	for len(b) >= head {
		n := int(native.Uint32(b)) // no message is as long as to need the upper half, which is behind on little endian
		if unsafe.Sizeof(uintptr(0)) == 8 {
			n = int(min(native.Uint64(b), 1<<20))
		}
		if n < head || n > len(b) {
			return
		}
		level, kind := native.Uint32(b[head-8:]), native.Uint32(b[head-4:])
		v := b[head:n]
		switch {
		case level == unix.IPPROTO_IP && kind == unix.IP_PKTINFO && len(v) >= unix.SizeofInet4Pktinfo:
			m.index = int(int32(native.Uint32(v)))
			m.local = netip.AddrFrom4([4]byte(v[8:12])) // ipi_addr: what stood in the header
		case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_PKTINFO && len(v) >= unix.SizeofInet6Pktinfo:
			m.local = unmap(netip.AddrFrom16([16]byte(v[:16])))
			m.index = int(int32(native.Uint32(v[16:])))
		case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_HOPLIMIT && len(v) >= 4:
			m.hop = int(int32(native.Uint32(v)))
		}
		b = b[min(unix.CmsgSpace(n-head), len(b)):]
	}
}

// put sets the i-th datagram to be sent from a socket of this family. link is the index that addresses of this link only
// need as their scope if the datagram names none.
func (f *frames) put(i int, o outgoing, v6, port0 bool, link int) {
	f.data(i, o.data)
	h, name := &f.hdrs[i], f.names[i][:]
	clear(name)
	port := o.to.Port()
	if port0 {
		port = 0
	}
	binary.BigEndian.PutUint16(name[2:], port)
	index := o.index
	if index == 0 {
		index = link
	}
	if !v6 {
		native.PutUint16(name, unix.AF_INET)
		a := o.to.Addr().Unmap()
		if a.Is4() {
			copy(name[4:], a.AsSlice())
		}
		h.Namelen = unix.SizeofSockaddrInet4
		h.SetControllen(f.source4(i, o.from, index))
		return
	}
	native.PutUint16(name, unix.AF_INET6)
	if a := o.to.Addr(); a.IsValid() {
		b := a.As16()
		copy(name[8:], b[:])
		if a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() {
			native.PutUint32(name[24:], uint32(index))
		}
	}
	h.Namelen = unix.SizeofSockaddrInet6
	h.SetControllen(f.source6(i, o.from, o.to.Addr().Unmap().Is4(), index))
}

// source4 writes IP_PKTINFO and returns its length, 0 if there is nothing to say.
func (f *frames) source4(i int, from netip.Addr, index int) int {
	if !from.IsValid() && index == 0 {
		return 0
	}
	b := f.header(i, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
	native.PutUint32(b, uint32(index))
	if from := from.Unmap(); from.Is4() {
		copy(b[4:], from.AsSlice())
	}
	return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
}

// source6 writes IPV6_PKTINFO, whose address is a mapped one if the datagram is IPv4.
func (f *frames) source6(i int, from netip.Addr, is4 bool, index int) int {
	if !from.IsValid() && index == 0 {
		return 0
	}
	b := f.header(i, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
	if !from.IsValid() && is4 {
		from = netip.IPv4Unspecified()
	}
	if from.IsValid() {
		a := from.As16()
		copy(b, a[:])
	}
	native.PutUint32(b[16:], uint32(index))
	return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
}

// header starts the only control message of the i-th datagram.
func (f *frames) header(i, level, kind, size int) []byte {
	b := f.ctl[i][:unix.CmsgSpace(size)]
	clear(b)
	n := unix.CmsgLen(size)
	if unsafe.Sizeof(uintptr(0)) == 8 {
		native.PutUint64(b, uint64(n))
	} else {
		native.PutUint32(b, uint32(n))
	}
	head := unix.CmsgLen(0)
	native.PutUint32(b[head-8:], uint32(level))
	native.PutUint32(b[head-4:], uint32(kind))
	return b[head:]
}
