package match

import "github.com/provision-net/provision/provision/resource/nft"

// SPort holds for packets of proto (TCP, UDP, SCTP) from the port. Proto 0 asks for none: the
// rule has to have made sure that there are ports.
func SPort(proto uint8, port uint16) []nft.Expr { return ports(proto, 0, equal(net16(port))) }

// DPort holds for packets of proto to the port.
func DPort(proto uint8, port uint16) []nft.Expr { return ports(proto, 2, equal(net16(port))) }

// SPortRange holds for packets of proto from one of the ports from..to.
func SPortRange(proto uint8, from, to uint16) []nft.Expr { return portRange(proto, 0, from, to) }

// DPortRange holds for packets of proto to one of the ports from..to.
func DPortRange(proto uint8, from, to uint16) []nft.Expr { return portRange(proto, 2, from, to) }

// SPortIn looks the source port up in a set of TypePort.
func SPortIn(proto uint8, set string) []nft.Expr { return ports(proto, 0, lookup(set)) }

// DPortIn looks the destination port up in a set of TypePort.
func DPortIn(proto uint8, set string) []nft.Expr { return ports(proto, 2, lookup(set)) }

func portRange(proto uint8, off uint32, from, to uint16) []nft.Expr {
	if from == to {
		return ports(proto, off, equal(net16(from)))
	}
	return ports(proto, off, within(net16(from), net16(to))...)
}

// TCP, UDP and SCTP all begin with the source and the destination port.
//
//go:noinline
func ports(proto uint8, off uint32, test ...nft.Expr) []nft.Expr {
	var out []nft.Expr
	if proto != 0 {
		out = l4proto(proto, 1+len(test))
	}
	return append(append(out, nft.Expr{Payload: &nft.Payload{Base: "transport", Offset: off, Len: 2, Reg: 1}}), test...)
}

// ICMPType holds for ICMP messages of IPv4 of that type.
func ICMPType(typ uint8) []nft.Expr {
	return append(icmp(4), equal([]byte{typ}))
}

// ICMPv6Type holds for ICMPv6 messages of that type.
func ICMPv6Type(typ uint8) []nft.Expr {
	return append(icmp(6), equal([]byte{typ}))
}

// ICMPv6In looks the type of an ICMPv6 message up in a set of TypeICMPv6. (A range of types
// would do, but nft writes one in words that it cannot read again.)
func ICMPv6In(set string) []nft.Expr { return append(icmp(6), lookup(set)) }

// TypeICMPv6 is nft's name for the type of a set's key: the type of an ICMPv6 message, one byte.
const TypeICMPv6 = "icmpv6_type"

func icmp(family int) []nft.Expr {
	proto := uint8(ICMP)
	if family == 6 {
		proto = ICMPv6
	}
	return Join(NFProto(family), L4Proto(proto), []nft.Expr{{Payload: &nft.Payload{Base: "transport", Len: 1, Reg: 1}}})
}

// ICMP types (IANA) that rules speak of.
const (
	EchoReply   = 0
	Unreachable = 3
	EchoRequest = 8
	TimeExceed  = 11
	ParamProb   = 12

	Unreachable6   = 1
	PacketTooBig6  = 2
	TimeExceed6    = 3
	ParamProb6     = 4
	EchoRequest6   = 128
	EchoReply6     = 129
	MLDQuery       = 130
	MLDReport      = 131
	MLDDone        = 132
	RouterSolicit  = 133
	RouterAdvert   = 134
	NeighSolicit   = 135
	NeighAdvert    = 136
	InvNeighSol    = 141
	InvNeighAdv    = 142
	MLD2Report     = 143
	CertPathSol    = 148
	CertPathAdv    = 149
	MRDAdvert      = 151
	MRDSolicit     = 152
	MRDTermination = 153
)
