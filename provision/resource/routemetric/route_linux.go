package routemetric

import (
	"encoding/binary"
	"errors"
	"slices"

	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// route is one default route as the kernel tells it. What is not understood is
// kept as it came, so that the same route with another metric is the same in
// everything else.
type route struct {
	family  uint8
	srcLen  uint8 // of source-specific routes, with unix.RTA_SRC in attrs
	tos     uint8
	proto   uint8
	scope   uint8
	kind    uint8  // unix.RTN_*
	flags   uint32 // of those that a request may carry: unix.RTNH_F_ONLINK
	metric  uint32
	nexthop uint32 // id of the nexthop object, 0 without one
	expires uint32 // seconds left, 0 for ever
	hops    []hop
	attrs   []attr // prefsrc, metrics, router preference, source
}

// hop is one next hop.
type hop struct {
	link   int
	weight uint8 // one less than the weight, as in struct rtnexthop
	flags  uint8
	attrs  []attr // gateway, via, encapsulation, realm
}

type attr struct {
	kind uint16
	data []byte
}

var native = nl.NativeEndian()

// rtaNexthop is RTA_NH_ID (linux/rtnetlink.h).
const rtaNexthop = 30

// userHZ is the unit of struct rta_cacheinfo towards user space, on all
// architectures that Go knows.
const userHZ = 100

var errMessage = errors.New("the kernel's answer is not understood")

// decode reads a message of RTM_NEWROUTE. It reports false for everything but
// unicast default routes of the main table.
func decode(msg []byte) (route, bool, error) {
	if len(msg) < unix.SizeofRtMsg {
		return route{}, false, errMessage
	}
	h := nl.DeserializeRtMsg(msg)
	if h.Dst_len != 0 || h.Type != unix.RTN_UNICAST || h.Flags&unix.RTM_F_CLONED != 0 {
		return route{}, false, nil
	}
	list, err := netdev.ParseAttrs(msg[unix.SizeofRtMsg:])
	if err != nil {
		return route{}, false, errMessage
	}
	r := route{
		family: h.Family, srcLen: h.Src_len, tos: h.Tos, proto: h.Protocol, scope: h.Scope, kind: h.Type,
		flags: h.Flags & unix.RTNH_F_ONLINK,
	}
	table := uint32(h.Table)
	var single hop
	for _, a := range list {
		kind, v := a.Kind&^unix.NLA_F_NESTED, slices.Clone(a.Data)
		if ofHop(kind) {
			single.attrs = append(single.attrs, attr{a.Kind, v})
			continue
		}
		switch kind {
		case unix.RTA_TABLE, unix.RTA_PRIORITY, unix.RTA_OIF, rtaNexthop:
			if len(v) != 4 {
				return route{}, false, errMessage
			}
			n := native.Uint32(v)
			switch kind {
			case unix.RTA_TABLE:
				table = n
			case unix.RTA_PRIORITY:
				r.metric = n
			case unix.RTA_OIF:
				single.link = int(n)
			case rtaNexthop:
				r.nexthop = n
			}
		case unix.RTA_CACHEINFO:
			r.expires = expires(v)
		case unix.RTA_MULTIPATH:
			if r.hops, err = decodeHops(v); err != nil {
				return route{}, false, err
			}
		case unix.RTA_SRC, unix.RTA_PREFSRC, unix.RTA_METRICS, unix.RTA_PREF, unix.RTA_TTL_PROPAGATE:
			r.attrs = append(r.attrs, attr{a.Kind, v})
		}
	}
	if table != unix.RT_TABLE_MAIN {
		return route{}, false, nil
	}
	if len(r.hops) == 0 && single.link != 0 {
		single.flags = uint8(r.flags)
		r.hops = []hop{single}
	}
	return r, len(r.hops) > 0 || r.nexthop != 0, nil
}

// expires reads struct rta_cacheinfo (linux/rtnetlink.h): its third field are the
// clock ticks left, 0 for ever.
func expires(v []byte) uint32 {
	if len(v) < 12 {
		return 0
	}
	ticks := int32(native.Uint32(v[8:]))
	switch {
	case ticks == 0:
		return 0
	case ticks < userHZ: // about to go, or gone and not yet collected
		return 1
	}
	return uint32(ticks) / userHZ
}

// ofHop tells the attributes of a next hop, which a route with one hop has itself.
func ofHop(kind uint16) bool {
	switch kind {
	case unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_ENCAP, unix.RTA_ENCAP_TYPE, unix.RTA_FLOW:
		return true
	}
	return false
}

func decodeHops(v []byte) ([]hop, error) {
	var hops []hop
	seen := false
	for len(v) >= unix.SizeofRtNexthop {
		size := int(native.Uint16(v))
		if size < unix.SizeofRtNexthop || size > len(v) {
			return nil, errMessage
		}
		h := hop{flags: v[2] & unix.RTNH_F_ONLINK, weight: v[3], link: int(native.Uint32(v[4:]))}
		list, err := netdev.ParseAttrs(v[unix.SizeofRtNexthop:size])
		if err != nil {
			return nil, errMessage
		}
		for _, a := range list {
			if ofHop(a.Kind &^ unix.NLA_F_NESTED) {
				h.attrs = append(h.attrs, attr{a.Kind, slices.Clone(a.Data)})
			}
		}
		// A hop whose device is gone has index 0 (net/ipv4/fib_semantics.c,
		// fib_add_nexthop); it belongs to no link.
		if seen = true; h.link != 0 {
			hops = append(hops, h)
		}
		v = v[min(align(size), len(v)):]
	}
	if !seen {
		return nil, errMessage
	}
	return hops, nil
}

func align(n int) int { return (n + unix.NLA_ALIGNTO - 1) &^ (unix.NLA_ALIGNTO - 1) }

// with is the same route with other hops. A nexthop object stands for all of its
// hops, so a part is told hop by hop.
func (r route) with(hops []hop) route {
	if len(hops) != len(r.hops) {
		r.nexthop = 0
	}
	r.hops = hops
	return r
}

// at is the same route with another metric.
func (r route) at(metric uint32) route {
	r.metric = metric
	return r
}

// add is the body of RTM_NEWROUTE.
func (r route) add() []byte { return r.encode(true) }

// del is the body of RTM_DELROUTE that fits this route and no other. The kernel
// compares what is given: metrics of the path are left out, since they change.
func (r route) del() []byte { return r.encode(false) }

func (r route) encode(adding bool) []byte {
	h := unix.RtMsg{
		Family: r.family, Src_len: r.srcLen, Tos: r.tos, Table: unix.RT_TABLE_MAIN,
		Protocol: r.proto, Scope: r.scope, Type: r.kind, Flags: r.flags,
	}
	// One hop alone is told without a list, except where that would lose a weight.
	flat := r.nexthop == 0 && len(r.hops) == 1 && (r.hops[0].weight == 0 || !adding)
	if flat {
		h.Flags = uint32(r.hops[0].flags)
	}
	m := (&nl.RtMsg{RtMsg: h}).Serialize()
	m = slices.Clone(m)
	m = appendAttr(m, unix.RTA_PRIORITY, u32(r.metric))
	for _, a := range r.attrs {
		if adding || a.kind == unix.RTA_SRC || a.kind == unix.RTA_PREFSRC {
			m = appendAttr(m, a.kind, a.data)
		}
	}
	if adding && r.expires > 0 {
		m = appendAttr(m, unix.RTA_EXPIRES, u32(r.expires))
	}
	switch {
	case r.nexthop != 0:
		m = appendAttr(m, rtaNexthop, u32(r.nexthop))
	case flat:
		m = appendAttr(m, unix.RTA_OIF, u32(uint32(r.hops[0].link)))
		for _, a := range r.hops[0].attrs {
			m = appendAttr(m, a.kind, a.data)
		}
	default:
		m = appendAttr(m, unix.RTA_MULTIPATH, encodeHops(r.hops))
	}
	return m
}

func encodeHops(hops []hop) []byte {
	var out []byte
	for _, h := range hops {
		var body []byte
		for _, a := range h.attrs {
			body = appendAttr(body, a.kind, a.data)
		}
		out = native.(binary.AppendByteOrder).AppendUint16(out, uint16(unix.SizeofRtNexthop+len(body)))
		out = append(out, h.flags, h.weight)
		out = native.(binary.AppendByteOrder).AppendUint32(out, uint32(h.link))
		out = append(out, body...)
	}
	return out
}

func appendAttr(b []byte, kind uint16, data []byte) []byte {
	b = append(b, nl.NewRtAttr(int(kind), data).Serialize()...)
	return b
}

func u32(n uint32) []byte { return nl.Uint32Attr(n) }
