package nft

import (
	"encoding/binary"
	"slices"

	"github.com/provision-net/provision/provision/resource/nft/nfnl"
	"golang.org/x/sys/unix"
)

// attrs are the attributes of one thing by number. Whatever is missing, of another size or of a
// value that is not known makes it odd, and then the thing is kept as it came.
type attrs struct {
	tb  [20][]byte
	odd bool
}

// read fills a, which is new. (It is no constructor, so that a can stay on the stack.)
func (a *attrs) read(b []byte) {
	if nfnl.Fill(a.tb[:], b) != nil {
		clear(a.tb[:])
		a.odd = true
	}
}

//go:noinline
func (a *attrs) has(kind int) bool { return a.tb[kind] != nil }

//go:noinline
func (a *attrs) u32(kind int) uint32 {
	if len(a.tb[kind]) != 4 {
		a.odd = true
		return 0
	}
	return binary.BigEndian.Uint32(a.tb[kind])
}

//go:noinline
func (a *attrs) opt(kind int) uint32 {
	if !a.has(kind) {
		return 0
	}
	return a.u32(kind)
}

func (a *attrs) u64(kind int) uint64 {
	if len(a.tb[kind]) != 8 {
		a.odd = true
		return 0
	}
	return binary.BigEndian.Uint64(a.tb[kind])
}

func (a *attrs) opt64(kind int) uint64 {
	if !a.has(kind) {
		return 0
	}
	return a.u64(kind)
}

func (a *attrs) u8(kind int) uint8 {
	if len(a.tb[kind]) != 1 {
		a.odd = true
		return 0
	}
	return a.tb[kind][0]
}

// text reads a string, with or without the zero byte behind it.
func (a *attrs) text(kind int) string {
	s, ok := cstring(a.tb[kind])
	if !ok {
		a.odd = true
	}
	return s
}

//go:noinline
func cstring(b []byte) (string, bool) {
	if b == nil {
		return "", false
	}
	if i := slices.Index(b, 0); i >= 0 {
		if i != len(b)-1 {
			return "", false
		}
		b = b[:i]
	}
	return string(b), true
}

func (a *attrs) word(kind int, words []string) string {
	return a.is(word(words, a.u32(kind)))
}

//go:noinline
func (a *attrs) is(s string, ok bool) string {
	if !ok || s == "" {
		a.odd = true
	}
	return s
}

func (a *attrs) value(kind int) []byte {
	var in attrs
	a.in(kind, &in)
	if !in.has(unix.NFTA_DATA_VALUE) {
		a.odd = true
	}
	return slices.Clone(in.tb[unix.NFTA_DATA_VALUE])
}

func (a *attrs) verdict(kind int) *Verdict {
	var in, v attrs
	a.in(kind, &in)
	in.in(unix.NFTA_DATA_VERDICT, &v)
	out := &Verdict{Kind: v.is(verdictName(int32(v.u32(unix.NFTA_VERDICT_CODE))))}
	if v.has(unix.NFTA_VERDICT_CHAIN) {
		out.Chain = v.text(unix.NFTA_VERDICT_CHAIN)
	}
	a.odd = a.odd || in.odd || v.odd
	return out
}

// in fills into with what is in an attribute.
func (a *attrs) in(kind int, into *attrs) {
	into.read(a.tb[kind])
	a.odd = a.odd || into.odd || !a.has(kind)
}

// natFlags leaves out what the kernel sets by itself (MAP_IPS, PROTO_SPECIFIED).
func (a *attrs) natFlags(kind int) []string {
	bits := a.opt(kind) &^ 3
	var out []string
	for i, f := range natFlags {
		if bits&natFlagBits[i] != 0 {
			out = append(out, f)
			bits &^= natFlagBits[i]
		}
	}
	a.odd = a.odd || bits != 0
	return out
}
