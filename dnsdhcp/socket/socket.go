// Package socket opens the sockets that the servers speak through: one for each protocol and link, bound to the device, so
// that nothing of another link gets in and nothing gets out there. They implement the Conn interfaces of the servers.
//
// Nothing here pins a thread: a Read waits in the runtime's poller and Close ends it. A UDP socket is not told by the kernel
// that its device was deleted, it is silent for ever; who follows the links (package link) calls Gone, and reads end with
// ErrLinkGone.
package socket

import (
	"errors"
	"net"
	"net/netip"
)

// ErrLinkGone says that the interface that a socket was bound to exists no more. One of the same name is another one and
// needs new sockets.
var ErrLinkGone = errors.New("the interface is gone")

var errOtherLink = errors.New("cannot send: the destination is on another link than the socket")

// maxBatch is how many datagrams one system call takes.
const maxBatch = 32

// message is what the kernel said about one datagram that was read.
type message struct {
	size  int
	peer  netip.AddrPort // without zone, not mapped
	local netip.Addr     // the destination in its header
	index int            // the interface that it came in on
	hop   int            // its hop limit, -1 if unknown
	cut   bool
}

// outgoing is one datagram to be sent.
type outgoing struct {
	data  []byte
	to    netip.AddrPort
	from  netip.Addr // the zero Addr lets the kernel choose
	index int        // of the interface; 0 lets the routing table choose
}

// conn is what all sockets have in common.
type conn struct{ s *sock }

// Close ends a read that waits, with net.ErrClosed.
func (c conn) Close() error { return c.s.close(net.ErrClosed) }

// Gone closes the socket because its link does not exist any more: reads end with ErrLinkGone.
func (c conn) Gone() { _ = c.s.close(ErrLinkGone) }

// Foreign counts what came in on another interface than the socket's, and was dropped. The kernel should let none of it
// through.
func (c conn) Foreign() uint64 { return c.s.foreign.Load() }

// readBatch waits until there is at least one datagram for this link, and reads at most n. room is the buffer of a place;
// keep takes the message out of place i into place to, which is not behind i and whose buffer i gets in exchange.
func (s *sock) readBatch(n int, room func(i int) []byte, keep func(to, i int, m message)) (int, error) {
	s.readLock.Lock()
	defer s.readLock.Unlock()
	n = min(n, maxBatch)
	for {
		for i := range n {
			s.buffer(i, room(i))
		}
		got, err := s.read(n)
		if err != nil {
			return 0, err
		}
		kept := 0
		for i := range got {
			if m, ok := s.message(i); ok {
				keep(kept, i, m)
				kept++
			}
		}
		if kept > 0 {
			return kept, nil
		}
	}
}
