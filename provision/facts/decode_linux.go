package facts

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sort"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Indices into the arrays of per-device sysctls that a link's dump carries
// (IFLA_AF_SPEC: enum of linux/ip.h less one, enum of linux/ipv6.h).
var (
	ipv4Conf = map[int]string{0: "ipv4.forwarding", 7: "ipv4.rp_filter"}
	ipv6Conf = map[int]string{0: "ipv6.forwarding", 3: "ipv6.accept_ra", 5: "ipv6.autoconf", 17: "ipv6.accept_ra_defrtr", 26: "ipv6.disable_ipv6", 52: "ipv6.ra_defrtr_metric"}
)

// decodeLink reads the payload of RTM_NEWLINK: struct ifinfomsg and IFLA_*.
func decodeLink(p []byte) (Link, bool) {
	l, spec, ok := splitLink(p, copies{})
	if spec != nil {
		l.Sysctl = deviceConf(spec)
	}
	return l, ok
}

// texts makes strings of a link's bytes.
type texts interface {
	text(v []byte) string
	hardwareAddr(v []byte) string
}

// copies makes a new string each time.
type copies struct{}

func (copies) text(v []byte) string         { return attrString(v) }
func (copies) hardwareAddr(v []byte) string { return hardwareAddr(v) }

// splitLink is decodeLink that leaves the device's parameters (IFLA_AF_SPEC) as they are.
func splitLink(p []byte, s texts) (_ Link, spec []byte, ok bool) {
	if len(p) < unix.SizeofIfInfomsg {
		return Link{}, nil, false
	}
	ne := binary.NativeEndian
	flags := ne.Uint32(p[8:])
	l := Link{
		ARPHRD:  int(ne.Uint16(p[2:])),
		Index:   int(int32(ne.Uint32(p[4:]))),
		Up:      flags&unix.IFF_UP != 0,
		Carrier: flags&unix.IFF_LOWER_UP != 0,
	}
	foreign := false
	attributes(p[unix.SizeofIfInfomsg:], func(t uint16, v []byte) {
		switch t {
		case unix.IFLA_IFNAME:
			l.Name = s.text(v)
		case unix.IFLA_ADDRESS:
			l.MAC = s.hardwareAddr(v)
		case unix.IFLA_PERM_ADDRESS:
			l.PermMAC = s.hardwareAddr(v)
		case unix.IFLA_MTU:
			l.MTU = int(attrU32(v))
		case unix.IFLA_MASTER:
			l.Master = int(attrU32(v))
		case unix.IFLA_LINK:
			l.Parent = int(attrU32(v))
		case unix.IFLA_LINK_NETNSID:
			foreign = true
		case unix.IFLA_OPERSTATE:
			if len(v) > 0 {
				l.Oper = operState(v[0])
			}
		case unix.IFLA_LINKINFO:
			attributes(v, func(t uint16, v []byte) {
				if t == unix.IFLA_INFO_KIND {
					l.Kind = s.text(v)
				}
			})
		case unix.IFLA_PROP_LIST:
			attributes(v, func(t uint16, v []byte) {
				if t == unix.IFLA_ALT_IFNAME {
					l.Alt = append(l.Alt, s.text(v))
				}
			})
		case unix.IFLA_AF_SPEC:
			spec = v
		}
	})
	if foreign {
		l.Parent, l.PeerNetns = 0, true
	}
	// The kernel gives tunnels without a lower device, and nothing else, their own
	// index or 0.
	if l.Parent == l.Index {
		l.Parent = 0
	}
	return l, spec, l.Index > 0 && l.Name != ""
}

// deviceConf reads IFLA_AF_SPEC: per family a nested attribute with an array of
// 32-bit values, one for each file in /proc/sys/net/ipv{4,6}/conf/NAME.
func deviceConf(b []byte) map[string]string {
	m := map[string]string{}
	attributes(b, func(family uint16, v []byte) {
		var names map[int]string
		switch family {
		case unix.AF_INET:
			names = ipv4Conf
		case unix.AF_INET6:
			names = ipv6Conf
		default:
			return
		}
		attributes(v, func(t uint16, v []byte) {
			// IFLA_INET_CONF is 1, IFLA_INET6_CONF is 2.
			if family == unix.AF_INET && t != 1 || family == unix.AF_INET6 && t != 2 {
				return
			}
			for i, name := range names {
				if len(v) >= 4*i+4 {
					m[name] = strconv.Itoa(int(int32(binary.NativeEndian.Uint32(v[4*i:]))))
				}
			}
		})
	})
	if len(m) == 0 {
		return nil
	}
	return m
}

func hardwareAddr(v []byte) string {
	if len(v) == 0 || len(v) > 32 {
		return ""
	}
	return net.HardwareAddr(v).String()
}

// operState names IF_OPER_* (linux/if.h, RFC 2863).
func operState(b byte) string {
	names := []string{"unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"}
	if int(b) < len(names) {
		return names[b]
	}
	return "unknown"
}

// joinLinks sorts by index and fills what one link says of another.
func joinLinks(links []Link) {
	sort.Slice(links, func(i, j int) bool { return links[i].Index < links[j].Index })
	for i := range links {
		if links[i].PermMAC == "" {
			links[i].PermMAC = links[i].MAC
		}
	}
	linkPorts(links)
}

// decodeAddress reads the payload of RTM_NEWADDR: struct ifaddrmsg and IFA_*.
func decodeAddress(p []byte) (Address, bool) {
	if len(p) < unix.SizeofIfAddrmsg {
		return Address{}, false
	}
	flags := uint32(p[2])
	a := Address{Link: int(binary.NativeEndian.Uint32(p[4:])), Scope: scopeName(p[3])}
	var local, addr netip.Addr
	attributes(p[unix.SizeofIfAddrmsg:], func(t uint16, v []byte) {
		switch t {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(v)
		case unix.IFA_ADDRESS:
			addr, _ = netip.AddrFromSlice(v)
		case unix.IFA_FLAGS:
			flags = attrU32(v)
		case ifaProto:
			if len(v) > 0 {
				a.Proto = int(v[0])
			}
		case unix.IFA_CACHEINFO:
			// struct ifa_cacheinfo: preferred, valid, created, updated; all ones is for ever.
			if len(v) >= 8 {
				if valid := binary.NativeEndian.Uint32(v[4:]); valid != ^uint32(0) {
					a.Valid = time.Duration(valid) * time.Second
				}
			}
		}
	})
	if !local.IsValid() { // IPv6, or IPv4 without a peer on old kernels
		local = addr
	}
	if !local.IsValid() || local.Is4() != (p[0] == unix.AF_INET) {
		return a, false
	}
	a.Prefix = netip.PrefixFrom(local, int(p[1]))
	a.Dynamic = flags&unix.IFA_F_PERMANENT == 0
	a.Tentative = flags&unix.IFA_F_TENTATIVE != 0
	// IFA_F_TEMPORARY is IFA_F_SECONDARY for IPv4.
	a.Temporary = p[0] == unix.AF_INET6 && flags&unix.IFA_F_TEMPORARY != 0
	a.NoPrefix = flags&unix.IFA_F_NOPREFIXROUTE != 0
	return a, a.Prefix.IsValid()
}

const ifaProto = 11 // IFA_PROTO, Linux 5.18

func scopeName(b byte) string {
	switch b {
	case unix.RT_SCOPE_UNIVERSE:
		return "global"
	case unix.RT_SCOPE_SITE:
		return "site"
	case unix.RT_SCOPE_LINK:
		return "link"
	case unix.RT_SCOPE_HOST:
		return "host"
	case unix.RT_SCOPE_NOWHERE:
		return "nowhere"
	}
	return strconv.Itoa(int(b))
}

// decodeRoute reads the payload of RTM_NEWROUTE: struct rtmsg and RTA_*. Routes of
// the table local and cloned ones are not wanted.
func decodeRoute(p []byte) (Route, bool) {
	if len(p) < unix.SizeofRtMsg {
		return Route{}, false
	}
	family, bits, flags := p[0], int(p[1]), binary.NativeEndian.Uint32(p[8:])
	r := Route{Table: uint32(p[4]), Proto: int(p[5]), Scope: scopeName(p[6]), Type: routeType(p[7]), OnLink: flags&unix.RTNH_F_ONLINK != 0}
	var dst netip.Addr
	switch family {
	case unix.AF_INET:
		dst = netip.IPv4Unspecified()
	case unix.AF_INET6:
		dst = netip.IPv6Unspecified()
		r.Scope = "" // IPv6 has none
	default:
		return r, false
	}
	is4 := family == unix.AF_INET
	attributes(p[unix.SizeofRtMsg:], func(t uint16, v []byte) {
		switch t {
		case unix.RTA_TABLE:
			r.Table = attrU32(v)
		case unix.RTA_DST:
			dst, _ = netip.AddrFromSlice(v)
		case unix.RTA_OIF:
			r.Link = int(attrU32(v))
		case unix.RTA_GATEWAY:
			r.Gateway, _ = netip.AddrFromSlice(v)
		case unix.RTA_VIA:
			r.Gateway = viaAddr(v)
		case unix.RTA_PRIORITY:
			r.Metric = attrU32(v)
		case unix.RTA_PREFSRC:
			r.Src, _ = netip.AddrFromSlice(v)
		case unix.RTA_PREF:
			if len(v) > 0 {
				r.Pref = routerPref(v[0])
			}
		case unix.RTA_CACHEINFO:
			// struct rta_cacheinfo: clntref, lastuse, expires in units of 1/USER_HZ.
			if len(v) >= 12 {
				if e := int32(binary.NativeEndian.Uint32(v[8:])); e > 0 && !is4 {
					r.Expires = time.Duration(e) * (time.Second / userHZ)
				}
			}
		case unix.RTA_METRICS:
			attributes(v, func(t uint16, v []byte) {
				if t == unix.RTAX_MTU {
					r.MTU = attrU32(v)
				}
			})
		case unix.RTA_MULTIPATH:
			r.Hops = decodeHops(v)
		}
	})
	if flags&unix.RTM_F_CLONED != 0 || r.Table == unix.RT_TABLE_LOCAL || dst.Is4() != is4 || r.Type == "" {
		return r, false
	}
	r.Dst = netip.PrefixFrom(dst, bits)
	return r, r.Dst.IsValid()
}

const userHZ = 100

// decodeHops reads an array of struct rtnexthop with attributes.
func decodeHops(b []byte) []Hop {
	var hops []Hop
	for len(b) >= unix.SizeofRtNexthop {
		l := int(binary.NativeEndian.Uint16(b))
		if l < unix.SizeofRtNexthop || l > len(b) {
			break
		}
		h := Hop{Weight: int(b[3]) + 1, Link: int(binary.NativeEndian.Uint32(b[4:]))}
		attributes(b[unix.SizeofRtNexthop:l], func(t uint16, v []byte) {
			switch t {
			case unix.RTA_GATEWAY:
				h.Gateway, _ = netip.AddrFromSlice(v)
			case unix.RTA_VIA:
				h.Gateway = viaAddr(v)
			}
		})
		hops = append(hops, h)
		b = b[min(align4(l), len(b)):]
	}
	return hops
}

// viaAddr reads struct rtvia: a next hop of the other family (RFC 5549).
func viaAddr(v []byte) netip.Addr {
	if len(v) < 2 {
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice(v[2:])
	return a
}

func routeType(b byte) string {
	switch b {
	case unix.RTN_UNICAST:
		return "unicast"
	case unix.RTN_BLACKHOLE:
		return "blackhole"
	case unix.RTN_UNREACHABLE:
		return "unreachable"
	case unix.RTN_PROHIBIT:
		return "prohibit"
	case unix.RTN_THROW:
		return "throw"
	case unix.RTN_LOCAL:
		return "local"
	case unix.RTN_BROADCAST:
		return "broadcast"
	case unix.RTN_ANYCAST:
		return "anycast"
	case unix.RTN_MULTICAST:
		return "multicast"
	}
	return ""
}

// routerPref names ICMPV6_ROUTER_PREF_* (RFC 4191).
func routerPref(b byte) string {
	switch b {
	case 0:
		return "medium"
	case 1:
		return "high"
	case 3:
		return "low"
	}
	return ""
}

// decodeRule reads the payload of RTM_NEWRULE: struct fib_rule_hdr and FRA_*.
func decodeRule(p []byte) (Rule, bool) {
	if len(p) < unix.SizeofRtMsg {
		return Rule{}, false
	}
	r := Rule{Table: uint32(p[4]), Action: ruleAction(p[7]), Invert: binary.NativeEndian.Uint32(p[8:])&unix.FIB_RULE_INVERT != 0}
	switch p[0] {
	case unix.AF_INET:
		r.Family = 4
	case unix.AF_INET6:
		r.Family = 6
	default:
		return r, false
	}
	dstBits, srcBits := int(p[1]), int(p[2])
	attributes(p[unix.SizeofRtMsg:], func(t uint16, v []byte) {
		switch t {
		case unix.FRA_PRIORITY:
			r.Priority = attrU32(v)
		case unix.FRA_SRC:
			if a, ok := netip.AddrFromSlice(v); ok {
				r.From = netip.PrefixFrom(a, srcBits)
			}
		case unix.FRA_DST:
			if a, ok := netip.AddrFromSlice(v); ok {
				r.To = netip.PrefixFrom(a, dstBits)
			}
		case unix.FRA_IIFNAME:
			r.Iif = attrString(v)
		case unix.FRA_OIFNAME:
			r.Oif = attrString(v)
		case unix.FRA_FWMARK:
			r.Mark = attrU32(v)
		case unix.FRA_FWMASK:
			r.Mask = attrU32(v)
		case unix.FRA_TABLE:
			r.Table = attrU32(v)
		case unix.FRA_SUPPRESS_PREFIXLEN:
			// -1 is the kernel's "none".
			if n := int32(attrU32(v)); n >= 0 {
				r.Suppresses, r.Suppress = true, int(n)
			}
		case unix.FRA_PROTOCOL:
			if len(v) > 0 {
				r.Proto = int(v[0])
			}
		}
	})
	if r.Mark == 0 {
		r.Mask = 0
	}
	return r, r.Action != ""
}

func ruleAction(b byte) string {
	switch b {
	case unix.FR_ACT_TO_TBL:
		return "lookup"
	case unix.FR_ACT_GOTO:
		return "goto"
	case unix.FR_ACT_NOP:
		return "nop"
	case unix.FR_ACT_BLACKHOLE:
		return "blackhole"
	case unix.FR_ACT_UNREACHABLE:
		return "unreachable"
	case unix.FR_ACT_PROHIBIT:
		return "prohibit"
	}
	return ""
}
