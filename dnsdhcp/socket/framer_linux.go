package socket

import (
	"fmt"
	"net/netip"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/dnsdhcp/link"
)

// framer sends IPv4 packets to hardware addresses that the neighbour table does not have. Its packet socket is bound to no
// protocol, so it receives nothing and costs nothing.
type framer struct {
	link string
	mtu  int
	file *os.File
	raw  syscall.RawConn

	lock  sync.Mutex
	frame []byte
	to    unix.SockaddrLinklayer
	err   error
	write func(uintptr)
}

func openFramer(l link.Link) (*framer, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, explain(os.NewSyscallError("socket", err), failure{purpose: "DHCPv4", link: l.Name})
	}
	f := &framer{link: l.Name, mtu: l.MTU, file: os.NewFile(uintptr(fd), "packet")}
	f.to = unix.SockaddrLinklayer{Protocol: network16(unix.ETH_P_IP), Ifindex: l.Index, Halen: 6}
	f.write = f.send1
	if f.raw, err = f.file.SyscallConn(); err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// network16 is htons.
func network16(v uint16) uint16 {
	return native.Uint16([]byte{byte(v >> 8), byte(v)})
}

func (f *framer) close() { f.file.Close() }

// send sends one datagram to the hardware address hw of 6 bytes.
func (f *framer) send(from, to netip.AddrPort, hw string, payload []byte) error {
	if size := ipv4Header + udpHeader + len(payload); f.mtu > 0 && size > f.mtu {
		return fmt.Errorf("cannot send on %s: a packet of %d bytes is longer than the MTU of %d", f.link, size, f.mtu)
	}
	if !from.Addr().Is4() || !to.Addr().Is4() {
		return fmt.Errorf("cannot send on %s: %v and %v are not both IPv4 addresses", f.link, from.Addr(), to.Addr())
	}
	f.lock.Lock()
	defer f.lock.Unlock()
	f.frame = appendUDP4(f.frame[:0], from, to, payload)
	copy(f.to.Addr[:6], hw)
	if err := f.raw.Control(f.write); err != nil {
		return fmt.Errorf("cannot send on %s: the socket is closed", f.link)
	}
	switch f.err {
	case nil:
		return nil
	case unix.ENXIO, unix.ENODEV:
		return fmt.Errorf("cannot send on %s: %w (%w)", f.link, ErrLinkGone, f.err)
	}
	if e, ok := f.err.(syscall.Errno); ok {
		return &sendError{f.link, e}
	}
	return f.err
}

func (f *framer) send1(fd uintptr) {
	for {
		f.err = unix.Sendto(int(fd), f.frame, unix.MSG_DONTWAIT, &f.to)
		if f.err != unix.EINTR {
			return
		}
	}
}
