package netevents

import (
	"context"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Watcher follows events. It belongs to the network namespace of the thread that opened it.
type Watcher struct {
	file    *os.File
	raw     syscall.RawConn
	buf     []byte
	changed chan struct{}

	mu      sync.Mutex
	pending Batch
	stats   Stats
}

// defaultBuffer takes some thousands of events while the reader has no processor.
const defaultBuffer = 2 << 20

// Open subscribes; events are kept from now on, so what is read afterwards is never too old.
// receiveBuffer is in bytes, 0 a good default. Run has to be called, or Close.
func Open(receiveBuffer int) (*Watcher, error) {
	if receiveBuffer == 0 {
		receiveBuffer = defaultBuffer
	}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("cannot follow the network: %w", os.NewSyscallError("socket", err))
	}
	w := &Watcher{file: os.NewFile(uintptr(fd), "rtnetlink"), buf: make([]byte, 64<<10), changed: make(chan struct{}, 1)}
	if err := subscribe(fd, receiveBuffer); err != nil {
		w.file.Close()
		return nil, fmt.Errorf("cannot follow the network: %w", err)
	}
	if w.raw, err = w.file.SyscallConn(); err != nil {
		w.file.Close()
		return nil, fmt.Errorf("cannot follow the network: %w", err)
	}
	return w, nil
}

func subscribe(fd, receiveBuffer int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		// Without CAP_NET_ADMIN it is what net.core.rmem_max allows: more is lost, and read again.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	for _, group := range []int{
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
		unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF,
	} {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
			return os.NewSyscallError(fmt.Sprintf("setsockopt NETLINK_ADD_MEMBERSHIP %d", group), err)
		}
	}
	return nil
}

// Close releases the socket of a Watcher that is not run.
func (w *Watcher) Close() error { return w.file.Close() }

// Changed has something whenever Take has.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Take returns what has come since the last one.
func (w *Watcher) Take() Batch {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.pending
	w.pending = Batch{}
	return b
}

// Stats tells how it went so far.
func (w *Watcher) Stats() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

// Run takes events from the kernel until ctx ends, then closes the Watcher.
func (w *Watcher) Run(ctx context.Context) error {
	defer w.file.Close()
	stop := context.AfterFunc(ctx, func() { _ = w.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		var failed error
		err := w.raw.Read(func(fd uintptr) bool {
			var wait bool
			wait, failed = w.receive(int(fd))
			return !wait
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case failed != nil:
			return fmt.Errorf("cannot follow the network: %w", failed)
		case err != nil:
			return fmt.Errorf("cannot follow the network: %w", err)
		}
	}
}

// receive takes one datagram; wait says that there was none.
func (w *Watcher) receive(fd int) (wait bool, err error) {
	// With MSG_TRUNC the size is that of the message, not of what fitted.
	n, from, err := unix.Recvfrom(fd, w.buf, unix.MSG_TRUNC)
	switch {
	case err == unix.EINTR:
		return false, nil
	case err == unix.EAGAIN:
		return true, nil
	case err == unix.ENOBUFS, err == nil && n > len(w.buf):
		w.lost()
		return false, nil
	case err != nil:
		return false, os.NewSyscallError("recvfrom", err)
	}
	if sa, ok := from.(*unix.SockaddrNetlink); ok && sa.Pid == 0 {
		w.take(w.buf[:n])
	}
	return false, nil
}

func (w *Watcher) lost() {
	w.mu.Lock()
	w.stats.Overrun++
	w.begin()
	w.pending.Kinds, w.pending.Overrun = All, true
	w.mu.Unlock()
	w.tell()
}

func (w *Watcher) take(b []byte) {
	told := false
	w.mu.Lock()
	events(b, func(c Cause) {
		told = true
		w.stats.Events++
		w.begin()
		w.pending.Kinds |= c.Kind
		w.pending.Count++
		if len(w.pending.Causes) < maxCauses {
			c.Process = processName(c.Port)
			w.pending.Causes = append(w.pending.Causes, c)
		}
	})
	w.mu.Unlock()
	if told {
		w.tell()
	}
}

func (w *Watcher) begin() {
	if w.pending.First.IsZero() {
		w.pending.First = time.Now()
	}
}

func (w *Watcher) tell() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}
