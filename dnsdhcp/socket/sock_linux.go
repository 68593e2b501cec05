package socket

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/dnsdhcp/link"
)

// sock is a non-blocking socket in the runtime's poller, read and written in batches (recvmmsg(2), sendmmsg(2)) through
// buffers that it keeps.
type sock struct {
	file    *os.File
	raw     syscall.RawConn
	link    string
	device  int // index of the link, 0 for none
	index   int // the only one that packets may come in on; 0: any
	v6      bool
	port0   bool // a raw socket: no ports in addresses
	foreign atomic.Uint64

	end atomic.Pointer[error] // why it was closed

	readLock sync.Mutex
	in       *frames
	readable func(uintptr) bool // made once: a closure for each call would be an allocation
	want     int
	got      int
	failed   error

	writeLock sync.Mutex
	out       *frames
	writable  func(uintptr)
	first     int
	sent      int
	writeErr  error
}

// newSock takes over fd, which is non-blocking.
func newSock(fd int, l link.Link) (*sock, error) {
	s := &sock{link: l.Name, device: l.Index, index: l.Index, in: newFrames(), out: newFrames()}
	s.file = os.NewFile(uintptr(fd), "socket")
	raw, err := s.file.SyscallConn()
	if err != nil {
		s.file.Close()
		return nil, err
	}
	s.raw = raw
	s.readable = s.tryRead
	s.writable = s.tryWrite
	return s, nil
}

func (s *sock) close(why error) error {
	if why != net.ErrClosed { // a loop that ends at net.ErrClosed ends in this case as well
		why = fmt.Errorf("%s: %w (%w)", s.link, why, net.ErrClosed)
	}
	if !s.end.CompareAndSwap(nil, &why) {
		return nil
	}
	return s.file.Close()
}

// closed is why the socket cannot be used: err unless it was closed.
func (s *sock) closed(err error) error {
	if why := s.end.Load(); why != nil {
		return *why
	}
	return err
}

// buffer sets where the i-th datagram of the next read goes.
func (s *sock) buffer(i int, b []byte) { s.in.data(i, b) }

// read waits for up to n datagrams. Errors of single datagrams are not returned. The caller holds readLock.
func (s *sock) read(n int) (int, error) {
	for {
		s.want, s.got, s.failed = n, 0, nil
		if err := s.raw.Read(s.readable); err != nil {
			return 0, s.closed(err)
		}
		if s.failed != nil {
			return 0, s.closed(s.failed)
		}
		if s.got > 0 {
			return s.got, nil
		}
	}
}

func (s *sock) tryRead(fd uintptr) bool {
	s.in.reset(s.want)
	n, errno := recvmmsg(fd, s.in, s.want)
	switch errno {
	case 0:
		s.got = n
		return true
	case unix.EAGAIN:
		return false
	case unix.EINTR, unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EMSGSIZE, unix.EPROTO,
		unix.ENOMEM, unix.ENOBUFS, unix.ENOPROTOOPT:
		// Of an ICMP message, a bad checksum, or want of memory: of one datagram or of one moment.
		return true
	case unix.ENETDOWN, unix.ENODEV, unix.ENXIO:
		// A packet socket says so when its interface is set down, which comes before it is deleted, and works again if it
		// comes up.
		if !deviceGone(fd, s.device) {
			return true
		}
		s.failed = fmt.Errorf("%s: %w (%w)", s.link, ErrLinkGone, errno)
		return true
	default:
		s.failed = fmt.Errorf("cannot read from the socket on %s: %w", s.link, os.NewSyscallError("recvmmsg", errno))
		return true
	}
}

// deviceGone asks for the name of an interface in the socket's network namespace (netdevice(7)).
func deviceGone(fd uintptr, index int) bool {
	r, err := unix.NewIfreq("any")
	if err != nil {
		return false
	}
	r.SetUint32(uint32(index))
	return unix.IoctlIfreq(int(fd), unix.SIOCGIFNAME, r) == unix.ENODEV
}

// message returns what is known of the i-th datagram of the last read; false if it is none of this link's.
func (s *sock) message(i int) (message, bool) {
	m := s.in.message(i)
	if s.index != 0 && m.index != s.index {
		s.foreign.Add(1)
		return m, false
	}
	return m, true
}

// put sets the i-th datagram of the next write. The caller holds writeLock.
func (s *sock) put(i int, o outgoing) { s.out.put(i, o, s.v6, s.port0, s.index) }

// write sends the first n datagrams, passing over those that cannot be sent; it never waits. It returns how many were
// sent and the last error. The caller holds writeLock.
func (s *sock) write(n int) (int, error) {
	var last error
	sent := 0
	for s.first = 0; s.first < n; {
		s.sent, s.writeErr = n-s.first, nil
		if err := s.raw.Control(s.writable); err != nil {
			return sent, s.closed(err)
		}
		sent += s.sent
		s.first += s.sent
		if s.writeErr != nil {
			last = s.writeErr
			s.first++
		}
	}
	return sent, last
}

func (s *sock) tryWrite(fd uintptr) {
	for {
		n, errno := sendmmsg(fd, s.out, s.first, s.sent)
		switch errno {
		case 0:
			s.sent = n
			return
		case unix.EINTR:
			continue
		default:
			// Without its interface a socket finds no route, or that the source address is nobody's.
			if errno != unix.EAGAIN && s.device != 0 && deviceGone(fd, s.device) {
				s.sent, s.writeErr = 0, fmt.Errorf("cannot send on %s: %w (%w)", s.link, ErrLinkGone, errno)
				return
			}
			s.sent, s.writeErr = 0, &sendError{s.link, errno}
			return
		}
	}
}

// writeOne sends one datagram.
func (s *sock) writeOne(o outgoing) error {
	s.writeLock.Lock()
	defer s.writeLock.Unlock()
	s.put(0, o)
	_, err := s.write(1)
	return err
}

// sendError says why one datagram was not sent.
type sendError struct {
	link string
	err  syscall.Errno
}

func (e *sendError) Error() string {
	switch e.err {
	case unix.EAGAIN, unix.ENOBUFS:
		return fmt.Sprintf("cannot send on %s: the send buffer is full", e.link)
	case unix.EINVAL, unix.EADDRNOTAVAIL:
		return fmt.Sprintf("cannot send on %s: the source address is not one of this machine (%v)", e.link, e.err)
	}
	return fmt.Sprintf("cannot send on %s: %v", e.link, e.err)
}

func (e *sendError) Unwrap() error { return e.err }

// unmap takes the form apart that IPv4 has on an IPv6 socket.
func unmap(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
