package route

import (
	"errors"
	"net/netip"
	"strconv"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/provision-net/provision/provision/host/rtnl"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// place is a name with its device resolved.
type place struct {
	row
	kind  uint8 // unix.RTN_*
	index int   // of the device, 0 for the types that have none
}

// row is what the kernel keeps in one list: routes of which the first is used.
type row struct {
	family uint8
	table  uint32
	dst    netip.Prefix
	metric uint32
}

// live is one route as the kernel tells it, or as it is wanted.
type live struct {
	place
	proto           uint8
	gateway, source netip.Addr
	mtu             uint32
	onlink          bool
	// plain: it has nothing that is not told here, so it can be made again as it was.
	plain bool
}

var (
	errMessage = errors.New("the kernel's answer is not understood")
	native     = nl.NativeEndian()
)

const rtaNexthop = 30 // RTA_NH_ID (linux/rtnetlink.h)

// decode reads RTM_NEWROUTE and puts the route behind list, or nothing for what no name can mean:
// routes of the local table, cached ones, and those with a TOS or a source prefix. IPv6 shows routes
// with one metric that are of several makers or devices as one with many hops; they are told
// apart again.
func decode(msg []byte, list []live) ([]live, error) {
	r, hops, ok, err := decodeOne(msg)
	if err != nil || !ok {
		return list, err
	}
	if len(hops) == 0 || r.family != unix.AF_INET6 {
		return append(list, r), nil
	}
	r.plain = r.plain && r.proto == Protocol
	for len(hops) >= unix.SizeofRtNexthop {
		size := int(native.Uint16(hops))
		if size < unix.SizeofRtNexthop || size > len(hops) {
			return list, errMessage
		}
		hop := r
		hop.onlink, hop.index, hop.gateway = hops[2]&unix.RTNH_F_ONLINK != 0, int(native.Uint32(hops[4:])), netip.Addr{}
		attrs, err := netdev.ParseAttrs(hops[unix.SizeofRtNexthop:size])
		if err != nil {
			return list, errMessage
		}
		for _, a := range attrs {
			if a.Kind == unix.RTA_GATEWAY {
				hop.gateway, _ = netip.AddrFromSlice(a.Data)
			} else {
				hop.plain = false
			}
		}
		list = append(list, hop)
		hops = hops[min((size+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1), len(hops)):]
	}
	return list, nil
}

func decodeOne(msg []byte) (r live, hops []byte, ok bool, err error) {
	if len(msg) < unix.SizeofRtMsg {
		return r, nil, false, errMessage
	}
	family, dstLen, srcLen, tos, table, proto, kind := msg[0], msg[1], msg[2], msg[3], msg[4], msg[5], msg[7]
	flags := native.Uint32(msg[8:])
	if table == unix.RT_TABLE_LOCAL || flags&unix.RTM_F_CLONED != 0 || srcLen != 0 || tos != 0 || family != unix.AF_INET && family != unix.AF_INET6 {
		return r, nil, false, nil
	}
	list, err := netdev.ParseAttrs(msg[unix.SizeofRtMsg:])
	if err != nil {
		return r, nil, false, errMessage
	}
	r.proto, r.onlink, r.plain = proto, flags&unix.RTNH_F_ONLINK != 0, true
	r.family, r.table, r.kind = family, uint32(table), kind
	dst := netip.IPv4Unspecified()
	if family == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	for _, a := range list {
		v := a.Data
		switch kind := a.Kind &^ unix.NLA_F_NESTED; kind {
		case unix.RTA_TABLE, unix.RTA_PRIORITY, unix.RTA_OIF:
			if len(v) != 4 {
				return r, nil, false, errMessage
			}
			n := native.Uint32(v)
			switch kind {
			case unix.RTA_TABLE:
				r.table = n
			case unix.RTA_PRIORITY:
				r.metric = n
			default:
				r.index = int(n)
			}
		case unix.RTA_DST, unix.RTA_GATEWAY, unix.RTA_PREFSRC:
			addr, ok := netip.AddrFromSlice(v)
			if !ok || addr.Is4() != (family == unix.AF_INET) {
				return r, nil, false, errMessage
			}
			switch kind {
			case unix.RTA_DST:
				dst = addr
			case unix.RTA_GATEWAY:
				r.gateway = addr
			default:
				r.source = addr
			}
		case unix.RTA_VIA: // struct rtvia: family, address
			if len(v) < 2 {
				return r, nil, false, errMessage
			}
			addr, ok := netip.AddrFromSlice(v[2:])
			if !ok {
				return r, nil, false, errMessage
			}
			r.gateway = addr
		case unix.RTA_METRICS:
			if err := r.metrics(v); err != nil {
				return r, nil, false, err
			}
		case unix.RTA_PREF:
			r.plain = r.plain && len(v) == 1 && v[0] == 0 // medium
		case unix.RTA_CACHEINFO:
			r.plain = r.plain && (len(v) < 12 || native.Uint32(v[8:]) == 0) // it expires
		case unix.RTA_MULTIPATH:
			hops = v
			r.plain = r.plain && family == unix.AF_INET6
		case unix.RTA_ENCAP, rtaNexthop, unix.RTA_FLOW:
			r.plain = false
		}
	}
	if r.dst = netip.PrefixFrom(dst, int(dstLen)).Masked(); !r.dst.IsValid() {
		return r, nil, false, errMessage
	}
	if r.kind != unix.RTN_UNICAST {
		r.index = 0 // IPv6 says lo
	}
	return r, hops, true, nil
}

func (r *live) metrics(v []byte) error {
	list, err := netdev.ParseAttrs(v)
	if err != nil {
		return errMessage
	}
	for _, m := range list {
		if m.Kind == unix.RTAX_MTU && len(m.Data) == 4 {
			r.mtu = native.Uint32(m.Data)
		} else {
			r.plain = false
		}
	}
	return nil
}

func (r live) attrs() provision.Attrs {
	s := Spec{Gateway: r.gateway, Source: r.source, MTU: r.mtu, OnLink: r.onlink}
	a := s.attrs()
	for k, v := range a {
		if v == "" {
			delete(a, k)
		}
	}
	a[AttrProto] = strconv.Itoa(int(r.proto))
	return a
}

// add is the body of RTM_NEWROUTE.
func (r live) add() []byte { return r.encode(true) }

// del is the body of RTM_DELROUTE. The kernel compares what is given, and takes the first that
// fits (net/ipv4/fib_trie.c fib_table_delete, net/ipv6/route.c ip6_route_del).
func (r live) del() []byte { return r.encode(false) }

func (r live) encode(adding bool) []byte {
	scope := uint8(unix.RT_SCOPE_UNIVERSE)
	switch {
	case !adding:
		scope = unix.RT_SCOPE_NOWHERE // any
	case r.family == unix.AF_INET && r.kind == unix.RTN_UNICAST && !r.gateway.IsValid():
		scope = unix.RT_SCOPE_LINK
	}
	table := uint8(unix.RT_TABLE_UNSPEC)
	if r.table < 256 {
		table = uint8(r.table)
	}
	b := make([]byte, unix.SizeofRtMsg, 96)
	b[0], b[1], b[4], b[5], b[6], b[7] = r.family, uint8(r.dst.Bits()), table, r.proto, scope, r.kind
	if r.onlink {
		native.PutUint32(b[8:], unix.RTNH_F_ONLINK)
	}
	b = rtnl.AppendAttr(b, unix.RTA_TABLE, rtnl.U32(r.table))
	if r.dst.Bits() > 0 {
		b = rtnl.AppendAttr(b, unix.RTA_DST, r.dst.Addr().AsSlice())
	}
	if r.metric != 0 {
		b = rtnl.AppendAttr(b, unix.RTA_PRIORITY, rtnl.U32(r.metric))
	}
	if r.index != 0 {
		b = rtnl.AppendAttr(b, unix.RTA_OIF, rtnl.U32(uint32(r.index)))
	}
	if g := r.gateway; g.IsValid() {
		if g.Is4() == (r.family == unix.AF_INET) {
			b = rtnl.AppendAttr(b, unix.RTA_GATEWAY, g.AsSlice())
		} else {
			family := uint16(unix.AF_INET6)
			if g.Is4() {
				family = unix.AF_INET
			}
			via := make([]byte, 2, 18)
			native.PutUint16(via, family)
			b = rtnl.AppendAttr(b, unix.RTA_VIA, append(via, g.AsSlice()...))
		}
	}
	if r.source.IsValid() {
		b = rtnl.AppendAttr(b, unix.RTA_PREFSRC, r.source.AsSlice())
	}
	if r.mtu != 0 {
		b = rtnl.AppendAttr(b, unix.RTA_METRICS|unix.NLA_F_NESTED, rtnl.AppendAttr(nil, unix.RTAX_MTU, rtnl.U32(r.mtu)))
	}
	return b
}
