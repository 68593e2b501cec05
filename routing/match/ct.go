package match

import "github.com/provision-net/provision/provision/resource/nft"

// CtState holds if connection tracking gives the packet one of the states (nft.State...).
//
//go:noinline
func CtState(bits uint32) []nft.Expr { return anyBit("state", bits) }

// CtStatus holds if the connection has one of the status bits (nft.Status...).
//
//go:noinline
func CtStatus(bits uint32) []nft.Expr { return anyBit("status", bits) }

//go:noinline
func anyBit(key string, bits uint32) []nft.Expr {
	return []nft.Expr{{Ct: &nft.Ct{Key: key, Reg: 1}}, masked(host32(bits)), cmp("!=", host32(0))}
}

// CtMark holds if the bits of the connection's mark that mask has are value.
//
//go:noinline
func CtMark(value, mask uint32) []nft.Expr { return mark(loadCtMark(), value, mask) }

// Mark holds if the bits of the packet's mark that mask has are value.
//
//go:noinline
func Mark(value, mask uint32) []nft.Expr { return mark(meta("mark"), value, mask) }

// SetMark puts value into the bits of the packet's mark that mask has; other bits, which may be
// somebody else's, stay.
func SetMark(value, mask uint32) []nft.Expr {
	return set(meta("mark"), nft.Expr{Meta: &nft.Meta{Key: "mark", Reg: 1, Set: true}}, value, mask)
}

// SetCtMark puts value into the bits of the connection's mark that mask has; other bits stay.
func SetCtMark(value, mask uint32) []nft.Expr {
	return set(loadCtMark(), nft.Expr{Ct: &nft.Ct{Key: "mark", Reg: 1, Set: true}}, value, mask)
}

//go:noinline
func loadCtMark() nft.Expr { return nft.Expr{Ct: &nft.Ct{Key: "mark", Reg: 1}} }

func mark(load nft.Expr, value, mask uint32) []nft.Expr {
	if mask == 0xffffffff {
		return []nft.Expr{load, equal(host32(value))}
	}
	return []nft.Expr{load, masked(host32(mask)), equal(host32(value & mask))}
}

// set is new = old & ^mask ^ value: the old bits under the mask are 0 by then, so ^ is |. The
// kernel takes constants only (register operands came with Linux 6.13), which is why a packet's
// mark cannot be merged into a connection's by one rule: CtMark and SetMark per value do it.
func set(load, store nft.Expr, value, mask uint32) []nft.Expr {
	if mask == 0xffffffff {
		return []nft.Expr{{Immediate: &nft.Immediate{Reg: 1, Data: host32(value)}}, store}
	}
	return []nft.Expr{load, {Bitwise: &nft.Bitwise{Src: 1, Dst: 1, Len: 4, Mask: host32(^mask), Xor: host32(value & mask)}}, store}
}

// Types of addresses by the routing tables (RTN_* of linux/rtnetlink.h).
const (
	Unicast   = 1
	Local     = 2
	Broadcast = 3
	Anycast   = 4
	Multicast = 5
)

// FibDaddrType holds if the routing tables take the destination for that type. It works on
// devices without a link layer, where pkttype says nothing (WireGuard).
//
//go:noinline
func FibDaddrType(typ uint32) []nft.Expr {
	return []nft.Expr{{Fib: &nft.Fib{Result: "type", Flags: []string{"daddr"}, Reg: 1}}, equal(host32(typ))}
}

// FibSaddrType holds if the routing tables take the source for that type.
func FibSaddrType(typ uint32) []nft.Expr {
	return []nft.Expr{{Fib: &nft.Fib{Result: "type", Flags: []string{"saddr"}, Reg: 1}}, equal(host32(typ))}
}

// NoReversePath holds if an answer to the packet would not leave by the interface it came in
// (strict reverse path, RFC 3704 section 2.2), for both families; the mark is asked too, so
// policy routing is respected where the mark is restored before.
func NoReversePath() []nft.Expr {
	return []nft.Expr{{Fib: &nft.Fib{Result: "present", Flags: []string{"saddr", "mark", "iif"}, Reg: 1}}, equal(host32(0))}
}
