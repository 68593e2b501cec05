package guard

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// kernel looks with rtnetlink, sock_diag and packet sockets.
type kernel struct {
	probers map[hopKey]*prober
	seen    map[string]bool // sessions whose socket the kernel has shown
}

type hopKey struct {
	index   int
	nextHop netip.Addr
}

func newEye(ws []*watched) (eye, error) {
	k := &kernel{probers: map[hopKey]*prober{}, seen: map[string]bool{}}
	var fds []unix.PollFd
	for _, w := range ws {
		p := route(w.Session)
		if p.Broken != "" {
			continue
		}
		pr, err := k.prober(w.Session, p)
		if errors.Is(err, unix.EPERM) {
			k.close()
			return nil, err
		}
		if err != nil {
			continue // the link has just gone; look says so
		}
		if pr.fd >= 0 {
			pr.ask(time.Now())
			fds = append(fds, unix.PollFd{Fd: int32(pr.fd), Events: unix.POLLIN})
		}
	}
	// One answer each tells who answers at all.
	end := time.Now().Add(300 * time.Millisecond)
	for k.waiting() {
		left := time.Until(end)
		if left <= 0 {
			break
		}
		if _, err := unix.Poll(fds, int(left.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
			k.close()
			return nil, fmt.Errorf("cannot wait for the next hops: %w", err)
		}
		for _, p := range k.probers {
			p.hear(time.Now())
		}
	}
	return k, nil
}

func (k *kernel) waiting() bool {
	for _, p := range k.probers {
		if p.fd >= 0 && !p.answered {
			return true
		}
	}
	return false
}

func (k *kernel) look(s Session, now time.Time) (sample, error) {
	out := sample{Now: now, Path: route(s)}
	f, err := tcpInfo(s.Local, s.Remote)
	switch {
	case err == nil:
		k.seen[s.key()] = true
		out.Flow = f
	case errors.Is(err, errEnding):
		out.Closed = true
	case errors.Is(err, errNoSocket):
		// A kernel without tcp_diag says the same of a connection that lives.
		out.Closed = k.seen[s.key()]
	}
	if out.Path.Broken != "" || out.Closed {
		return out, nil
	}
	p, err := k.prober(s, out.Path)
	if err != nil {
		return out, err
	}
	out.Path.Link = p.link
	if p.fd < 0 {
		return out, nil
	}
	p.hear(now)
	if now.Sub(p.asked) >= probeGap {
		p.ask(now)
	}
	out.Hop = hopState{Probeable: true, Answered: p.answered, Unanswered: p.unanswered}
	if p.answered {
		out.Hop.Silent = now.Sub(p.heard)
	}
	return out, nil
}

func (s Session) key() string { return s.Local.String() + " " + s.Remote.String() }

func (k *kernel) close() {
	for _, p := range k.probers {
		if p.fd >= 0 {
			unix.Close(p.fd)
		}
	}
	k.probers = nil
}

// route asks the kernel for the way of the session's packets, and whether the
// address that they come from is still here.
func route(s Session) path {
	local, remote := s.Local.Addr().Unmap(), s.Remote.Addr().Unmap()
	if err := bindable(s); err != nil {
		return path{Broken: fmt.Sprintf("its address %v on this machine is gone", local)}
	}
	opt := &netlink.RouteGetOptions{SrcAddr: local.AsSlice(), OifIndex: zone(s.Local, s.Remote)}
	rs, err := netlink.RouteGetWithOptions(remote.AsSlice(), opt)
	if err != nil || len(rs) == 0 {
		return path{Broken: fmt.Sprintf("no route to %v (%v)", remote, err)}
	}
	r := rs[0]
	p := path{Index: r.LinkIndex, NextHop: remote.WithZone("")}
	if g, ok := netip.AddrFromSlice(r.Gw); ok {
		p.NextHop = g.Unmap()
	} else if v, ok := r.Via.(*netlink.Via); ok {
		if g, ok := netip.AddrFromSlice(v.Addr); ok {
			p.NextHop = g
		}
	}
	return p
}

// bindable tries to bind a socket to the session's address: that the kernel would
// still accept packets to it.
func bindable(s Session) error {
	a := s.Local.Addr().Unmap()
	var to unix.Sockaddr = &unix.SockaddrInet6{Addr: a.As16(), ZoneId: uint32(zone(s.Local, s.Remote))}
	domain := unix.AF_INET6
	if a.Is4() {
		domain = unix.AF_INET
		to = &unix.SockaddrInet4{Addr: a.As4()}
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil // that says nothing about the address
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, to); errors.Is(err, unix.EADDRNOTAVAIL) {
		return err
	}
	return nil
}

func indexOf(name string) int {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0
	}
	return i.Index
}
