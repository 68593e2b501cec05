package packet

import (
	"bytes"
	"encoding/binary"

	"github.com/provision-net/provision/provision/resource/nft"
)

// registers are the 80 bytes of struct nft_regs, in words of which each may be unknown.
type registers struct {
	b     [80]byte
	known [20]bool
}

// offset is where a register's bytes begin (nft_parse_register, nf_tables_api.c); 64 are the
// four of 16 bytes after the verdict's.
func offset(reg uint32) int {
	if reg >= 8 {
		return int(reg-8)*4 + 16
	}
	return int(reg) * 16
}

// put stores bytes; the rest of the last word is zeroed, as the kernel does.
func (r *registers) put(reg uint32, data []byte, known bool) {
	at := offset(reg)
	n := (len(data) + 3) &^ 3
	if at < 16 || at+n > len(r.b) {
		return
	}
	clear(r.b[at : at+n])
	copy(r.b[at:], data)
	for i := at / 4; i < (at+n)/4; i++ {
		r.known[i] = known
	}
}

func (r *registers) get(reg uint32, n int) (data []byte, known bool) {
	at := offset(reg)
	if at < 16 || at+n > len(r.b) || n < 0 {
		return make([]byte, max(n, 0)), false
	}
	known = true
	for i := at / 4; i*4 < at+n; i++ {
		known = known && r.known[i]
	}
	return r.b[at : at+n], known
}

func (r *run) cmp(c *nft.Cmp) outcome {
	data, known := r.regs.get(c.Reg, len(c.Data))
	if !known {
		return unsure
	}
	d := bytes.Compare(data, c.Data)
	ok := false
	switch c.Op {
	case "==":
		ok = d == 0
	case "!=":
		ok = d != 0
	case "<":
		ok = d < 0
	case "<=":
		ok = d <= 0
	case ">":
		ok = d > 0
	case ">=":
		ok = d >= 0
	default:
		return unsure
	}
	return when(ok)
}

func when(ok bool) outcome {
	if ok {
		return goOn
	}
	return noMatch
}

func (r *run) inRange(x *nft.Range) outcome {
	data, known := r.regs.get(x.Reg, len(x.From))
	if !known || len(x.From) != len(x.To) {
		return unsure
	}
	in := bytes.Compare(data, x.From) >= 0 && bytes.Compare(data, x.To) <= 0
	return when(in == (x.Op == "=="))
}

func (r *run) bitwise(b *nft.Bitwise) outcome {
	n := int(b.Len)
	data, known := r.regs.get(b.Src, n)
	if len(b.Mask) != n || len(b.Xor) != n {
		return unsure
	}
	out := make([]byte, n)
	masked := true // nothing of the source is left: known all the same
	for i := range out {
		out[i] = data[i]&b.Mask[i] ^ b.Xor[i]
		masked = masked && b.Mask[i] == 0
	}
	r.regs.put(b.Dst, out, known || masked)
	return goOn
}

func (r *run) byteorder(b *nft.Byteorder) outcome {
	n, size := int(b.Len), int(b.Size)
	data, known := r.regs.get(b.Src, n)
	if size == 0 {
		return unsure
	}
	n -= n % size // less than a unit is left as it is
	data = data[:n]
	if n == 0 {
		return goOn
	}
	out := make([]byte, n)
	for i := range out { // both directions swap on a little-endian machine, and do nothing on others
		unit := i / size * size
		if little() {
			out[i] = data[unit+size-1-(i-unit)]
		} else {
			out[i] = data[i]
		}
	}
	r.regs.put(b.Dst, out, known)
	return goOn
}

func little() bool { return binary.NativeEndian.Uint16([]byte{1, 0}) == 1 }

func host32(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }
func host16(v uint16) []byte { return binary.NativeEndian.AppendUint16(nil, v) }
