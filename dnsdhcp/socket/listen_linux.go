package socket

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/dnsdhcp/link"
)

// listenUDP opens a UDP socket as o says, on the link if it has a name.
func listenUDP(l link.Link, o udpOptions) (*sock, error) {
	family := o.family
	if a := o.addr; a.IsValid() {
		family = family6
		if a.Is4() {
			family = family4
		}
	}
	s, err := tryUDP(l, o, family)
	if family == familyBoth && isNoIPv6(err) {
		s, err = tryUDP(l, o, family4)
	}
	if err != nil {
		return nil, explain(err, failure{purpose: o.purpose, link: l.Name, addr: o.addr, proto: "udp", port: o.port})
	}
	return s, nil
}

// isNoIPv6 is true for a kernel without it, or with ipv6.disable=1.
func isNoIPv6(err error) bool {
	e, ok := errno(err)
	return ok && (e == unix.EAFNOSUPPORT || e == unix.EADDRNOTAVAIL)
}

func tryUDP(l link.Link, o udpOptions, family int) (*sock, error) {
	domain := unix.AF_INET6
	if family == family4 {
		domain = unix.AF_INET
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_UDP)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := setUDP(fd, l, o, family); err != nil {
		unix.Close(fd)
		return nil, err
	}
	s, err := newSock(fd, l)
	if err != nil {
		return nil, err
	}
	s.v6 = domain == unix.AF_INET6
	return s, nil
}

func setUDP(fd int, l link.Link, o udpOptions, family int) error {
	set := options{fd: fd}
	set.device(l)
	set.flag(o.shared, "SO_REUSEADDR", unix.SOL_SOCKET, unix.SO_REUSEADDR)
	set.flag(o.reusePort, "SO_REUSEPORT", unix.SOL_SOCKET, unix.SO_REUSEPORT)
	set.flag(o.broadcast, "SO_BROADCAST", unix.SOL_SOCKET, unix.SO_BROADCAST)
	set.receiveBuffer(o.buffer)
	if family != family6 {
		set.ipv4(l, o, family == family4)
	}
	if family != family4 {
		set.ipv6(l, o, family == family6)
	}
	if set.err != nil {
		return set.err
	}
	var sa unix.Sockaddr
	switch a := o.addr; {
	case family == family4 && a.IsValid():
		sa = &unix.SockaddrInet4{Port: int(o.port), Addr: a.As4()}
	case family == family4:
		sa = &unix.SockaddrInet4{Port: int(o.port)}
	case a.IsValid():
		sa = &unix.SockaddrInet6{Port: int(o.port), Addr: a.As16(), ZoneId: zoneID(a)}
	default:
		sa = &unix.SockaddrInet6{Port: int(o.port)}
	}
	if err := unix.Bind(fd, sa); err != nil {
		return os.NewSyscallError("bind", err)
	}
	// Other sockets of ours may join from now on; those of others were kept out by the bind.
	set.flag(o.letReuse, "SO_REUSEPORT", unix.SOL_SOCKET, unix.SO_REUSEPORT)
	for _, g := range o.groups {
		switch {
		case g.Is4():
			set.membership4(g, l.Index)
		case family != family4:
			set.membership6(g, l.Index)
		}
	}
	return set.err
}

func zoneID(a netip.Addr) uint32 {
	if a.Zone() == "" {
		return 0
	}
	i, err := net.InterfaceByName(a.Zone())
	if err != nil {
		return 0
	}
	return uint32(i.Index)
}

// options sets socket options until one fails.
type options struct {
	fd  int
	err error
}

func (o *options) int(name string, level, opt, value int) {
	if o.err == nil {
		o.err = os.NewSyscallError("setsockopt "+name, unix.SetsockoptInt(o.fd, level, opt, value))
	}
}

func (o *options) flag(on bool, name string, level, opt int) {
	if on {
		o.int(name, level, opt, 1)
	}
}

// device binds the socket to the link's present incarnation: by index, since the name may belong to the next one already.
// Kernels before 5.1 know names only, and there the index is asked for again.
func (o *options) device(l link.Link) {
	if o.err != nil || l.Name == "" {
		return
	}
	err := unix.SetsockoptInt(o.fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, l.Index)
	if err == unix.ENOPROTOOPT {
		if err = unix.SetsockoptString(o.fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, l.Name); err == nil {
			if i, e := net.InterfaceByName(l.Name); e != nil || i.Index != l.Index {
				err = unix.ENODEV
			}
		}
	}
	if err == nil && deviceGone(uintptr(o.fd), l.Index) {
		err = unix.ENODEV // the kernel does not look whether there is one
	}
	o.err = os.NewSyscallError("setsockopt SO_BINDTODEVICE", err)
}

func (o *options) receiveBuffer(n int) {
	// Without CAP_NET_ADMIN it is at most net.core.rmem_max; less room is no reason not to serve.
	if n > 0 && o.err == nil && unix.SetsockoptInt(o.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, n) != nil {
		_ = unix.SetsockoptInt(o.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, n)
	}
}

func (o *options) ipv4(l link.Link, u udpOptions, alone bool) {
	if alone {
		o.int("IP_PKTINFO", unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
	}
	// Fragments are neither wanted nor is a forged "fragmentation needed" believed.
	o.int("IP_MTU_DISCOVER", unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT)
	if u.hops > 0 {
		o.int("IP_TTL", unix.IPPROTO_IP, unix.IP_TTL, u.hops)
		o.int("IP_MULTICAST_TTL", unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, u.hops)
	}
	if len(u.groups) > 0 {
		// Without it a socket gets what comes for any group that anybody on this machine has joined.
		o.int("IP_MULTICAST_ALL", unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)
	}
}

func (o *options) ipv6(l link.Link, u udpOptions, alone bool) {
	only := 0
	if alone {
		only = 1
	}
	o.int("IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
	o.int("IPV6_RECVPKTINFO", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	o.int("IPV6_MTU_DISCOVER", unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT)
	if u.hops > 0 {
		o.int("IPV6_UNICAST_HOPS", unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, u.hops)
		o.int("IPV6_MULTICAST_HOPS", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, u.hops)
	}
	if l.Index != 0 && len(u.groups) > 0 {
		o.int("IPV6_MULTICAST_IF", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, l.Index)
	}
}

func (o *options) membership4(g netip.Addr, index int) {
	if o.err == nil {
		m := &unix.IPMreqn{Multiaddr: g.As4(), Ifindex: int32(index)}
		o.err = os.NewSyscallError("setsockopt IP_ADD_MEMBERSHIP", unix.SetsockoptIPMreqn(o.fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, m))
	}
}

func (o *options) membership6(g netip.Addr, index int) {
	if o.err == nil {
		m := &unix.IPv6Mreq{Multiaddr: g.As16(), Interface: uint32(index)}
		o.err = os.NewSyscallError("setsockopt IPV6_ADD_MEMBERSHIP", unix.SetsockoptIPv6Mreq(o.fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, m))
	}
}

// Router solicitation and advertisement (RFC 4861 section 4).
const (
	icmpRS = 133
	icmpRA = 134
)

func listenICMPv6(l link.Link) (*sock, error) {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMPV6)
	if err == nil {
		if err = setICMPv6(fd, l); err != nil {
			unix.Close(fd)
		}
	} else {
		err = os.NewSyscallError("socket", err)
	}
	if err != nil {
		return nil, explain(err, failure{purpose: "router advertisements", link: l.Name})
	}
	s, err := newSock(fd, l)
	if err != nil {
		return nil, err
	}
	s.v6, s.port0 = true, true
	return s, nil
}

func setICMPv6(fd int, l link.Link) error {
	// A set bit keeps a type out (RFC 3542 section 3.2). First of all, since a raw socket receives from the start.
	var filter unix.ICMPv6Filter
	for i := range filter.Data {
		filter.Data[i] = ^uint32(0)
	}
	for _, t := range []int{icmpRS, icmpRA} {
		filter.Data[t/32] &^= 1 << (t % 32)
	}
	if err := unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &filter); err != nil {
		return os.NewSyscallError("setsockopt ICMPV6_FILTER", err)
	}
	set := options{fd: fd}
	set.device(l)
	set.receiveBuffer(256 << 10)
	set.int("IPV6_RECVPKTINFO", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	set.int("IPV6_RECVHOPLIMIT", unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1)
	set.int("IPV6_UNICAST_HOPS", unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, 255)
	set.int("IPV6_MULTICAST_HOPS", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255)
	set.int("IPV6_MULTICAST_IF", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, l.Index)
	set.int("IPV6_MULTICAST_LOOP", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0)
	set.membership6(allRouters, l.Index)
	set.membership6(allNodes, l.Index)
	return set.err
}

// bindTo is a Control function that binds to a device, if there is one to be bound to, and keeps fragments away. The index
// is 0 if any incarnation of the device will do.
func bindTo(device string, index int) func(network, address string, c syscall.RawConn) error {
	return func(network, _ string, c syscall.RawConn) error {
		var err error
		e := c.Control(func(fd uintptr) {
			switch {
			case index != 0:
				set := options{fd: int(fd)}
				set.device(link.Link{Name: device, Index: index})
				err = set.err
			case device != "":
				err = os.NewSyscallError("setsockopt SO_BINDTODEVICE",
					unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, device))
			}
			// TCP wants to know the path's MTU; a datagram of a resolver is short.
			switch {
			case err != nil:
			case network == "udp4":
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT)
			case network == "udp6":
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT)
			}
		})
		if e != nil {
			return e
		}
		if err != nil && device != "" {
			return fmt.Errorf("cannot bind to %s: %w", device, err)
		}
		return err
	}
}
