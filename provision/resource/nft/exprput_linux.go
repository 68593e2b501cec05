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

func (w *encoder) more(e *Expr) {
	switch {
	case e.Ct != nil:
		w.word(unix.NFTA_CT_KEY, ctKeys, e.Ct.Key, "ct key")
		w.u32(either(e.Ct.Set, unix.NFTA_CT_SREG, unix.NFTA_CT_DREG), e.Ct.Reg)
		if e.Ct.Dir != "" {
			n, ok := number(ctDirs, e.Ct.Dir)
			if !ok {
				w.fail("there is no direction %q", e.Ct.Dir)
			}
			w.b = nfnl.Put8(w.b, unix.NFTA_CT_DIRECTION, uint8(n))
		}
	case e.Fib != nil:
		w.fib(e.Fib)
	case e.Rt != nil:
		w.u32(unix.NFTA_RT_DREG, e.Rt.Reg)
		w.word(unix.NFTA_RT_KEY, rtKeys, e.Rt.Key, "rt key")
	case e.Exthdr != nil:
		x := e.Exthdr
		w.b = nfnl.Put8(w.b, unix.NFTA_EXTHDR_TYPE, x.Type)
		w.u32(unix.NFTA_EXTHDR_OFFSET, x.Offset)
		w.u32(unix.NFTA_EXTHDR_LEN, x.Len)
		w.word(unix.NFTA_EXTHDR_OP, exthdrOps, x.Op, "sort of extension header")
		w.u32(either(x.Set, unix.NFTA_EXTHDR_SREG, unix.NFTA_EXTHDR_DREG), x.Reg)
		if x.Present {
			w.u32(unix.NFTA_EXTHDR_FLAGS, unix.NFT_EXTHDR_F_PRESENT)
		}
	case e.Counter != nil:
		w.b = nfnl.Put64(w.b, unix.NFTA_COUNTER_BYTES, e.Counter.Bytes)
		w.b = nfnl.Put64(w.b, unix.NFTA_COUNTER_PACKETS, e.Counter.Packets)
	case e.Limit != nil:
		w.b = nfnl.Put64(w.b, unix.NFTA_LIMIT_RATE, e.Limit.Rate)
		w.b = nfnl.Put64(w.b, unix.NFTA_LIMIT_UNIT, e.Limit.Per)
		w.u32(unix.NFTA_LIMIT_BURST, e.Limit.Burst)
		w.u32(unix.NFTA_LIMIT_TYPE, uint32(either(e.Limit.Bytes, unix.NFT_LIMIT_PKT_BYTES, unix.NFT_LIMIT_PKTS)))
		w.u32(unix.NFTA_LIMIT_FLAGS, uint32(either(e.Limit.Over, unix.NFT_LIMIT_F_INV, 0)))
	case e.Log != nil:
		w.log(e.Log)
	case e.Reject != nil:
		t := e.Reject.Type
		if t == "icmpv6" {
			t = "icmp"
		}
		w.word(unix.NFTA_REJECT_TYPE, rejectTypes, t, "sort of reject")
		if t != "tcp reset" {
			w.b = nfnl.Put8(w.b, unix.NFTA_REJECT_ICMP_CODE, e.Reject.Code)
		}
	case e.NAT != nil:
		w.nat(e.NAT)
	case e.Masq != nil:
		w.natFlags(unix.NFTA_MASQ_FLAGS, e.Masq.Flags)
		w.opt(unix.NFTA_MASQ_REG_PROTO_MIN, e.Masq.PortMin)
		w.opt(unix.NFTA_MASQ_REG_PROTO_MAX, e.Masq.PortMax)
	case e.Redir != nil:
		w.opt(unix.NFTA_REDIR_REG_PROTO_MIN, e.Redir.PortMin)
		w.opt(unix.NFTA_REDIR_REG_PROTO_MAX, e.Redir.PortMax)
		w.natFlags(unix.NFTA_REDIR_FLAGS, e.Redir.Flags)
	case e.DynSet != nil:
		w.dynset(e.DynSet)
	case e.Notrack != nil:
	default:
		w.fail("an expression is empty")
	}
}

func (w *encoder) fib(f *Fib) {
	result, flags := f.Result, uint32(0)
	if result == "present" {
		result, flags = "oif", unix.NFTA_FIB_F_PRESENT
	}
	for _, s := range f.Flags {
		n, ok := number(fibFlags, s)
		if !ok {
			w.fail("there is no fib flag %q", s)
		}
		flags |= 1 << n
	}
	w.u32(unix.NFTA_FIB_DREG, f.Reg)
	w.word(unix.NFTA_FIB_RESULT, fibResults, result, "fib result")
	w.u32(unix.NFTA_FIB_FLAGS, flags)
}

func (w *encoder) log(l *Log) {
	if l.Prefix != "" {
		w.b = nfnl.PutString(w.b, unix.NFTA_LOG_PREFIX, l.Prefix)
	}
	if l.Group != nil {
		w.b = nfnl.Put16(w.b, unix.NFTA_LOG_GROUP, *l.Group)
		w.opt(unix.NFTA_LOG_SNAPLEN, l.Snaplen)
		return
	}
	if l.Level != nil {
		w.u32(unix.NFTA_LOG_LEVEL, *l.Level)
	}
	w.opt(unix.NFTA_LOG_FLAGS, l.Flags)
}

func (w *encoder) nat(n *NAT) {
	w.word(unix.NFTA_NAT_TYPE, natKinds, n.Kind, "sort of nat")
	family, ok := familyNumber(n.Family)
	if !ok {
		w.fail("there is no family %q", n.Family)
	}
	w.u32(unix.NFTA_NAT_FAMILY, uint32(family))
	w.opt(unix.NFTA_NAT_REG_ADDR_MIN, n.AddrMin)
	w.opt(unix.NFTA_NAT_REG_ADDR_MAX, n.AddrMax)
	w.opt(unix.NFTA_NAT_REG_PROTO_MIN, n.PortMin)
	w.opt(unix.NFTA_NAT_REG_PROTO_MAX, n.PortMax)
	w.natFlags(unix.NFTA_NAT_FLAGS, n.Flags)
}

func (w *encoder) dynset(d *DynSet) {
	w.set(unix.NFTA_DYNSET_SET_NAME, unix.NFTA_DYNSET_SET_ID, d.Set)
	w.word(unix.NFTA_DYNSET_OP, dynsetOps, d.Op, "set operation")
	w.u32(unix.NFTA_DYNSET_SREG_KEY, d.Reg)
	w.opt(unix.NFTA_DYNSET_SREG_DATA, d.Data)
	if d.Timeout != 0 {
		w.b = nfnl.Put64(w.b, unix.NFTA_DYNSET_TIMEOUT, d.Timeout)
	}
	flags := uint32(either(d.Invert, unix.NFT_DYNSET_F_INV, 0))
	switch len(d.Exprs) {
	case 0:
	case 1:
		w.expr(&d.Exprs[0], unix.NFTA_DYNSET_EXPR)
	default:
		var at int
		w.b, at = nfnl.Open(w.b, nftaDynsetExpressions)
		w.exprs(d.Exprs)
		w.b = nfnl.Close(w.b, at)
		flags |= dynsetManyExprs
	}
	w.opt(unix.NFTA_DYNSET_FLAGS, flags)
}

func either(yes bool, a, b uint16) uint16 {
	if yes {
		return a
	}
	return b
}
