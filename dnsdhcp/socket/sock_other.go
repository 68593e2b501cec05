//go:build !linux

package socket

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/provision-net/provision/dnsdhcp/link"
)

var errLinux = errors.New("cannot open a socket of one interface: only on Linux")

// sock stands for the real one; none is ever made.
type sock struct {
	foreign             atomic.Uint64
	readLock, writeLock sync.Mutex
}

func (*sock) close(error) error           { return nil }
func (*sock) buffer(int, []byte)          {}
func (*sock) read(int) (int, error)       { return 0, errLinux }
func (*sock) message(int) (message, bool) { return message{}, false }
func (*sock) put(int, outgoing)           {}
func (*sock) write(int) (int, error)      { return 0, errLinux }
func (*sock) writeOne(outgoing) error     { return errLinux }

func listenUDP(link.Link, udpOptions) (*sock, error) { return nil, errLinux }
func listenICMPv6(link.Link) (*sock, error)          { return nil, errLinux }
func openARP(link.Link) (arpConn, error)             { return nil, errLinux }
func holders(string, uint16) []string                { return nil }

type framer struct{}

func openFramer(link.Link) (*framer, error)                        { return nil, errLinux }
func (*framer) close()                                             {}
func (*framer) send(_, _ netip.AddrPort, _ string, _ []byte) error { return errLinux }

func bindTo(device string, index int) func(network, address string, c syscall.RawConn) error {
	return func(string, string, syscall.RawConn) error {
		if device != "" || index != 0 {
			return errLinux
		}
		return nil
	}
}
