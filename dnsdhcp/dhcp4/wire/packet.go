// Package wire reads and writes DHCPv4 messages (RFC 2131 section 2, RFC 2132).
//
// github.com/insomniacslk/dhcp has a codec, and the tests here compare against it, but a server cannot stand on it: it
// does not read overloaded options (the file field comes back as a garbled boot file name), joins a doubled message
// type to nonsense, refuses messages without an END option and BOOTP requests, forgets the order of the request list,
// never limits a reply to what the client can take, and keeps options in a map, so that every packet costs dozens of
// allocations. This one decodes into a struct that is used again, without allocating, and appends to a caller's buffer.
package wire

import (
	"encoding/binary"
	"errors"
	"net/netip"
)

// Sizes in bytes.
const (
	headerLen = 236
	cookieLen = 4
	snameOff  = 44
	snameLen  = 64
	fileOff   = 108
	fileLen   = 128
	// MinReply is what old clients and relays want a message to be padded to (RFC 1542 section 2.1).
	MinReply = 300
	// MinMaxSize is the smallest maximum message size: every client must take an IP datagram of 576 bytes (RFC 2131 section 2).
	MinMaxSize = 576
	// Overhead is the IP and UDP headers that a maximum message size and an MTU include.
	Overhead = 28
)

// FlagBroadcast is the only flag (RFC 2131 section 2, figure 2).
const FlagBroadcast = 0x8000

// Values of op.
const (
	BootRequest = 1
	BootReply   = 2
)

// What makes a packet none.
var (
	ErrShort    = errors.New("shorter than a BOOTP header")
	ErrHLen     = errors.New("hardware address longer than 16 bytes")
	ErrOverrun  = errors.New("an option runs past the end of its field")
	ErrType     = errors.New("message type option is not one byte")
	ErrOverload = errors.New("overload option is not one byte of 1 to 3")
)

// Header is the fixed part. Addresses that are not set are 0.0.0.0 after Decode; the zero netip.Addr is written as such.
type Header struct {
	Op, HType, HLen, Hops          uint8
	XID                            uint32
	Secs, Flags                    uint16
	CIAddr, YIAddr, SIAddr, GIAddr netip.Addr
	CHAddr                         [16]byte
	SName, File                    []byte // up to the first NUL; nil after Decode where the field holds options
}

// HW returns the hardware address: the first HLen bytes of CHAddr.
func (h *Header) HW() []byte { return h.CHAddr[:h.HLen] }

// Packet is a decoded message. It refers to the bytes it was decoded from; the zero value is ready to use, and to use
// again.
type Packet struct {
	Header
	// BOOTP says that there was no magic cookie, so no options either (RFC 951). A message with a cookie and without a
	// message type is a BOOTP request too (RFC 1534): that is Type() == 0.
	BOOTP bool
	// NoEnd says that the options ended without END; some clients of embedded devices do that.
	NoEnd bool
	// Doubled counts options that came twice although they have one value; the first was kept.
	Doubled int

	raw    []byte
	joined []byte // values that had to be put together (RFC 3396)
	index  [256]span
	seen   []uint8 // codes in order of first appearance
}

type span struct {
	off, n uint16
	where  uint8 // absent, inRaw, inJoined
}

const (
	absent = iota
	inRaw
	inJoined
)

// Type is the message type (option 53), 0 if there is none.
func (p *Packet) Type() uint8 {
	if v := p.Get(OptMessageType); len(v) == 1 {
		return v[0]
	}
	return 0
}

// Has says that the option is there, maybe empty.
func (p *Packet) Has(code uint8) bool { return p.index[code].where != absent }

// Get returns an option's value, nil if it is absent or empty.
func (p *Packet) Get(code uint8) []byte {
	s := &p.index[code]
	switch {
	case s.n == 0:
		return nil
	case s.where == inRaw:
		return p.raw[s.off : uint(s.off)+uint(s.n) : uint(s.off)+uint(s.n)]
	}
	return p.joined[s.off : uint(s.off)+uint(s.n) : uint(s.off)+uint(s.n)]
}

// Codes returns the codes of the options in order of their first appearance.
func (p *Packet) Codes() []uint8 { return p.seen }

// Addr returns an option that is one IPv4 address. ok is false if it is absent or of another length.
func (p *Packet) Addr(code uint8) (a netip.Addr, ok bool) {
	v := p.Get(code)
	if len(v) != 4 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(v)), true
}

// U16 returns an option that is a 16 bit number.
func (p *Packet) U16(code uint8) (uint16, bool) {
	v := p.Get(code)
	if len(v) != 2 {
		return 0, false
	}
	return binary.BigEndian.Uint16(v), true
}

// U32 returns an option that is a 32 bit number.
func (p *Packet) U32(code uint8) (uint32, bool) {
	v := p.Get(code)
	if len(v) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(v), true
}

// Requests says that code is in the parameter request list.
func (p *Packet) Requests(code uint8) bool {
	for _, c := range p.Get(OptRequestList) {
		if c == code {
			return true
		}
	}
	return false
}

// Sub returns a suboption of the relay agent information (RFC 3046 section 2.0), nil if it is absent.
func (p *Packet) Sub(code uint8) []byte {
	v := p.Get(OptRelayAgent)
	for len(v) >= 2 {
		n := int(v[1])
		if len(v) < 2+n {
			return nil
		}
		if v[0] == code {
			return v[2 : 2+n]
		}
		v = v[2+n:]
	}
	return nil
}
