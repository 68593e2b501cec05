package nfnl

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long an answer of the kernel may take where the context sets no earlier end.
// A set of some 100,000 intervals takes a small machine many seconds.
const patience = 2 * time.Minute

// Conn is one socket in the network namespace of the thread that opened it. It is for one
// goroutine at a time.
type Conn struct {
	file   *os.File
	raw    syscall.RawConn
	port   uint32
	seq    uint32
	sndbuf int
	buf    []byte
	due    time.Time // the deadline that is set, where it is of our own patience
}

// Dial makes a socket; with groups it receives these multicast groups (NFNLGRP_*) too.
func Dial(groups ...uint32) (*Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("cannot open a netfilter socket: %w", err)
	}
	c, err := setUp(fd, groups)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot open a netfilter socket: %w", err)
	}
	return c, nil
}

func setUp(fd int, groups []uint32) (*Conn, error) {
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return nil, err
	}
	me, ok := name.(*unix.SockaddrNetlink)
	if !ok {
		return nil, errors.New("its address is of another kind")
	}
	// Errors without a copy of what was sent, and with the attribute that they are about; old
	// kernels have neither.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	for _, g := range groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, int(g)); err != nil {
			return nil, err
		}
	}
	// Every message of a batch may answer with an error of its own.
	grow(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, 8<<20)
	f := os.NewFile(uintptr(fd), "netfilter")
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &Conn{file: f, raw: raw, port: me.Pid, buf: make([]byte, 64<<10)}, nil
}

// grow needs CAP_NET_ADMIN to go beyond net.core.rmem_max and wmem_max.
func grow(fd, force, plain, size int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, size)
	}
}

// Close ends the socket.
func (c *Conn) Close() error { return c.file.Close() }

// Port is the number by which the kernel names this socket in events.
func (c *Conn) Port() uint32 { return c.port }

// within runs f with its end set by ctx, or by patience.
func (c *Conn) within(ctx context.Context, limit time.Duration, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	end, ctxs := ctx.Deadline()
	now := time.Now()
	if limit > 0 {
		if by := now.Add(limit); !ctxs || by.Before(end) {
			end, ctxs = by, false
		}
	}
	// A table with hundreds of sets is read by as many questions: most of the time is left, and
	// each new deadline wakes the thread that waits for them.
	if ctxs || limit == 0 || c.due.After(end) || c.due.Sub(now) < limit-limit/10 {
		if err := c.file.SetReadDeadline(end); err != nil {
			return closed(err)
		}
		c.due = time.Time{}
		if !ctxs && limit > 0 {
			c.due = end
		}
	}
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = c.file.SetReadDeadline(time.Unix(1, 0))
		close(fired)
	})
	defer func() {
		if !stop() {
			<-fired // or it would end what comes next
			c.due = time.Time{}
		}
	}()
	err := f()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if ctxs { // its own timer is about to fire
			return context.DeadlineExceeded
		}
		return fmt.Errorf("the kernel does not answer for %s: %w", limit, err)
	}
	return err
}

// closed is the error of a socket that was closed meanwhile: the poller has one of its own.
func closed(err error) error { return fmt.Errorf("%w: %w", os.ErrClosed, err) }

// receive returns the next datagram, which holds until the next call. With wait it waits for
// one, else there is EAGAIN when there is none.
func (c *Conn) receive(wait bool) ([]byte, error) {
	for {
		var n, flags int
		var from unix.Sockaddr
		var err error
		rerr := c.raw.Read(func(fd uintptr) bool {
			for {
				n, _, flags, from, err = unix.Recvmsg(int(fd), c.buf, nil, 0)
				if err != unix.EINTR {
					return err != unix.EAGAIN || !wait
				}
			}
		})
		switch {
		case errors.Is(rerr, os.ErrDeadlineExceeded):
			return nil, rerr
		case rerr != nil:
			return nil, closed(rerr)
		case err != nil:
			return nil, err
		}
		if flags&unix.MSG_TRUNC != 0 {
			return nil, errors.New("an answer of the kernel is larger than 64 KiB")
		}
		// Only the kernel is believed: any process may send to a netlink socket's port.
		if a, ok := from.(*unix.SockaddrNetlink); ok && a.Pid == 0 {
			return c.buf[:n], nil
		}
	}
}

// send gives a datagram to the kernel, which works on it before send returns. What is sent may
// not be changed even when ctx has ended meanwhile.
func (c *Conn) send(ctx context.Context, b []byte) error {
	if c.sndbuf < len(b)+4096 {
		c.sndbuf = max(2*len(b), 256<<10)
		if err := c.raw.Control(func(fd uintptr) { grow(int(fd), unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, c.sndbuf) }); err != nil {
			return err
		}
	}
	done := make(chan error, 1)
	go func() { done <- c.put(b) }()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-limit.C:
		return fmt.Errorf("the kernel does not take the message for %s: %w", patience, os.ErrDeadlineExceeded)
	}
}

// put sends a datagram.
func (c *Conn) put(b []byte) (err error) {
	if werr := c.raw.Control(func(fd uintptr) {
		err = unix.Sendto(int(fd), b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		for err == unix.EINTR {
			err = unix.Sendto(int(fd), b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		}
	}); werr != nil {
		return werr
	}
	return err
}

// Buffer sets how many bytes may wait in the socket to be read.
func (c *Conn) Buffer(size int) error {
	return c.raw.Control(func(fd uintptr) { grow(int(fd), unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, size) })
}
