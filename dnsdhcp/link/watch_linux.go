package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Watcher keeps its Table up to date with the kernel.
type Watcher struct {
	*Table
	cfg  Config
	file *os.File
	raw  syscall.RawConn
	dump *dumper
	buf  []byte

	// What a batch of events leaves to be read anew.
	staleAll  bool
	stale4    bool // default routes of IPv4
	stale6    bool
	defaults4 []Default
	defaults6 []Default
	forward4  Forwarding
	forward6  Forwarding

	events, overrun, dumps atomic.Uint64
}

const (
	// receiveBuffer takes some thousands of events: a bridge with a hundred VMs being started.
	receiveBuffer = 2 << 20
	// batch is after how many datagrams subscribers are told although more are waiting.
	batch = 256
	// again is the pause before a list that changed too fast is read once more.
	again = 50 * time.Millisecond
)

// Watch opens the sockets in the network namespace of the calling thread and reads the present state, so that Snapshot is
// right from the start. Run has to be called to keep it right, Close if it is not.
func Watch(cfg Config) (*Watcher, error) {
	w, err := watch(cfg, receiveBuffer)
	if err != nil {
		return nil, fmt.Errorf("cannot follow interfaces: %w", err)
	}
	return w, nil
}

func watch(cfg Config, receiveBuffer int) (*Watcher, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	w := &Watcher{Table: NewTable(), cfg: cfg, buf: make([]byte, 64<<10)}
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	w.file = os.NewFile(uintptr(fd), "rtnetlink")
	if err := w.subscribe(fd, receiveBuffer); err != nil {
		w.file.Close()
		return nil, err
	}
	if w.raw, err = w.file.SyscallConn(); err != nil {
		w.file.Close()
		return nil, err
	}
	if w.dump, err = openDumper(); err != nil {
		w.file.Close()
		return nil, err
	}
	w.staleAll = true
	if err := w.refresh(); err != nil && !errors.Is(err, errChanged) {
		w.Close()
		return nil, err
	}
	return w, nil
}

// subscribe joins the groups before anything is read, so that nothing falls between.
func (w *Watcher) subscribe(fd, receiveBuffer int) error {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		// Without CAP_NET_ADMIN it is what net.core.rmem_max allows. Too little is slow but never wrong.
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	groups := []int{
		unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR,
		unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF,
	}
	if w.cfg.Neighbours {
		groups = append(groups, unix.RTNLGRP_NEIGH)
	}
	for _, g := range groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, g); err != nil {
			return os.NewSyscallError(fmt.Sprintf("setsockopt NETLINK_ADD_MEMBERSHIP %d", g), err)
		}
	}
	return nil
}

// Close releases the sockets of a Watcher that is not run.
func (w *Watcher) Close() error {
	err := w.file.Close()
	w.dump.close()
	return err
}

// Status tells how it went so far.
func (w *Watcher) Status() Status {
	return Status{Events: w.events.Load(), Overrun: w.overrun.Load(), Dumps: w.dumps.Load()}
}

// Run follows the kernel until ctx ends, then closes the Watcher.
func (w *Watcher) Run(ctx context.Context) error {
	defer w.Close()
	stop := context.AfterFunc(ctx, func() { _ = w.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		err := w.drain()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot follow interfaces: %w", err)
		}
		if err := w.refresh(); err != nil {
			level := slog.LevelWarn
			if errors.Is(err, errChanged) {
				level = slog.LevelDebug
			}
			w.cfg.Log.Log(ctx, level, "cannot read the state of the interfaces, trying again", "err", err)
			select {
			case <-time.After(again):
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// drain waits for events and applies those that are there. It returns at once if something is left to be read anew.
func (w *Watcher) drain() error {
	n := 0
	var failed error
	err := w.raw.Read(func(fd uintptr) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for ; n < batch; n++ {
			size, from, err := unix.Recvfrom(int(fd), w.buf, unix.MSG_TRUNC)
			switch {
			case err == unix.EINTR:
				continue
			case err == unix.EAGAIN:
				return n > 0 || w.isStale()
			case err == unix.ENOBUFS, err == nil && size > len(w.buf):
				// Which events were lost nobody knows. The error is reported once; what is still queued is applied first.
				w.overrun.Add(1)
				w.staleAll = true
			case err != nil:
				failed = os.NewSyscallError("recvfrom", err)
				return true
			default:
				if sa, ok := from.(*unix.SockaddrNetlink); ok && sa.Pid == 0 {
					w.apply(w.buf[:size])
				}
			}
		}
		return true
	})
	if failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.publish()
	return nil
}

func (w *Watcher) isStale() bool { return w.staleAll || w.stale4 || w.stale6 }

// publish is called under the lock.
func (w *Watcher) publish() {
	w.setRouting(Routing{
		Defaults: slices.Concat(w.defaults4, w.defaults6),
		Forward4: w.forward4.clone(),
		Forward6: w.forward6.clone(),
	})
	w.wake()
}

// apply takes one datagram of events, under the lock.
func (w *Watcher) apply(b []byte) {
	for m := range messages(b) {
		w.events.Add(1)
		switch m.kind {
		case unix.RTM_NEWLINK:
			w.linkIs(m.body)
		case unix.RTM_DELLINK:
			if l, ok := decodeLink(m.body, func(int) Link { return Link{} }); ok {
				w.routesMayBeGone(l.Index)
				w.remove(l.Index)
			}
		case unix.RTM_NEWADDR:
			if index, a, ok := decodeAddr(m.body, w.cfg.Clock.Now()); ok {
				w.putAddr(index, a)
			}
		case unix.RTM_DELADDR:
			if index, a, ok := decodeAddr(m.body, 0); ok {
				w.deleteAddr(index, a.Prefix)
				w.routesMayBeGone(index)
			}
		case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
			if n, ok := decodeNeighbour(m.kind, m.body); ok {
				w.putNeighbour(n)
			}
		case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			// A message about one of several hops, or a replaced route, would need the kernel's own bookkeeping; default
			// routes change seldom enough to be read anew.
			if _, touches := decodeDefaults(m.body); touches {
				w.stale4 = w.stale4 || m.body[0] == unix.AF_INET
				w.stale6 = w.stale6 || m.body[0] == unix.AF_INET6
			}
		case unix.RTM_NEWNETCONF, unix.RTM_DELNETCONF:
			if c, ok := decodeNetconf(m.kind, m.body); ok {
				w.netconf(c, m.kind == unix.RTM_DELNETCONF)
			}
		}
	}
}

func (w *Watcher) linkIs(body []byte) {
	l, ok := decodeLink(body, func(index int) Link { return w.links[index].Link })
	if !ok {
		return
	}
	if !l.Up {
		w.routesMayBeGone(l.Index)
	}
	w.put(l)
}

// routesMayBeGone: the kernel drops IPv4 routes of a link that goes down, and those whose source address is deleted,
// without a message (fib_disable_ip and fib_sync_down_addr in net/ipv4/fib_frontend.c).
func (w *Watcher) routesMayBeGone(index int) {
	for _, d := range w.defaults4 {
		w.stale4 = w.stale4 || d.Index == index || d.Index == 0
	}
	for _, d := range w.defaults6 {
		w.stale6 = w.stale6 || d.Index == index || d.Index == 0
	}
}

func (t *Table) putAddr(index int, a Addr) {
	k := t.links[index]
	l := k.Link
	l.Index = index
	i := slices.IndexFunc(l.Addrs, func(o Addr) bool { return o.Prefix == a.Prefix })
	if i >= 0 && l.Addrs[i].equal(a) {
		return
	}
	l.Addrs = slices.Clone(l.Addrs) // the old slice is in others' hands
	if i >= 0 {
		l.Addrs[i] = a
	} else {
		l.Addrs = append(l.Addrs, a)
	}
	t.put(l)
}

func (t *Table) deleteAddr(index int, p netip.Prefix) {
	k, ok := t.links[index]
	if !ok {
		return
	}
	k.Addrs = slices.DeleteFunc(slices.Clone(k.Addrs), func(o Addr) bool { return o.Prefix == p })
	t.put(k.Link)
}

func (w *Watcher) netconf(c netconf, deleted bool) {
	f := &w.forward4
	if c.v6 {
		f = &w.forward6
	}
	switch {
	case deleted:
		delete(f.Link, c.index)
	case c.index == netconfAll:
		f.All = c.forwarding
	default:
		f.Link = with(f.Link, c.index, c.forwarding)
	}
}

// with sets or deletes a key of a map that holds true only.
func with(m map[int]bool, k int, v bool) map[int]bool {
	if m == nil {
		m = map[int]bool{}
	}
	if v {
		m[k] = true
	} else {
		delete(m, k)
	}
	return m
}
