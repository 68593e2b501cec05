package match

import (
	"net/netip"

	"github.com/provision-net/provision/provision/resource/nft"
)

// SAddr holds for packets from an address of the prefix.
//
//go:noinline
func SAddr(p netip.Prefix) []nft.Expr { return inPrefix(p, source) }

// DAddr holds for packets to an address of the prefix.
//
//go:noinline
func DAddr(p netip.Prefix) []nft.Expr { return inPrefix(p, destination) }

// SAddrRange holds for packets from an address of the range, both ends in it and of one family.
func SAddrRange(from, to netip.Addr) []nft.Expr { return inRange(from, to, source) }

// DAddrRange holds for packets to an address of the range.
func DAddrRange(from, to netip.Addr) []nft.Expr { return inRange(from, to, destination) }

// SAddrIn looks the source up in a set of that family's addresses.
func SAddrIn(family int, set string) []nft.Expr { return inSet(family, set, source) }

// DAddrIn looks the destination up in a set of that family's addresses.
//
//go:noinline
func DAddrIn(family int, set string) []nft.Expr { return inSet(family, set, destination) }

// end says where in its header an address stands (RFC 791 section 3.1, RFC 8200 section 3).
type end int

const (
	source end = iota
	destination
)

//go:noinline
func (e end) load(family int, n uint32) nft.Expr {
	off, size := uint32(12), uint32(4)
	if family == 6 {
		off, size = 8, 16
	}
	if e == destination {
		off += size
	}
	return nft.Expr{Payload: &nft.Payload{Base: "network", Offset: off, Len: n, Reg: 1}}
}

// Family of an address: 4 or 6.
//
//go:noinline
func Family(a netip.Addr) int {
	if a.Unmap().Is4() {
		return 4
	}
	return 6
}

func inPrefix(p netip.Prefix, e end) []nft.Expr {
	p = p.Masked()
	family := Family(p.Addr())
	out := nfproto(family, 3)
	bits := p.Bits()
	whole := p.Addr().AsSlice()
	switch {
	case bits == 0:
		return out
	case bits%8 == 0: // the beginning is all there is to compare
		return append(out, e.load(family, uint32(bits/8)), equal(whole[:bits/8]))
	}
	mask := make([]byte, len(whole))
	for i := range bits {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return append(out, e.load(family, uint32(len(whole))), masked(mask), equal(whole))
}

func inRange(from, to netip.Addr, e end) []nft.Expr {
	if from == to {
		return inPrefix(netip.PrefixFrom(from, from.BitLen()), e)
	}
	family := Family(from)
	out := append(nfproto(family, 3), e.load(family, uint32(from.BitLen()/8)))
	return append(out, within(from.AsSlice(), to.AsSlice())...)
}

func inSet(family int, set string, e end) []nft.Expr {
	n := uint32(4)
	if family == 6 {
		n = 16
	}
	return append(nfproto(family, 2), e.load(family, n), lookup(set))
}

//go:noinline
func masked(mask []byte) nft.Expr {
	return nft.Expr{Bitwise: &nft.Bitwise{Src: 1, Dst: 1, Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask))}}
}

// HopLimit holds for IPv6 packets with that hop limit: 255 came from the link itself (RFC 4861 section 7).
func HopLimit(n uint8) []nft.Expr {
	return append(NFProto(6), nft.Expr{Payload: &nft.Payload{Base: "network", Offset: 7, Len: 1, Reg: 1}}, equal([]byte{n}))
}
