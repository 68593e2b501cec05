package nft

import (
	"fmt"
	"strings"

	"github.com/provision-net/provision/provision/resource/nft/nfnl"
	"golang.org/x/sys/unix"
)

// encoder appends expressions as the kernel takes them (NFTA_RULE_EXPRESSIONS). The first
// mistake stays in err.
type encoder struct {
	b   []byte
	ids map[string]uint32 // numbers of sets made in the same batch, by name
	err error
}

// exprs appends a list of expressions, each as an NFTA_LIST_ELEM.
func (w *encoder) exprs(list []Expr) {
	for i := range list {
		w.expr(&list[i], unix.NFTA_LIST_ELEM)
	}
}

func (w *encoder) expr(e *Expr, kind uint16) {
	var elem, data int
	w.b, elem = nfnl.Open(w.b, kind)
	w.b = nfnl.PutString(w.b, unix.NFTA_EXPR_NAME, e.kernelName())
	if u := e.Unknown; u != nil {
		if u.Data != nil {
			w.b = nfnl.Put(w.b, unix.NFTA_EXPR_DATA|unix.NLA_F_NESTED, u.Data)
		}
	} else {
		w.b, data = nfnl.Open(w.b, unix.NFTA_EXPR_DATA)
		w.body(e)
		w.b = nfnl.Close(w.b, data)
	}
	w.b = nfnl.Close(w.b, elem)
}

func (w *encoder) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

func (w *encoder) u32(kind uint16, n uint32) { w.b = nfnl.Put32(w.b, kind, n) }

// opt leaves a number out that is 0.
func (w *encoder) opt(kind uint16, n uint32) {
	if n != 0 {
		w.u32(kind, n)
	}
}

func (w *encoder) word(kind uint16, words []string, word, what string) {
	n, ok := number(words, word)
	if !ok || word == "" {
		w.fail("there is no %s %q", what, word)
	}
	w.u32(kind, n)
}

// value appends a register's value.
func (w *encoder) value(kind uint16, data []byte) {
	var at int
	w.b, at = nfnl.Open(w.b, kind)
	w.b = nfnl.Put(w.b, unix.NFTA_DATA_VALUE, data)
	w.b = nfnl.Close(w.b, at)
}

func (w *encoder) verdict(kind uint16, v *Verdict) {
	code, ok := verdictCode(v.Kind)
	if !ok {
		w.fail("there is no verdict %q", v.Kind)
	}
	var outer, inner int
	w.b, outer = nfnl.Open(w.b, kind)
	w.b, inner = nfnl.Open(w.b, unix.NFTA_DATA_VERDICT)
	w.u32(unix.NFTA_VERDICT_CODE, uint32(code))
	if v.Chain != "" {
		w.b = nfnl.PutString(w.b, unix.NFTA_VERDICT_CHAIN, v.Chain)
	}
	w.b = nfnl.Close(w.b, inner)
	w.b = nfnl.Close(w.b, outer)
}

func (w *encoder) set(nameKind, idKind uint16, name string) {
	id := w.ids[name]
	if id != 0 && strings.HasPrefix(name, anonymous) {
		name = anonymousName // only its number tells which one it is
	}
	w.b = nfnl.PutString(w.b, nameKind, name)
	w.opt(idKind, id)
}

func (w *encoder) natFlags(kind uint16, words []string) {
	var bits uint32
	for _, f := range words {
		n, ok := number(natFlags, f)
		if !ok {
			w.fail("there is no flag %q", f)
			return
		}
		bits |= natFlagBits[n]
	}
	w.opt(kind, bits)
}

func (w *encoder) body(e *Expr) {
	switch {
	case e.Meta != nil:
		w.word(unix.NFTA_META_KEY, metaKeys, e.Meta.Key, "meta key")
		w.u32(either(e.Meta.Set, unix.NFTA_META_SREG, unix.NFTA_META_DREG), e.Meta.Reg)
	case e.Payload != nil:
		w.u32(unix.NFTA_PAYLOAD_DREG, e.Payload.Reg)
		w.word(unix.NFTA_PAYLOAD_BASE, payloadBases, e.Payload.Base, "header")
		w.u32(unix.NFTA_PAYLOAD_OFFSET, e.Payload.Offset)
		w.u32(unix.NFTA_PAYLOAD_LEN, e.Payload.Len)
	case e.Cmp != nil:
		w.u32(unix.NFTA_CMP_SREG, e.Cmp.Reg)
		w.word(unix.NFTA_CMP_OP, cmpOps, e.Cmp.Op, "comparison")
		w.value(unix.NFTA_CMP_DATA, e.Cmp.Data)
	case e.Range != nil:
		w.u32(unix.NFTA_RANGE_SREG, e.Range.Reg)
		w.word(unix.NFTA_RANGE_OP, rangeOps, e.Range.Op, "comparison with a range")
		w.value(unix.NFTA_RANGE_FROM_DATA, e.Range.From)
		w.value(unix.NFTA_RANGE_TO_DATA, e.Range.To)
	case e.Bitwise != nil:
		w.u32(unix.NFTA_BITWISE_SREG, e.Bitwise.Src)
		w.u32(unix.NFTA_BITWISE_DREG, e.Bitwise.Dst)
		w.u32(unix.NFTA_BITWISE_LEN, e.Bitwise.Len)
		w.value(unix.NFTA_BITWISE_MASK, e.Bitwise.Mask)
		w.value(unix.NFTA_BITWISE_XOR, e.Bitwise.Xor)
	case e.Byteorder != nil:
		w.u32(unix.NFTA_BYTEORDER_SREG, e.Byteorder.Src)
		w.u32(unix.NFTA_BYTEORDER_DREG, e.Byteorder.Dst)
		w.word(unix.NFTA_BYTEORDER_OP, byteorderOps, e.Byteorder.Op, "byte order")
		w.u32(unix.NFTA_BYTEORDER_LEN, e.Byteorder.Len)
		w.u32(unix.NFTA_BYTEORDER_SIZE, e.Byteorder.Size)
	case e.Lookup != nil:
		w.set(unix.NFTA_LOOKUP_SET, unix.NFTA_LOOKUP_SET_ID, e.Lookup.Set)
		w.u32(unix.NFTA_LOOKUP_SREG, e.Lookup.Reg)
		if e.Lookup.Map {
			w.u32(unix.NFTA_LOOKUP_DREG, e.Lookup.Dst)
		}
		if e.Lookup.Invert {
			w.u32(unix.NFTA_LOOKUP_FLAGS, unix.NFT_LOOKUP_F_INV)
		}
	case e.Immediate != nil:
		w.u32(unix.NFTA_IMMEDIATE_DREG, e.Immediate.Reg)
		w.value(unix.NFTA_IMMEDIATE_DATA, e.Immediate.Data)
	case e.Verdict != nil:
		w.u32(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
		w.verdict(unix.NFTA_IMMEDIATE_DATA, e.Verdict)
	default:
		w.more(e)
	}
}

func either(yes bool, a, b uint16) uint16 {
	if yes {
		return a
	}
	return b
}
