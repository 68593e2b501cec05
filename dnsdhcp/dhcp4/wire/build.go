package wire

import (
	"encoding/binary"
	"net/netip"
)

// Builder collects the options of one message and lays them out. It is used again for the next one, so that building
// does not allocate.
type Builder struct {
	opts  []opt
	have  [4]uint64
	arena []byte
	rank  [256]uint16
	// Dropped are the options for which there was no room in the last message.
	Dropped []uint8
}

type opt struct {
	code  uint8
	place uint8
	data  []byte
}

// Reset forgets all options.
func (b *Builder) Reset() {
	b.opts, b.arena, b.have, b.Dropped = b.opts[:0], b.arena[:0], [4]uint64{}, b.Dropped[:0]
}

// Has says that an option was put, or blocked.
func (b *Builder) Has(code uint8) bool { return b.have[code>>6]&(1<<(code&63)) != 0 }

// Block keeps an option out: later Puts of it do nothing.
func (b *Builder) Block(code uint8) { b.have[code>>6] |= 1 << (code & 63) }

// Put adds an option and keeps data, which must not change until the message was appended. The first Put of a code
// wins: put the more specific one first. PAD, END and overload (which is Append's own) are ignored.
func (b *Builder) Put(code uint8, data []byte) {
	if b.Has(code) || code == OptPad || code == OptEnd || code == OptOverload {
		return
	}
	b.Block(code)
	b.opts = append(b.opts, opt{code: code, data: data})
}

// PutCopy is Put for data that will change.
func (b *Builder) PutCopy(code uint8, data []byte) {
	start := len(b.arena)
	b.arena = append(b.arena, data...)
	b.Put(code, b.arena[start:len(b.arena):len(b.arena)])
}

// PutU8 adds a byte.
func (b *Builder) PutU8(code, v uint8) { b.PutCopy(code, []byte{v}) }

// PutU16 adds a 16 bit number.
func (b *Builder) PutU16(code uint8, v uint16) {
	var d [2]byte
	binary.BigEndian.PutUint16(d[:], v)
	b.PutCopy(code, d[:])
}

// PutU32 adds a 32 bit number.
func (b *Builder) PutU32(code uint8, v uint32) {
	var d [4]byte
	binary.BigEndian.PutUint32(d[:], v)
	b.PutCopy(code, d[:])
}

// PutAddr adds an IPv4 address.
func (b *Builder) PutAddr(code uint8, a netip.Addr) {
	d := as4(a)
	b.PutCopy(code, d[:])
}

func as4(a netip.Addr) [4]byte {
	if !a.Is4() {
		return [4]byte{}
	}
	return a.As4()
}

// Limit returns how many bytes of UDP payload a client takes that announced maxSize (option 57; 0 if it did not) on a
// link with that MTU (0 if not known). RFC 2131 section 2: less than 576 must not be announced.
func Limit(maxSize, mtu int) int {
	if maxSize < MinMaxSize {
		maxSize = MinMaxSize
	}
	if mtu > 0 {
		maxSize = min(maxSize, max(mtu, MinMaxSize))
	}
	return maxSize - Overhead
}

// places of an option
const (
	nowhere = iota
	inOptions
	inFile
	inSName
)

// Append appends a message of at most limit bytes (see Limit; at least 300) to dst: options in the order 53, 54, 51, 1,
// 121 and 3, 6, 61, then that of the client's request list, then the rest. What does not fit goes to the file and sname
// fields as far as h does not need these (RFC 2132 section 9.3), and else is in Dropped. Relay agent information is
// written whole and last, or not at all (RFC 3046 section 2.2).
func (b *Builder) Append(dst []byte, h *Header, requests []byte, limit int) []byte {
	b.sort(requests)
	b.Dropped = b.Dropped[:0]
	limit = max(limit, MinReply)
	relay := -1
	room := limit - headerLen - cookieLen - 1 // END
	all := 0
	for i := range b.opts {
		b.opts[i].place = nowhere
		all += size(b.opts[i].data)
		if b.opts[i].code == OptRelayAgent {
			relay = i
		}
	}
	// 53, 54, 51, 58, 59, 1, 61 and the overload take less than 40 bytes without the client-id: a relay that leaves less
	// room than that gets its information not back rather than no answer for its client.
	reserved := 0
	if relay >= 0 {
		if n := size(b.opts[relay].data); n <= room-40 {
			b.opts[relay].place = inOptions
			reserved = n
		}
	}
	overload := all > room && (len(h.File) == 0 || len(h.SName) == 0)
	left := [...]int{inOptions: room - reserved, inFile: 0, inSName: 0}
	if overload {
		left[inOptions] -= 3
		if len(h.File) == 0 {
			left[inFile] = fileLen - 1
		}
		if len(h.SName) == 0 {
			left[inSName] = snameLen - 1
		}
	}
	var used uint8
	for i := range b.opts {
		o := &b.opts[i]
		if i == relay {
			if o.place == nowhere {
				b.Dropped = append(b.Dropped, o.code)
			}
			continue
		}
		n := size(o.data)
		for p := uint8(inOptions); p <= inSName && o.place == nowhere; p++ {
			if n <= left[p] {
				o.place = p
				left[p] -= n
				if p != inOptions {
					used |= p - inOptions
				}
			}
		}
		if o.place == nowhere {
			b.Dropped = append(b.Dropped, o.code)
		}
	}

	start := len(dst)
	dst = append(dst, zeros[:headerLen]...)
	b.header(dst[start:], h)
	dst = append(dst, cookie[:]...)
	for i := range b.opts {
		if o := &b.opts[i]; o.place == inOptions && i != relay {
			dst = appendOption(dst, o.code, o.data)
		}
	}
	if used != 0 {
		dst = append(dst, OptOverload, 1, used)
		if used&1 != 0 {
			b.field(dst[start+fileOff:start+fileOff:start+fileOff+fileLen], inFile)
		}
		if used&2 != 0 {
			b.field(dst[start+snameOff:start+snameOff:start+snameOff+snameLen], inSName)
		}
	}
	if relay >= 0 && b.opts[relay].place == inOptions {
		dst = appendOption(dst, OptRelayAgent, b.opts[relay].data)
	}
	dst = append(dst, OptEnd)
	if n := len(dst) - start; n < MinReply {
		dst = append(dst, zeros[:MinReply-n]...)
	}
	return dst
}

var zeros [MinReply]byte

func (b *Builder) header(d []byte, h *Header) {
	d[0], d[1], d[2], d[3] = h.Op, h.HType, h.HLen, h.Hops
	binary.BigEndian.PutUint32(d[4:], h.XID)
	binary.BigEndian.PutUint16(d[8:], h.Secs)
	binary.BigEndian.PutUint16(d[10:], h.Flags)
	for i, a := range [...]netip.Addr{h.CIAddr, h.YIAddr, h.SIAddr, h.GIAddr} {
		v := as4(a)
		copy(d[12+4*i:], v[:])
	}
	copy(d[28:snameOff], h.CHAddr[:])
	copy(d[snameOff:snameOff+snameLen-1], h.SName) // the field ends in a NUL
	copy(d[fileOff:fileOff+fileLen-1], h.File)
}

// field writes the options of one overloaded field, with the END that each needs (RFC 2131 section 4.1).
func (b *Builder) field(d []byte, place uint8) {
	for i := range b.opts {
		if o := &b.opts[i]; o.place == place {
			d = appendOption(d, o.code, o.data)
		}
	}
	_ = append(d, OptEnd)
}

// size is what an option takes, with the headers of the pieces that a long one is split into (RFC 3396).
func size(data []byte) int { return len(data) + 2*max(1, (len(data)+254)/255) }

func appendOption(dst []byte, code uint8, data []byte) []byte {
	for len(data) > 255 {
		dst = append(append(dst, code, 255), data[:255]...)
		data = data[255:]
	}
	return append(append(dst, code, uint8(len(data))), data...)
}

// sort orders by rank; there are few options and they are nearly in order, so insertion it is.
func (b *Builder) sort(requests []byte) {
	for i := range b.rank {
		b.rank[i] = 1000
	}
	for i := len(requests) - 1; i >= 0; i-- {
		b.rank[requests[i]] = uint16(100 + min(i, 800))
	}
	for i, c := range [...]uint8{OptMessageType, OptServerID, OptLeaseTime, OptSubnetMask, OptRoutes, OptMicrosoftRoutes, OptRouter, OptDNS, OptClientID} {
		b.rank[c] = uint16(i)
	}
	for i := 1; i < len(b.opts); i++ {
		o := b.opts[i]
		j := i
		for ; j > 0 && b.rank[b.opts[j-1].code] > b.rank[o.code]; j-- {
			b.opts[j] = b.opts[j-1]
		}
		b.opts[j] = o
	}
}
