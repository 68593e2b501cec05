package rule

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/provision-net/provision/provision/host/rtnl"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ident is a key as the kernel knows it: devices are names.
type ident struct {
	family   uint8
	priority uint32
	not      bool
	from, to netip.Prefix // of length 0 for any: never invalid
	iif, oif string
	mark     uint32
	mask     uint32
	ipproto  uint8
	sport    Range
	dport    Range
	uid      UIDs // 0-4294967295 for any
	action   uint8
	target   uint32
}

// live is one rule as the kernel tells it, or as it is wanted.
type live struct {
	ident
	proto    uint8
	suppress int32 // -1: none
}

var (
	errMessage = errors.New("the kernel's answer is not understood")
	native     = nl.NativeEndian()
)

// FRA_SPORT_MASK and FRA_DPORT_MASK (linux/fib_rules.h, Linux 6.15).
const (
	fraSportMask = 28
	fraDportMask = 29
)

// anyUID is how the kernel keeps "no range".
const anyUID = 1<<32 - 1

func anywhere(family uint8) netip.Prefix {
	if family == unix.AF_INET6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// decode reads RTM_NEWRULE. It reports false for what no name can mean: rules with a TOS, a
// tunnel id, a realm, of an l3mdev, with flags or masks of ports.
func decode(msg []byte) (r live, ok bool, err error) {
	// struct fib_rule_hdr (linux/fib_rules.h): family, dst_len, src_len, tos, table, res1, res2, action, flags
	if len(msg) < unix.SizeofRtMsg {
		return r, false, errMessage
	}
	r.family = msg[0]
	if r.family != unix.AF_INET && r.family != unix.AF_INET6 {
		return r, false, nil
	}
	ok = msg[3] == 0
	r.action = msg[7]
	r.not = native.Uint32(msg[8:])&unix.FIB_RULE_INVERT != 0
	r.from, r.to, r.suppress, r.uid = anywhere(r.family), anywhere(r.family), -1, UIDs{0, anyUID}
	table, jump := uint32(msg[4]), uint32(0)
	list, err := netdev.ParseAttrs(msg[unix.SizeofRtMsg:])
	if err != nil {
		return r, false, errMessage
	}
	for _, a := range list {
		v := a.Data
		switch a.Kind &^ unix.NLA_F_NESTED {
		case unix.FRA_DST, unix.FRA_SRC:
			addr, valid := netip.AddrFromSlice(v)
			if !valid || addr.Is4() != (r.family == unix.AF_INET) {
				return r, false, errMessage
			}
			if a.Kind == unix.FRA_DST {
				r.to = netip.PrefixFrom(addr, int(msg[1])).Masked()
			} else {
				r.from = netip.PrefixFrom(addr, int(msg[2])).Masked()
			}
		case unix.FRA_IIFNAME:
			r.iif = strings.TrimRight(string(v), "\x00")
		case unix.FRA_OIFNAME:
			r.oif = strings.TrimRight(string(v), "\x00")
		case unix.FRA_PRIORITY, unix.FRA_FWMARK, unix.FRA_FWMASK, unix.FRA_TABLE, unix.FRA_SUPPRESS_PREFIXLEN, unix.FRA_SUPPRESS_IFGROUP, unix.FRA_GOTO, unix.FRA_FLOW:
			if len(v) != 4 {
				return r, false, errMessage
			}
			n := native.Uint32(v)
			switch a.Kind {
			case unix.FRA_PRIORITY:
				r.priority = n
			case unix.FRA_FWMARK:
				r.mark = n
			case unix.FRA_FWMASK:
				r.mask = n
			case unix.FRA_TABLE:
				table = n
			case unix.FRA_GOTO:
				jump = n
			case unix.FRA_SUPPRESS_PREFIXLEN:
				r.suppress = int32(n)
			default: // of an interface group or a realm; -1 and 0 say none
				ok = ok && (n == 0 && a.Kind == unix.FRA_FLOW || n == 1<<32-1)
			}
		case unix.FRA_PROTOCOL, unix.FRA_IP_PROTO, unix.FRA_L3MDEV:
			if len(v) != 1 {
				return r, false, errMessage
			}
			switch a.Kind {
			case unix.FRA_PROTOCOL:
				r.proto = v[0]
			case unix.FRA_IP_PROTO:
				r.ipproto = v[0]
			default:
				ok = ok && v[0] == 0
			}
		case unix.FRA_SPORT_RANGE, unix.FRA_DPORT_RANGE: // struct fib_rule_port_range, host order
			if len(v) != 4 {
				return r, false, errMessage
			}
			p := Range{native.Uint16(v), native.Uint16(v[2:])}
			if a.Kind == unix.FRA_SPORT_RANGE {
				r.sport = p
			} else {
				r.dport = p
			}
		case unix.FRA_UID_RANGE: // struct fib_rule_uid_range
			if len(v) != 8 {
				return r, false, errMessage
			}
			r.uid = UIDs{native.Uint32(v), native.Uint32(v[4:])}
		case unix.FRA_PAD, unix.FRA_UNSPEC:
		case unix.FRA_TUN_ID:
			ok = ok && len(v) == 8 && binary.BigEndian.Uint64(v) == 0
		case fraSportMask, fraDportMask: // of one port all bits
			ok = ok && len(v) == 2 && native.Uint16(v) == 1<<16-1
		default:
			ok = false // DSCP, flow labels, and what is younger than this code
		}
	}
	switch r.target = table; r.action {
	case unix.FR_ACT_TO_TBL:
	case unix.FR_ACT_GOTO:
		r.target = jump
	default:
		r.target = 0
	}
	if !r.from.IsValid() || !r.to.IsValid() {
		return r, false, errMessage
	}
	return r, ok, nil
}

// encode is the body of RTM_NEWRULE and RTM_DELRULE. (The netlink library's own encoder leaves
// suppress_prefixlength out for tables above 255.)
func (r live) encode() []byte {
	table := uint8(unix.RT_TABLE_UNSPEC)
	if r.action == unix.FR_ACT_TO_TBL && r.target < 256 {
		table = uint8(r.target)
	}
	b := make([]byte, unix.SizeofRtMsg, 128)
	b[0], b[1], b[2], b[4], b[7] = r.family, uint8(r.to.Bits()), uint8(r.from.Bits()), table, r.action
	if r.not {
		native.PutUint32(b[8:], unix.FIB_RULE_INVERT)
	}
	if r.to.Bits() > 0 {
		b = rtnl.AppendAttr(b, unix.FRA_DST, r.to.Addr().AsSlice())
	}
	if r.from.Bits() > 0 {
		b = rtnl.AppendAttr(b, unix.FRA_SRC, r.from.Addr().AsSlice())
	}
	b = rtnl.AppendAttr(b, unix.FRA_PRIORITY, rtnl.U32(r.priority))
	if r.iif != "" {
		b = rtnl.AppendAttr(b, unix.FRA_IIFNAME, append([]byte(r.iif), 0))
	}
	if r.oif != "" {
		b = rtnl.AppendAttr(b, unix.FRA_OIFNAME, append([]byte(r.oif), 0))
	}
	if r.mask != 0 {
		b = rtnl.AppendAttr(b, unix.FRA_FWMARK, rtnl.U32(r.mark))
		b = rtnl.AppendAttr(b, unix.FRA_FWMASK, rtnl.U32(r.mask))
	}
	if r.ipproto != 0 {
		b = rtnl.AppendAttr(b, unix.FRA_IP_PROTO, []byte{r.ipproto})
	}
	for kind, p := range map[uint16]Range{unix.FRA_SPORT_RANGE: r.sport, unix.FRA_DPORT_RANGE: r.dport} {
		if p != (Range{}) {
			v := make([]byte, 4)
			native.PutUint16(v, p.First)
			native.PutUint16(v[2:], p.Last)
			b = rtnl.AppendAttr(b, kind, v)
		}
	}
	if r.uid != (UIDs{0, anyUID}) {
		b = rtnl.AppendAttr(b, unix.FRA_UID_RANGE, append(rtnl.U32(r.uid.First), rtnl.U32(r.uid.Last)...))
	}
	switch r.action {
	case unix.FR_ACT_TO_TBL:
		b = rtnl.AppendAttr(b, unix.FRA_TABLE, rtnl.U32(r.target))
		if r.suppress >= 0 {
			b = rtnl.AppendAttr(b, unix.FRA_SUPPRESS_PREFIXLEN, rtnl.U32(uint32(r.suppress)))
		}
	case unix.FR_ACT_GOTO:
		b = rtnl.AppendAttr(b, unix.FRA_GOTO, rtnl.U32(r.target))
	}
	return rtnl.AppendAttr(b, unix.FRA_PROTOCOL, []byte{r.proto})
}

func (r live) attrs() provision.Attrs {
	a := provision.Attrs{AttrProto: strconv.Itoa(int(r.proto))}
	if r.suppress >= 0 {
		a[AttrSuppress] = strconv.Itoa(int(r.suppress))
	}
	return a
}

// taken reports whether a request to delete want would delete r (net/core/fib_rules.c rule_find,
// net/ipv4/fib_rules.c fib4_rule_compare): what a request does not say fits everything.
func (r live) taken(want live) bool {
	switch {
	case r.family != want.family || r.priority != want.priority || r.proto != want.proto || r.action != want.action:
		return false
	case want.action == unix.FR_ACT_TO_TBL && r.target != want.target:
		return false
	case want.iif != "" && r.iif != want.iif || want.oif != "" && r.oif != want.oif:
		return false
	case want.mask != 0 && (want.mark != 0 && r.mark != want.mark || r.mask != want.mask):
		return false
	case want.from.Bits() > 0 && r.from != want.from || want.to.Bits() > 0 && r.to != want.to:
		return false
	case want.ipproto != 0 && r.ipproto != want.ipproto:
		return false
	case want.sport != (Range{}) && r.sport != want.sport || want.dport != (Range{}) && r.dport != want.dport:
		return false
	case want.uid != (UIDs{0, anyUID}) && r.uid != want.uid:
		return false
	}
	return true
}
