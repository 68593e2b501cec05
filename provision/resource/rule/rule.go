// Package rule is policy rules: kind "rule", which of the routing tables a packet asks. They are
// made with this program's own protocol number, by which they are told from everybody else's.
//
// A reference's name is a rule as ip-rule(8) would say it, without its options:
//
//	inet 5210 not fwmark 0x10000/0xff0000 table 1000
//	inet6 5208 table 254
//	inet 5100 from 192.0.2.7/32 table 100
//	inet 5000 to 198.51.100.0/24 iif name:usb0 unreachable
//
// In this order: family, priority, not, from, to, iif, oif, fwmark MARK/MASK, ipproto, sport, dport,
// uidrange, and then table NUMBER, goto PRIORITY, unreachable, blackhole or prohibit. Devices are
// selectors; the kernel knows them by their present name, and a rule may be there before them.
//
// Attributes: "suppress_prefixlength" (routes found with at most so long a prefix do not count:
// with 0 the default routes) and "proto" (a constructor asks for 158).
//
// Who asks for a rule that somebody else has already made gets an own one beside it; the other one
// is seen (its proto) and never touched. So rules of one priority may be alike; of those the kernel
// deletes the first that has what the request says (net/core/fib_rules.c rule_find), which Set
// minds.
package rule

import (
	"net/netip"
	"strconv"

	"github.com/provision-net/provision/provision"
)

// Kind of reference.
const Kind = "rule"

// Protocol is the number in every rule that this program makes (FRA_PROTOCOL, Linux 4.17).
const Protocol = 158

// Names of the attributes.
const (
	AttrSuppress = "suppress_prefixlength"
	AttrProto    = "proto"
)

// Actions beside looking into a table, which is the empty one.
const (
	Goto        = "goto"
	Unreachable = "unreachable"
	Blackhole   = "blackhole"
	Prohibit    = "prohibit"
)

// Key is a parsed name. What is zero is not asked for.
type Key struct {
	Family   int // 4 or 6
	Priority uint32
	Not      bool // packets that do not fit the rest
	From, To netip.Prefix
	Iif, Oif string // device selectors
	Mark     uint32
	Mask     uint32 // 0: the mark does not matter
	IPProto  uint8
	SPort    Range
	DPort    Range
	UID      *UIDs
	Action   string
	Target   uint32 // table, or priority for Goto
}

// Range of ports, both ends included; zero for any.
type Range struct{ First, Last uint16 }

// UIDs is a range of user ids, both ends included.
type UIDs struct{ First, Last uint32 }

// Spec is a rule that should be there.
type Spec struct {
	Key
	// Suppress, when not nil: routes with a prefix of at most this length do not count.
	Suppress *int
}

// String is the canonical name.
func (k Key) String() string {
	b := make([]byte, 0, 96)
	b = append(b, "inet"...)
	if k.Family == 6 {
		b = append(b, '6')
	}
	number := func(word string, n uint64) {
		b = append(append(b, ' '), word...)
		b = strconv.AppendUint(append(b, ' '), n, 10)
	}
	b = strconv.AppendUint(append(b, ' '), uint64(k.Priority), 10)
	if k.Not {
		b = append(b, " not"...)
	}
	if k.From.IsValid() {
		b = k.From.AppendTo(append(b, " from "...))
	}
	if k.To.IsValid() {
		b = k.To.AppendTo(append(b, " to "...))
	}
	if k.Iif != "" {
		b = append(append(b, " iif "...), k.Iif...)
	}
	if k.Oif != "" {
		b = append(append(b, " oif "...), k.Oif...)
	}
	if k.Mask != 0 {
		b = strconv.AppendUint(append(b, " fwmark 0x"...), uint64(k.Mark), 16)
		b = strconv.AppendUint(append(b, "/0x"...), uint64(k.Mask), 16)
	}
	if k.IPProto != 0 {
		number("ipproto", uint64(k.IPProto))
	}
	for _, p := range []struct {
		word string
		r    Range
	}{{"sport", k.SPort}, {"dport", k.DPort}} {
		if p.r != (Range{}) {
			number(p.word, uint64(p.r.First))
			if p.r.Last != p.r.First {
				b = strconv.AppendUint(append(b, '-'), uint64(p.r.Last), 10)
			}
		}
	}
	if k.UID != nil {
		number("uidrange", uint64(k.UID.First))
		b = strconv.AppendUint(append(b, '-'), uint64(k.UID.Last), 10)
	}
	switch k.Action {
	case "":
		number("table", uint64(k.Target))
	case Goto:
		number(Goto, uint64(k.Target))
	default:
		b = append(append(b, ' '), k.Action...)
	}
	return string(b)
}

// Ref names the rule.
func (k Key) Ref() provision.Ref { return provision.Ref{Kind: Kind, Name: k.String()} }

// Want asks for the rule, and for nothing more than s says. Host bits of its prefixes are cut off,
// and the length 0 says nothing.
func Want(s Spec, why string) provision.Want {
	a := provision.Attrs{AttrSuppress: "", AttrProto: strconv.Itoa(Protocol)}
	if s.Suppress != nil {
		a[AttrSuppress] = strconv.Itoa(*s.Suppress)
	}
	return provision.Want{Ref: s.normal().Ref(), Attrs: a, Why: why}
}

// Absent asks that there is no such rule.
func Absent(k Key, why string) provision.Want { return provision.Want{Ref: k.normal().Ref(), Why: why} }

func (k Key) normal() Key {
	for _, p := range []*netip.Prefix{&k.From, &k.To} {
		if *p = p.Masked(); p.IsValid() && p.Bits() == 0 {
			*p = netip.Prefix{}
		}
	}
	if k.Family == 0 {
		k.Family = 4
		if k.From.IsValid() && k.From.Addr().Is6() || k.To.IsValid() && k.To.Addr().Is6() {
			k.Family = 6
		}
	}
	k.Mark &= k.Mask
	return k
}
