package wire

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

var cookie = [cookieLen]byte{99, 130, 83, 99}

// Decode reads a message into p, which from then on refers to b. Nothing of what p held before is left. After an error
// p's header may be used to say whose packet was refused, if at least that could be read (HLen is 0 otherwise).
func (p *Packet) Decode(b []byte) error {
	for _, c := range p.seen {
		p.index[c] = span{}
	}
	p.Header = Header{}
	p.BOOTP, p.NoEnd, p.Doubled = false, false, 0
	p.raw, p.joined, p.seen = b, p.joined[:0], p.seen[:0]
	if len(b) < headerLen {
		return ErrShort
	}
	if len(b) > 1<<16-1 {
		b = b[:1<<16-1] // no UDP datagram is longer
		p.raw = b
	}
	p.Op, p.HType, p.HLen, p.Hops = b[0], b[1], b[2], b[3]
	p.XID = binary.BigEndian.Uint32(b[4:])
	p.Secs = binary.BigEndian.Uint16(b[8:])
	p.Flags = binary.BigEndian.Uint16(b[10:])
	p.CIAddr = netip.AddrFrom4([4]byte(b[12:]))
	p.YIAddr = netip.AddrFrom4([4]byte(b[16:]))
	p.SIAddr = netip.AddrFrom4([4]byte(b[20:]))
	p.GIAddr = netip.AddrFrom4([4]byte(b[24:]))
	copy(p.CHAddr[:], b[28:snameOff])
	if p.HLen > 16 {
		p.HLen = 0
		return ErrHLen
	}
	p.SName = cut(b[snameOff : snameOff+snameLen])
	p.File = cut(b[fileOff : fileOff+fileLen])
	if len(b) < headerLen+cookieLen || [cookieLen]byte(b[headerLen:]) != cookie {
		p.BOOTP = true
		return nil
	}
	ended, err := p.options(headerLen+cookieLen, len(b))
	if err != nil {
		return err
	}
	p.NoEnd = !ended
	if p.Has(OptOverload) {
		v := p.Get(OptOverload)
		if len(v) != 1 || v[0] < 1 || v[0] > 3 {
			return ErrOverload
		}
		// File before sname: RFC 3396 section 5. What they say about overloading is ignored, the option is there already.
		if v[0]&1 != 0 {
			p.File = nil
			if _, err := p.options(fileOff, fileOff+fileLen); err != nil {
				return err
			}
		}
		if v[0]&2 != 0 {
			p.SName = nil
			if _, err := p.options(snameOff, snameOff+snameLen); err != nil {
				return err
			}
		}
	}
	if p.Has(OptMessageType) && len(p.Get(OptMessageType)) != 1 {
		return ErrType
	}
	return nil
}

func cut(b []byte) []byte {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return b
}

// options indexes the options between two offsets.
func (p *Packet) options(at, end int) (ended bool, err error) {
	for at < end {
		code := p.raw[at]
		at++
		if code == OptPad {
			continue
		}
		if code == OptEnd {
			return true, nil
		}
		if at == end {
			return false, ErrOverrun
		}
		n := int(p.raw[at])
		at++
		if at+n > end {
			return false, ErrOverrun
		}
		p.add(code, at, n)
		at += n
	}
	return false, nil
}

func (p *Packet) add(code uint8, off, n int) {
	s := &p.index[code]
	switch {
	case s.where == absent:
		*s = span{uint16(off), uint16(n), inRaw}
		p.seen = append(p.seen, code)
	case !joins(code):
		p.Doubled++
	default:
		// A third piece copies the first two again; the total is bounded, for what was copied cannot be sent twice in the
		// 64 KB of a datagram without the pieces being empty or few. At the limit of the offsets the rest is left out.
		have := p.Get(code)
		if len(p.joined)+len(have)+n > 1<<16-1 {
			p.Doubled++
			return
		}
		start := len(p.joined)
		if s.where == inJoined && int(s.off)+int(s.n) == len(p.joined) {
			start = int(s.off) // the last one: it just grows
		} else {
			p.joined = append(p.joined, have...)
		}
		p.joined = append(p.joined, p.raw[off:off+n]...)
		*s = span{uint16(start), uint16(len(p.joined) - start), inJoined}
	}
}
