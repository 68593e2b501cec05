package link

import (
	"encoding/binary"
	"iter"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

var native = binary.NativeEndian

// message is one netlink message (netlink(7)).
type message struct {
	kind  uint16
	flags uint16
	seq   uint32
	body  []byte
}

// messages walks the messages of one datagram; it stops at the first that does not fit.
func messages(b []byte) iter.Seq[message] {
	return func(yield func(message) bool) {
		for len(b) >= unix.NLMSG_HDRLEN {
			n := int(native.Uint32(b))
			if n < unix.NLMSG_HDRLEN || n > len(b) {
				return
			}
			m := message{native.Uint16(b[4:]), native.Uint16(b[6:]), native.Uint32(b[8:]), b[unix.NLMSG_HDRLEN:n]}
			if !yield(m) {
				return
			}
			b = b[min(align(n), len(b)):]
		}
	}
}

// attributes walks the attributes behind a header of this size (rtnetlink(7)).
func attributes(body []byte, header int) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		b := body[min(align(header), len(body)):]
		for len(b) >= unix.SizeofRtAttr {
			n := int(native.Uint16(b))
			if n < unix.SizeofRtAttr || n > len(b) {
				return
			}
			if !yield(native.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[unix.SizeofRtAttr:n]) {
				return
			}
			b = b[min(align(n), len(b)):]
		}
	}
}

// align is NLMSG_ALIGN and RTA_ALIGN.
func align(n int) int { return (n + 3) &^ 3 }

// decodeLink puts what a RTM_NEWLINK or RTM_DELLINK says over what was known of that link: a message about wireless
// events has hardly any attributes. False for what is not about a link itself: bridges report their ports in messages
// of the same type, and the end of a port is no end of the interface (br_ifinfo_notify in net/bridge/br_netlink.c).
func decodeLink(body []byte, old func(index int) Link) (Link, bool) {
	if len(body) < unix.SizeofIfInfomsg || body[0] != unix.AF_UNSPEC {
		return Link{}, false
	}
	index := int(int32(native.Uint32(body[4:])))
	if index <= 0 {
		return Link{}, false
	}
	l := old(index)
	l.Index = index
	l.Type = native.Uint16(body[2:])
	flags := native.Uint32(body[8:])
	l.Up, l.Carrier = flags&unix.IFF_UP != 0, flags&unix.IFF_LOWER_UP != 0
	l.Loopback, l.Multicast = flags&unix.IFF_LOOPBACK != 0, flags&unix.IFF_MULTICAST != 0
	master, whole := 0, false
	for kind, v := range attributes(body, unix.SizeofIfInfomsg) {
		switch kind {
		case unix.IFLA_IFNAME:
			l.Name = text(v)
		case unix.IFLA_ADDRESS:
			l.MAC = append(net.HardwareAddr(nil), v...)
		case unix.IFLA_MTU:
			if len(v) == 4 {
				l.MTU, whole = int(native.Uint32(v)), true
			}
		case unix.IFLA_MASTER:
			if len(v) == 4 {
				master = int(native.Uint32(v))
			}
		}
	}
	if whole {
		l.Master = master // the attribute is missing where there is none
	}
	return l, l.Name != ""
}

func text(v []byte) string {
	for i, c := range v {
		if c == 0 {
			return string(v[:i])
		}
	}
	return string(v)
}

// decodeAddr reads a RTM_NEWADDR or RTM_DELADDR.
func decodeAddr(body []byte, now clock.Instant) (index int, a Addr, ok bool) {
	if len(body) < unix.SizeofIfAddrmsg {
		return 0, Addr{}, false
	}
	bits := int(body[1])
	flags := uint32(body[2])
	index = int(native.Uint32(body[4:]))
	a = Addr{Preferred: Infinite, Valid: Infinite, At: now}
	var local, address netip.Addr
	for kind, v := range attributes(body, unix.SizeofIfAddrmsg) {
		switch kind {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(v)
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(v)
		case unix.IFA_FLAGS:
			if len(v) == 4 {
				flags = native.Uint32(v)
			}
		case unix.IFA_CACHEINFO:
			if len(v) >= unix.SizeofIfaCacheinfo {
				a.Preferred, a.Valid = lifetime(native.Uint32(v)), lifetime(native.Uint32(v[4:]))
			}
		}
	}
	if local.IsValid() {
		address = local // IFA_ADDRESS is the other end of a point-to-point link then
	}
	a.Prefix = netip.PrefixFrom(address, bits)
	a.Tentative = flags&unix.IFA_F_TENTATIVE != 0 && flags&unix.IFA_F_OPTIMISTIC == 0 || flags&unix.IFA_F_DADFAILED != 0
	// IFA_F_TEMPORARY has the value of IFA_F_SECONDARY, which is something else in IPv4.
	a.Temporary = address.Is6() && flags&unix.IFA_F_TEMPORARY != 0
	a.Deprecated = flags&unix.IFA_F_DEPRECATED != 0
	return index, a, a.Prefix.IsValid() && index > 0
}

func lifetime(seconds uint32) time.Duration {
	if seconds == 1<<32-1 {
		return Infinite
	}
	return time.Duration(seconds) * time.Second
}

// decodeNeighbour reads a RTM_NEWNEIGH or RTM_DELNEIGH.
func decodeNeighbour(kind uint16, body []byte) (Neighbour, bool) {
	if len(body) < unix.SizeofNdMsg || body[0] != unix.AF_INET && body[0] != unix.AF_INET6 {
		return Neighbour{}, false // AF_BRIDGE: a forwarding database
	}
	const (
		confirmed = unix.NUD_REACHABLE | unix.NUD_DELAY | unix.NUD_PROBE | unix.NUD_PERMANENT
		unknown   = unix.NUD_INCOMPLETE | unix.NUD_FAILED
	)
	state := native.Uint16(body[8:])
	n := Neighbour{Index: int(int32(native.Uint32(body[4:])))}
	for t, v := range attributes(body, unix.SizeofNdMsg) {
		switch t {
		case unix.NDA_DST:
			n.Addr, _ = netip.AddrFromSlice(v)
		case unix.NDA_LLADDR:
			n.MAC = append(net.HardwareAddr(nil), v...)
		}
	}
	if !n.Addr.IsValid() || n.Addr.IsMulticast() || state&unix.NUD_NOARP != 0 || body[10]&unix.NTF_PROXY != 0 || n.Index <= 0 {
		return Neighbour{}, false
	}
	n.Gone = kind == unix.RTM_DELNEIGH || state&unknown != 0 || state == unix.NUD_NONE || len(n.MAC) == 0
	n.Reachable = !n.Gone && state&confirmed != 0
	return n, true
}

// rtaNexthopID is RTA_NH_ID of rtnetlink.h, which golang.org/x/sys/unix lacks.
const rtaNexthopID = 30

// decodeDefaults reads a RTM_NEWROUTE or RTM_DELROUTE: the hops of a default route that leads somewhere; touches says
// that it is about some default route.
func decodeDefaults(body []byte) (hops []Default, touches bool) {
	if len(body) < unix.SizeofRtMsg || body[0] != unix.AF_INET && body[0] != unix.AF_INET6 || body[1] != 0 {
		return nil, false
	}
	table := uint32(body[4])
	flags := native.Uint32(body[8:])
	if flags&unix.RTM_F_CLONED != 0 {
		return nil, false
	}
	d := Default{V6: body[0] == unix.AF_INET6}
	var several []byte
	nexthop := false
	for t, v := range attributes(body, unix.SizeofRtMsg) {
		switch t {
		case unix.RTA_TABLE:
			if len(v) == 4 {
				table = native.Uint32(v)
			}
		case unix.RTA_PRIORITY:
			if len(v) == 4 {
				d.Metric = native.Uint32(v)
			}
		case unix.RTA_OIF:
			if len(v) == 4 {
				d.Index = int(native.Uint32(v))
			}
		case unix.RTA_GATEWAY:
			d.Gateway, _ = netip.AddrFromSlice(v)
		case unix.RTA_VIA:
			d.Gateway = via(v)
		case unix.RTA_MULTIPATH:
			several = v
		case rtaNexthopID:
			nexthop = true
		}
	}
	d.Table = table
	switch {
	case body[7] != unix.RTN_UNICAST, body[2] != 0: // unreachable and the like; for some sources only
		return nil, true
	case several != nil:
		return decodeHops(several, d), true
	case d.Index == 0 && !nexthop || flags&unix.RTNH_F_DEAD != 0:
		return nil, true
	}
	return []Default{d}, true
}

// via reads a gateway of the other family: struct rtvia.
func via(v []byte) netip.Addr {
	if len(v) < 2 {
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice(v[2:])
	return a
}

// decodeHops reads RTA_MULTIPATH: struct rtnexthop with attributes, again and again.
func decodeHops(b []byte, d Default) []Default {
	var out []Default
	for len(b) >= unix.SizeofRtNexthop {
		n := int(native.Uint16(b))
		if n < unix.SizeofRtNexthop || n > len(b) {
			return out
		}
		hop := d
		hop.Gateway = netip.Addr{}
		hop.Index = int(native.Uint32(b[4:]))
		for t, v := range attributes(b[:n], unix.SizeofRtNexthop) {
			switch t {
			case unix.RTA_GATEWAY:
				hop.Gateway, _ = netip.AddrFromSlice(v)
			case unix.RTA_VIA:
				hop.Gateway = via(v)
			}
		}
		if b[2]&unix.RTNH_F_DEAD == 0 {
			out = append(out, hop)
		}
		b = b[min(align(n), len(b)):]
	}
	return out
}

// Attributes of netconf.h, which golang.org/x/sys/unix lacks.
const (
	netconfIfIndex    = 1
	netconfForwarding = 2
	netconfAll        = -1
	sizeofNetconf     = 1
)

type netconf struct {
	v6         bool
	index      int // netconfAll for conf.all
	forwarding bool
}

// decodeNetconf reads a RTM_NEWNETCONF or RTM_DELNETCONF. False for one that does not speak of forwarding: a message
// about a changed sysctl has only that one.
func decodeNetconf(kind uint16, body []byte) (c netconf, ok bool) {
	if len(body) < sizeofNetconf || body[0] != unix.AF_INET && body[0] != unix.AF_INET6 {
		return netconf{}, false
	}
	c.v6 = body[0] == unix.AF_INET6
	has := kind == unix.RTM_DELNETCONF
	for t, v := range attributes(body, sizeofNetconf) {
		if len(v) != 4 {
			continue
		}
		n := int32(native.Uint32(v))
		switch t {
		case netconfIfIndex:
			c.index = int(n)
		case netconfForwarding:
			c.forwarding, has = n != 0, true
		}
	}
	return c, has && (c.index == netconfAll || c.index > 0) // not conf.default
}
