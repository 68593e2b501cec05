// Package wire reads and writes as much of a DNS message (RFC 1035 section 4) as a forwarder needs, in place and
// without allocating: header, one question, EDNS, and where records begin, end and keep their TTL.
package wire

import "encoding/binary"

// Sizes in bytes.
const (
	HeaderLen = 12
	MaxName   = 255 // RFC 1035 section 2.3.4, with the length octets and the root
	MinUDP    = 512 // RFC 1035 section 4.2.1: what a client without EDNS takes
)

// Bits of the header's second 16-bit word.
const (
	QR uint16 = 1 << 15
	AA uint16 = 1 << 10
	TC uint16 = 1 << 9
	RD uint16 = 1 << 8
	RA uint16 = 1 << 7
	AD uint16 = 1 << 5
	CD uint16 = 1 << 4

	OpcodeMask uint16 = 0xf << 11
	RcodeMask  uint16 = 0xf
)

// Response codes.
const (
	NoError  = 0
	FormErr  = 1
	ServFail = 2
	NXDomain = 3
	NotImp   = 4
	Refused  = 5
	BadVers  = 16 // extended, RFC 6891 section 9
)

// Types and classes that are treated specially.
const (
	TypeA     = 1
	TypeNS    = 2
	TypeCNAME = 5
	TypeSOA   = 6
	TypePTR   = 12
	TypeHINFO = 13
	TypeAAAA  = 28
	TypeOPT   = 41
	TypeDS    = 43
	TypeRRSIG = 46
	TypeSVCB  = 64
	TypeHTTPS = 65
	TypeTKEY  = 249
	TypeTSIG  = 250
	TypeIXFR  = 251
	TypeAXFR  = 252
	TypeANY   = 255

	ClassIN   = 1
	ClassNone = 254
	ClassAny  = 255
)

// U16 reads 16 bits in network order.
func U16(b []byte) uint16 { return binary.BigEndian.Uint16(b) }

// U32 reads 32 bits in network order.
func U32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// PutU16 writes 16 bits in network order.
func PutU16(b []byte, v uint16) { binary.BigEndian.PutUint16(b, v) }

// PutU32 writes 32 bits in network order.
func PutU32(b []byte, v uint32) { binary.BigEndian.PutUint32(b, v) }

// ID of a message that has a header.
func ID(msg []byte) uint16 { return U16(msg) }

// Flags is the header's second word.
func Flags(msg []byte) uint16 { return U16(msg[2:]) }

// Count is one of the four section counts: 0 questions, 1 answers, 2 authority, 3 additional.
func Count(msg []byte, section int) int { return int(U16(msg[4+2*section:])) }

// SetCount writes a section count.
func SetCount(msg []byte, section, n int) { PutU16(msg[4+2*section:], uint16(n)) }

// TypeName gives the names of common types and TYPE123 (RFC 3597) else.
func TypeName(t uint16) string {
	for i := range typeNames {
		if typeNames[i].t == t {
			return typeNames[i].s
		}
	}
	return "TYPE" + itoa(t)
}

var typeNames = [...]struct {
	t uint16
	s string
}{{TypeA, "A"}, {TypeAAAA, "AAAA"}, {TypePTR, "PTR"}, {TypeHTTPS, "HTTPS"}, {TypeSVCB, "SVCB"}, {TypeCNAME, "CNAME"}, {TypeNS, "NS"},
	{TypeSOA, "SOA"}, {15, "MX"}, {16, "TXT"}, {33, "SRV"}, {35, "NAPTR"}, {TypeDS, "DS"}, {48, "DNSKEY"}, {52, "TLSA"}, {257, "CAA"},
	{TypeANY, "ANY"}, {TypeAXFR, "AXFR"}, {TypeIXFR, "IXFR"}, {TypeHINFO, "HINFO"}}

// RcodeName gives the names of the codes that this resolver sends or meets, and RCODE11 else.
func RcodeName(r int) string {
	if r >= 0 && r < len(rcodeNames) {
		return rcodeNames[r]
	}
	if r == BadVers {
		return "BADVERS"
	}
	return "RCODE" + itoa(uint16(r))
}

var rcodeNames = [...]string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"}

func itoa(n uint16) string {
	var b [5]byte
	i := len(b)
	for {
		i--
		b[i] = byte('0' + n%10)
		if n /= 10; n == 0 {
			return string(b[i:])
		}
	}
}
