package foreign

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// Message is one RTM_NEWADDR, RTM_NEWROUTE or RTM_NEWRULE as dumped by the kernel,
// without its nlmsghdr (rtnetlink(7)).
type Message struct {
	Type uint16 `json:"type"`
	Data []byte `json:"data"`
}

// attr is one rtattr.
type attr struct {
	typ   uint16
	value []byte
}

// attributes follow the fixed part of a message.
func attributes(b []byte) ([]attr, error) {
	var out []attr
	for len(b) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return nil, fmt.Errorf("attribute of %d bytes in %d", n, len(b))
		}
		typ := binary.NativeEndian.Uint16(b[2:]) & 0x3fff // without NLA_F_NESTED and NLA_F_NET_BYTEORDER
		out = append(out, attr{typ, b[unix.SizeofRtAttr:n]})
		b = b[min((n+3)&^3, len(b)):]
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("%d bytes after the last attribute", len(b))
	}
	return out, nil
}

func encode(head []byte, as []attr) []byte {
	out := slices.Clone(head)
	for _, a := range as {
		out = binary.NativeEndian.AppendUint16(out, uint16(unix.SizeofRtAttr+len(a.value)))
		out = binary.NativeEndian.AppendUint16(out, a.typ)
		out = append(out, a.value...)
		for len(out)%4 != 0 {
			out = append(out, 0)
		}
	}
	return out
}

func find(as []attr, typ uint16) []byte {
	for _, a := range as {
		if a.typ == typ {
			return a.value
		}
	}
	return nil
}

func u32(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

func prefix(b []byte, bits, family byte) (netip.Prefix, error) {
	if b == nil {
		b = make([]byte, 4)
		if family == unix.AF_INET6 {
			b = make([]byte, 16)
		}
	}
	a, ok := netip.AddrFromSlice(b)
	if !ok || int(bits) > a.BitLen() {
		return netip.Prefix{}, fmt.Errorf("address of %d bytes with prefix length %d", len(b), bits)
	}
	return netip.PrefixFrom(a, int(bits)), nil
}

// headSize is the length of the fixed part (struct ifaddrmsg, rtmsg, fib_rule_hdr).
func (m Message) headSize() (int, error) {
	n := 0
	switch m.Type {
	case unix.RTM_NEWADDR:
		n = unix.SizeofIfAddrmsg
	case unix.RTM_NEWROUTE, unix.RTM_NEWRULE:
		n = unix.SizeofRtMsg
	default:
		return 0, fmt.Errorf("netlink message type %d is no address, route or rule", m.Type)
	}
	if len(m.Data) < n {
		return 0, fmt.Errorf("netlink message of %d bytes is too short", len(m.Data))
	}
	return n, nil
}

func (m Message) split() ([]byte, []attr, error) {
	n, err := m.headSize()
	if err != nil {
		return nil, nil, err
	}
	as, err := attributes(m.Data[n:])
	return m.Data[:n], as, err
}

// Address is what identifies an address, and what says whose it is.
type Address struct {
	Link      int
	Prefix    netip.Prefix
	Permanent bool // no lifetime: set by hand or by a static configuration
	Tentative bool
	Scope     uint8 // RT_SCOPE_*
	Proto     uint8 // IFA_PROTO: 1 to 3 are the kernel's own (linux/if_addr.h)
	Valid     uint32
}

// Address decodes an RTM_NEWADDR.
func (m Message) Address() (Address, error) {
	h, as, err := m.split()
	if err != nil || m.Type != unix.RTM_NEWADDR {
		return Address{}, fmt.Errorf("cannot read address: %w", orType(err))
	}
	local := find(as, unix.IFA_LOCAL)
	if local == nil {
		local = find(as, unix.IFA_ADDRESS)
	}
	p, err := prefix(local, h[1], h[0])
	if err != nil {
		return Address{}, fmt.Errorf("cannot read address: %w", err)
	}
	flags := uint32(h[2])
	if f := find(as, unix.IFA_FLAGS); f != nil {
		flags = u32(f)
	}
	a := Address{
		Link: int(u32(h[4:])), Prefix: p, Scope: h[3],
		Permanent: flags&unix.IFA_F_PERMANENT != 0,
		Tentative: flags&unix.IFA_F_TENTATIVE != 0,
	}
	if p := find(as, ifaProto); len(p) == 1 {
		a.Proto = p[0]
	}
	if c := find(as, unix.IFA_CACHEINFO); len(c) >= 8 {
		a.Valid = u32(c[4:])
	}
	return a, nil
}

// Hop is one next hop.
type Hop struct {
	Gateway netip.Addr
	Link    int
}

// Route is what identifies a route, and what says whose it is.
type Route struct {
	Family byte
	Dst    netip.Prefix
	Src    netip.Prefix // IPv6 source-specific routing; zero otherwise
	Tos    byte
	Table  uint32
	Metric uint32
	Type   byte // RTN_*
	Proto  byte // RTPROT_*
	Hops   []Hop
	Cloned bool // an exception made by the kernel, not a route
}

// Route decodes an RTM_NEWROUTE.
func (m Message) Route() (Route, error) {
	h, as, err := m.split()
	if err != nil || m.Type != unix.RTM_NEWROUTE {
		return Route{}, fmt.Errorf("cannot read route: %w", orType(err))
	}
	r := Route{Family: h[0], Tos: h[3], Table: uint32(h[4]), Proto: h[5], Type: h[7]}
	r.Cloned = u32(h[8:])&unix.RTM_F_CLONED != 0
	if t := find(as, unix.RTA_TABLE); t != nil {
		r.Table = u32(t)
	}
	r.Metric = u32(find(as, unix.RTA_PRIORITY))
	if r.Dst, err = prefix(find(as, unix.RTA_DST), h[1], h[0]); err != nil {
		return r, fmt.Errorf("cannot read route: %w", err)
	}
	if h[2] != 0 {
		if r.Src, err = prefix(find(as, unix.RTA_SRC), h[2], h[0]); err != nil {
			return r, fmt.Errorf("cannot read route: %w", err)
		}
	}
	if mp := find(as, unix.RTA_MULTIPATH); mp != nil {
		err = eachHop(mp, func(nh []byte, as []attr) {
			r.Hops = append(r.Hops, Hop{gateway(as), int(u32(nh[4:]))})
		})
	} else if oif := find(as, unix.RTA_OIF); oif != nil {
		r.Hops = []Hop{{gateway(as), int(u32(oif))}}
	}
	return r, err
}

// eachHop walks the rtnexthop structures of RTA_MULTIPATH.
func eachHop(b []byte, f func(nh []byte, as []attr)) error {
	for len(b) >= unix.SizeofRtNexthop {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtNexthop || n > len(b) {
			return fmt.Errorf("next hop of %d bytes in %d", n, len(b))
		}
		as, err := attributes(b[unix.SizeofRtNexthop:n])
		if err != nil {
			return err
		}
		f(b[:unix.SizeofRtNexthop], as)
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil
}

func gateway(as []attr) netip.Addr {
	if g, ok := netip.AddrFromSlice(find(as, unix.RTA_GATEWAY)); ok {
		return g
	}
	if v := find(as, unix.RTA_VIA); len(v) > 2 { // struct rtvia: an IPv6 gateway of an IPv4 route
		g, _ := netip.AddrFromSlice(v[2:])
		return g
	}
	return netip.Addr{}
}

// Rule is what identifies a policy rule roughly; Key is exact.
type Rule struct {
	Family   byte
	Priority uint32
	Table    uint32
	Proto    byte
}

// Rule decodes an RTM_NEWRULE.
func (m Message) Rule() (Rule, error) {
	h, as, err := m.split()
	if err != nil || m.Type != unix.RTM_NEWRULE {
		return Rule{}, fmt.Errorf("cannot read rule: %w", orType(err))
	}
	r := Rule{Family: h[0], Table: uint32(h[4]), Priority: u32(find(as, unix.RTA_PRIORITY))}
	if t := find(as, unix.RTA_TABLE); t != nil { // FRA_TABLE and FRA_PRIORITY have the same numbers
		r.Table = u32(t)
	}
	if p := find(as, fraProtocol); len(p) == 1 {
		r.Proto = p[0]
	}
	return r, nil
}

const (
	fraProtocol = 21 // FRA_PROTOCOL, linux/fib_rules.h
	ifaProto    = 11 // IFA_PROTO, linux/if_addr.h, Linux 5.18
	rtaNHID     = 30 // RTA_NH_ID, linux/rtnetlink.h
)

// Key identifies the thing: two messages with one key cannot both be in the kernel.
func (m Message) Key() string {
	switch m.Type {
	case unix.RTM_NEWADDR:
		a, err := m.Address()
		if err == nil {
			return fmt.Sprintf("addr %d %v", a.Link, a.Prefix)
		}
	case unix.RTM_NEWROUTE:
		r, err := m.Route()
		if err == nil {
			return fmt.Sprintf("%s metric %d", r.pathKey(), r.Metric)
		}
	case unix.RTM_NEWRULE:
		h, as, err := m.split()
		if err == nil {
			as = slices.Clone(as)
			sort.SliceStable(as, func(i, j int) bool { return int(as[i].typ) < int(as[j].typ) })
			head := slices.Clone(h)
			clear(head[8:]) // flags may carry FIB_RULE_IIF_DETACHED, which follows the links
			head[8] = h[8] & unix.FIB_RULE_INVERT
			return "rule " + string(encode(head, as))
		}
	}
	return fmt.Sprintf("unreadable %d %x", m.Type, m.Data)
}

func (r Route) pathKey() string {
	return fmt.Sprintf("route %d %d %v from %v tos %d type %d via %v", r.Family, r.Table, r.Dst, r.Src, r.Tos, r.Type, r.Hops)
}

// String names the thing for people.
func (m Message) String() string {
	switch m.Type {
	case unix.RTM_NEWADDR:
		if a, err := m.Address(); err == nil {
			return fmt.Sprintf("address %v on link %d", a.Prefix, a.Link)
		}
	case unix.RTM_NEWROUTE:
		if r, err := m.Route(); err == nil {
			var via strings.Builder
			for _, h := range r.Hops {
				if h.Gateway.IsValid() {
					fmt.Fprintf(&via, " via %v", h.Gateway)
				}
				fmt.Fprintf(&via, " link %d", h.Link)
			}
			return fmt.Sprintf("route %v%s metric %d table %d proto %d", r.Dst, via.String(), r.Metric, r.Table, r.Proto)
		}
	case unix.RTM_NEWRULE:
		if r, err := m.Rule(); err == nil {
			return fmt.Sprintf("IPv%d rule %d lookup %d", map[byte]int{unix.AF_INET: 4, unix.AF_INET6: 6}[r.Family], r.Priority, r.Table)
		}
	}
	return fmt.Sprintf("netlink message type %d", m.Type)
}

func orType(err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("message of another type")
}

// replay returns the message as the kernel takes it back, elapsed seconds after it
// was dumped; ok is false when its lifetime has run out.
func (m Message) replay(elapsed uint32) (data []byte, ok bool, err error) {
	h, as, err := m.split()
	if err != nil {
		return nil, false, err
	}
	h = slices.Clone(h)
	out := make([]attr, 0, len(as)+1)
	switch m.Type {
	case unix.RTM_NEWADDR:
		for _, a := range as {
			if a.typ == unix.IFA_CACHEINFO && len(a.value) >= 8 {
				v := slices.Clone(a.value)
				if !age(v[4:], elapsed) { // ifa_valid
					return nil, false, nil
				}
				if !age(v, elapsed) { // ifa_prefered
					clear(v[:4])
				}
				a.value = v
			}
			out = append(out, a)
		}
	case unix.RTM_NEWROUTE:
		// The kernel refuses RTNH_F_DEAD and RTNH_F_LINKDOWN, and a next hop id
		// beside the gateway that it stands for (net/ipv4/fib_semantics.c).
		binary.NativeEndian.PutUint32(h[8:], u32(h[8:])&(unix.RTNH_F_ONLINK|unix.RTNH_F_PERVASIVE))
		explicit := find(as, unix.RTA_OIF) != nil || find(as, unix.RTA_MULTIPATH) != nil
		for _, a := range as {
			switch {
			case a.typ == rtaNHID && explicit:
				continue
			case a.typ == unix.RTA_CACHEINFO:
				if len(a.value) >= 12 && h[0] == unix.AF_INET6 {
					left := int32(u32(a.value[8:])) / userHZ // rta_expires
					if left != 0 {
						if left <= int32(elapsed) {
							return nil, false, nil
						}
						e := binary.NativeEndian.AppendUint32(nil, uint32(left)-elapsed)
						out = append(out, attr{unix.RTA_EXPIRES, e})
					}
				}
				continue
			case a.typ == unix.RTA_MULTIPATH:
				v := slices.Clone(a.value)
				if err := eachHop(v, func(nh []byte, _ []attr) {
					nh[2] &= unix.RTNH_F_ONLINK | unix.RTNH_F_PERVASIVE
				}); err != nil {
					return nil, false, err
				}
				a.value = v
			}
			out = append(out, a)
		}
	case unix.RTM_NEWRULE:
		binary.NativeEndian.PutUint32(h[8:], u32(h[8:])&unix.FIB_RULE_INVERT)
		out = as
	}
	return encode(h, out), true, nil
}

const userHZ = 100 // USER_HZ is 100 on every architecture Linux exports it to

// age takes elapsed seconds from a lifetime; false when nothing is left of it.
func age(b []byte, elapsed uint32) bool {
	v := u32(b)
	if v == ^uint32(0) {
		return true
	}
	if v <= elapsed {
		return false
	}
	binary.NativeEndian.PutUint32(b, v-elapsed)
	return true
}
