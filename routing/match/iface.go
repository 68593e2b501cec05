package match

import (
	"strings"

	"github.com/provision-net/provision/provision/resource/nft"
)

// IIFName holds if the packet came in by that interface; a trailing * is any name with that
// beginning. Names, not indexes: interfaces may come and go.
//
//go:noinline
func IIFName(name string) []nft.Expr { return ifname("iifname", name) }

// OIFName holds if the packet goes out by that interface; * as in IIFName.
//
//go:noinline
func OIFName(name string) []nft.Expr { return ifname("oifname", name) }

// IIFNameIn looks the incoming interface's name up in a set of TypeIfname.
func IIFNameIn(set string) []nft.Expr { return []nft.Expr{meta("iifname"), lookup(set)} }

// OIFNameIn looks the outgoing interface's name up in a set of TypeIfname.
//
//go:noinline
func OIFNameIn(set string) []nft.Expr { return []nft.Expr{meta("oifname"), lookup(set)} }

// IIFNameMap takes the verdict that a verdict map has for the incoming interface, if any.
func IIFNameMap(set string) []nft.Expr { return []nft.Expr{meta("iifname"), verdictOf(set)} }

// OIFNameMap takes the verdict that a verdict map has for the outgoing interface, if any.
func OIFNameMap(set string) []nft.Expr { return []nft.Expr{meta("oifname"), verdictOf(set)} }

func ifname(key, name string) []nft.Expr {
	if start, is := strings.CutSuffix(name, "*"); is {
		if start == "" {
			return nil // any interface
		}
		return []nft.Expr{meta(key), equal([]byte(start))}
	}
	return []nft.Expr{meta(key), equal(NameKey(name))}
}

func verdictOf(set string) nft.Expr {
	return nft.Expr{Lookup: &nft.Lookup{Set: set, Reg: 1, Map: true}}
}

// NFProto holds for packets of family 4 or 6.
//
//go:noinline
func NFProto(family int) []nft.Expr { return nfproto(family, 0) }

// nfproto is NFProto with room for more expressions.
//
//go:noinline
func nfproto(family, more int) []nft.Expr {
	b := byte(2) // NFPROTO_IPV4
	if family == 6 {
		b = 10 // NFPROTO_IPV6
	}
	return append(make([]nft.Expr, 0, 2+more), meta("nfproto"), equal([]byte{b}))
}

// Transport protocols (IANA's numbers).
const (
	ICMP   = 1
	TCP    = 6
	UDP    = 17
	IPv6   = 41 // 6in4
	GRE    = 47
	ESP    = 50
	ICMPv6 = 58
	SCTP   = 132
)

// L4Proto holds for packets of that transport protocol, behind IPv6's extension headers too.
//
//go:noinline
func L4Proto(proto uint8) []nft.Expr { return l4proto(proto, 0) }

// l4proto is L4Proto with room for more expressions.
//
//go:noinline
func l4proto(proto uint8, more int) []nft.Expr {
	return append(make([]nft.Expr, 0, 2+more), meta("l4proto"), equal([]byte{proto}))
}

// L4ProtoIn looks the transport protocol up in a set of TypeProto.
func L4ProtoIn(set string) []nft.Expr { return []nft.Expr{meta("l4proto"), lookup(set)} }
