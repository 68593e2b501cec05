package address

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/provision-net/provision/provision/host/rtnl"
)

// ifaProto is IFA_PROTO of linux/if_addr.h, since Linux 5.18.
const ifaProto = 11

// entry is one address as rtnetlink(7) has it.
type entry struct {
	index  int
	addr   netip.Prefix
	flags  uint32
	metric uint32
	proto  uint8
	scope  uint8  // rtnetlink(7) rtm_scope; IPv4 keeps what was asked for
	raw    []byte // the kernel's whole message
	extra  []byte // attributes that only pass through: a peer, a broadcast address, a label
}

// flagNames in their canonical order.
var flagNames = [...]struct {
	bit  uint32
	name string
}{{unix.IFA_F_NODAD, NoDAD}, {unix.IFA_F_NOPREFIXROUTE, NoPrefixRoute}}

const settable = unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE

func (e entry) attrs() provision.Attrs {
	var flags []string
	for _, f := range flagNames {
		if e.flags&f.bit != 0 {
			flags = append(flags, f.name)
		}
	}
	return provision.Attrs{AttrFlags: strings.Join(flags, " "), AttrMetric: decimal(uint64(e.metric)), AttrProto: decimal(uint64(e.proto))}
}

func (e entry) same(o entry) bool {
	return e.flags&settable == o.flags&settable && e.metric == o.metric && e.proto == o.proto
}

// take sets what want lists.
func (e *entry) take(name string, want provision.Attrs) error {
	for k, v := range want {
		switch k {
		case AttrFlags:
			e.flags &^= settable
			rest := v
			for _, f := range flagNames {
				if tail, ok := strings.CutPrefix(rest, f.name); ok && (tail == "" || tail[0] == ' ' && tail != " ") {
					rest = strings.TrimPrefix(tail, " ")
					e.flags |= f.bit
				}
			}
			if rest != "" {
				return fmt.Errorf("address %s: flags %q: want %s, %s or both, in this order", name, v, NoDAD, NoPrefixRoute)
			}
			if e.flags&unix.IFA_F_NODAD != 0 && e.addr.Addr().Is4() {
				return fmt.Errorf("address %s: %s is for IPv6: the kernel detects no duplicates of IPv4 addresses", name, NoDAD)
			}
		case AttrMetric:
			n, ok := number(v, 32)
			if !ok {
				return fmt.Errorf("address %s: metric %q is no number", name, v)
			}
			e.metric = uint32(n)
		case AttrProto:
			n, ok := number(v, 8)
			if !ok {
				return fmt.Errorf("address %s: proto %q is no protocol number", name, v)
			}
			e.proto = uint8(n)
		default:
			return fmt.Errorf("cannot set %s of address %s: unknown attribute", k, name)
		}
	}
	return nil
}

// decode reads a struct ifaddrmsg with its attributes. What is no address of IP has none.
func decode(msg []byte) (entry, error) {
	if len(msg) < unix.SizeofIfAddrmsg {
		return entry{}, errors.New("short answer of the kernel")
	}
	h := nl.DeserializeIfAddrmsg(msg)
	e := entry{index: int(h.Index), flags: uint32(h.IfAddrmsg.Flags), scope: h.Scope, raw: msg}
	attrs, err := netdev.ParseAttrs(msg[unix.SizeofIfAddrmsg:])
	if err != nil {
		return entry{}, err
	}
	var local, address netip.Addr
	for _, a := range attrs {
		switch a.Kind {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(a.Data)
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(a.Data)
		case unix.IFA_FLAGS:
			if len(a.Data) >= 4 {
				e.flags = nl.NativeEndian().Uint32(a.Data)
			}
		case unix.IFA_RT_PRIORITY:
			if len(a.Data) >= 4 {
				e.metric = nl.NativeEndian().Uint32(a.Data)
			}
		case ifaProto:
			if len(a.Data) > 0 {
				e.proto = a.Data[0]
			}
		}
	}
	own := local
	if !own.IsValid() {
		own = address // IPv6 has IFA_LOCAL only beside a peer
	}
	if own.Is4() && h.Family != unix.AF_INET || own.Is6() && h.Family != unix.AF_INET6 || own.Is4In6() || int(h.Prefixlen) > own.BitLen() {
		return entry{}, nil
	}
	e.addr = netip.PrefixFrom(own, int(h.Prefixlen))
	for _, a := range attrs {
		switch a.Kind {
		case unix.IFA_BROADCAST, unix.IFA_LABEL, unix.IFA_ANYCAST:
			e.extra = rtnl.AppendAttr(e.extra, a.Kind, a.Data)
		case unix.IFA_ADDRESS:
			if address != own {
				e.extra = rtnl.AppendAttr(e.extra, a.Kind, a.Data)
			}
		}
	}
	return e, nil
}

// encode writes the request that makes, changes or removes it. Without a lifetime it is permanent.
func (e entry) encode() []byte {
	ip := e.addr.Addr()
	family := unix.AF_INET
	if ip.Is6() {
		family = unix.AF_INET6
	}
	h := nl.NewIfAddrmsg(family)
	h.Index, h.Prefixlen, h.Scope = uint32(e.index), uint8(e.addr.Bits()), e.scope
	flags := e.flags & settable
	h.IfAddrmsg.Flags = uint8(flags)
	b := append([]byte(nil), h.Serialize()...)
	b = rtnl.AppendAttr(b, unix.IFA_LOCAL, ip.AsSlice())
	if e.extra == nil {
		b = rtnl.AppendAttr(b, unix.IFA_ADDRESS, ip.AsSlice())
		if last, ok := broadcast(e.addr); ok {
			b = rtnl.AppendAttr(b, unix.IFA_BROADCAST, last.AsSlice())
		}
	} else {
		if !e.peered() {
			b = rtnl.AppendAttr(b, unix.IFA_ADDRESS, ip.AsSlice())
		}
		b = append(b, e.extra...)
	}
	b = rtnl.AppendAttr(b, unix.IFA_FLAGS, rtnl.U32(flags))
	if e.metric != 0 {
		b = rtnl.AppendAttr(b, unix.IFA_RT_PRIORITY, rtnl.U32(e.metric))
	}
	if e.proto != 0 {
		b = rtnl.AppendAttr(b, ifaProto, []byte{e.proto})
	}
	return b
}

// peered reports whether what passes through names the other end.
func (e entry) peered() bool {
	list, err := netdev.ParseAttrs(e.extra)
	if err != nil {
		return false
	}
	for _, a := range list {
		if a.Kind == unix.IFA_ADDRESS {
			return true
		}
	}
	return false
}

// broadcast is the last address of an IPv4 network, as every network manager sets it; the kernel
// does not by itself. Networks of one or two addresses have none (RFC 3021).
func broadcast(p netip.Prefix) (netip.Addr, bool) {
	if !p.Addr().Is4() || p.Bits() > 30 {
		return netip.Addr{}, false
	}
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	return netip.AddrFrom4(b), true
}
