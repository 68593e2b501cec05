package match

import (
	"encoding/binary"
	"net/netip"

	"github.com/provision-net/provision/provision/resource/nft"
)

// DNAT sends the connection to another address, or with ports (from, or from and to) to other
// ports of it. The word asks for the address's family itself. With ports the rule has to have
// made sure of a protocol that has some.
func DNAT(to netip.Addr, ports ...uint16) []nft.Expr { return nat("dnat", to, to, ports) }

// SNAT makes connections come from an address of the range from..to, both ends in it.
func SNAT(from, to netip.Addr) []nft.Expr { return nat("snat", from, to, nil) }

func nat(kind string, from, to netip.Addr, ports []uint16) []nft.Expr {
	family := Family(from)
	n := nft.NAT{Kind: kind, Family: familyName(family)}
	out := nfproto(family, 5)
	reg := uint32(0)
	put := func(b []byte) uint32 {
		reg++
		out = append(out, nft.Expr{Immediate: &nft.Immediate{Reg: reg, Data: b}})
		return reg
	}
	n.AddrMin = put(from.AsSlice())
	if to != from {
		n.AddrMax = put(to.AsSlice())
	}
	if len(ports) > 0 {
		n.PortMin = put(net16(ports[0]))
	}
	if len(ports) > 1 && ports[1] != ports[0] {
		n.PortMax = put(net16(ports[1]))
	}
	return append(out, nft.Expr{NAT: &n})
}

//go:noinline
func familyName(family int) string {
	if family == 6 {
		return "ip6"
	}
	return "ip"
}

// SNATPrefix changes a source's prefix and keeps the rest of the address (NPTv6's purpose, but
// stateful and with checksums mended: not the mapping of RFC 6296). DNATPrefix is the way back.
func SNATPrefix(to netip.Prefix) []nft.Expr { return natPrefix("snat", to) }

// DNATPrefix changes a destination's prefix and keeps the rest of the address.
func DNATPrefix(to netip.Prefix) []nft.Expr { return natPrefix("dnat", to) }

func natPrefix(kind string, to netip.Prefix) []nft.Expr {
	out := nat(kind, to.Masked().Addr(), LastOf(to), nil)
	out[len(out)-1].NAT.Flags = []string{"prefix"}
	return out
}

// Masquerade makes connections of that family come from the outgoing interface's address.
//
//go:noinline
func Masquerade(family int) []nft.Expr {
	return append(NFProto(family), nft.Expr{Masq: &nft.Masq{}})
}

// Redirect sends the connection to this machine, or with ports to those ports of it.
func Redirect(ports ...uint16) []nft.Expr {
	r := nft.Redir{}
	var out []nft.Expr
	if len(ports) > 0 {
		out, r.PortMin = append(out, nft.Expr{Immediate: &nft.Immediate{Reg: 1, Data: net16(ports[0])}}), 1
	}
	if len(ports) > 1 && ports[1] != ports[0] {
		out, r.PortMax = append(out, nft.Expr{Immediate: &nft.Immediate{Reg: 2, Data: net16(ports[1])}}), 2
	}
	return append(out, nft.Expr{Redir: &r})
}

// tcpSyn holds for packets that open a connection, one way or the other: SYN without FIN and RST.
func tcpSyn() []nft.Expr {
	return append(L4Proto(TCP),
		nft.Expr{Payload: &nft.Payload{Base: "transport", Offset: 13, Len: 1, Reg: 1}},
		masked([]byte{0x07}), equal([]byte{0x02}))
}

// writeMSS puts register 1 into the MSS option (kind 2, RFC 9293 section 3.7.1). The kernel
// only ever lowers it (nft_exthdr.c).
func writeMSS() nft.Expr {
	return nft.Expr{Exthdr: &nft.Exthdr{Op: "tcpopt", Type: 2, Offset: 2, Len: 2, Reg: 1, Set: true}}
}

// ClampMSS lowers the MSS of new TCP connections to what the path's MTU leaves, for paths where
// "packet too big" does not arrive.
func ClampMSS() []nft.Expr {
	return append(tcpSyn(),
		nft.Expr{Rt: &nft.Rt{Key: "tcpmss", Reg: 1}},
		nft.Expr{Byteorder: &nft.Byteorder{Op: "hton", Src: 1, Dst: 1, Len: 2, Size: 2}},
		writeMSS())
}

// LowerMSS lowers the MSS of new TCP connections to a value in bytes.
func LowerMSS(mss uint16) []nft.Expr {
	return append(tcpSyn(), nft.Expr{Immediate: &nft.Immediate{Reg: 1, Data: net16(mss)}}, writeMSS())
}

// LastOf is the last address of a prefix.
func LastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// PortKey is a port as a set has it.
//
//go:noinline
func PortKey(port uint16) []byte { return binary.BigEndian.AppendUint16(nil, port) }
