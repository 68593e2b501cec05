package nft

import (
	"encoding/binary"
	"slices"

	"github.com/provision-net/provision/provision/resource/nft/nfnl"
	"golang.org/x/sys/unix"
)

// readExprs reads a list of expressions.
func readExprs(b []byte) ([]Expr, error) {
	var r ruleReader
	return r.exprs(b)
}

// readExpr reads one NFTA_LIST_ELEM. What is not known is an Unknown.
func readExpr(b []byte) (Expr, error) {
	var tb [unix.NFTA_EXPR_DATA + 1][]byte
	if err := nfnl.Fill(tb[:], b); err != nil {
		return Expr{}, err
	}
	name, ok := cstring(tb[unix.NFTA_EXPR_NAME])
	data := tb[unix.NFTA_EXPR_DATA]
	if ok {
		var a attrs
		a.read(data)
		if e := a.expr(name); !a.odd && e != (Expr{}) {
			return e, nil
		}
	}
	return Expr{Unknown: &Unknown{Name: name, Data: slices.Clone(data)}}, nil
}

func (a *attrs) expr(name string) (e Expr) {
	switch name {
	case "meta":
		e.Meta = &Meta{Key: a.word(unix.NFTA_META_KEY, metaKeys), Set: a.has(unix.NFTA_META_SREG)}
		e.Meta.Reg = a.u32(int(either(e.Meta.Set, unix.NFTA_META_SREG, unix.NFTA_META_DREG)))
	case "payload":
		e.Payload = &Payload{
			Base: a.word(unix.NFTA_PAYLOAD_BASE, payloadBases), Offset: a.u32(unix.NFTA_PAYLOAD_OFFSET),
			Len: a.u32(unix.NFTA_PAYLOAD_LEN), Reg: a.u32(unix.NFTA_PAYLOAD_DREG), // one that writes has none
		}
	case "cmp":
		e.Cmp = &Cmp{Op: a.word(unix.NFTA_CMP_OP, cmpOps), Reg: a.u32(unix.NFTA_CMP_SREG), Data: a.value(unix.NFTA_CMP_DATA)}
	case "range":
		e.Range = &Range{
			Op: a.word(unix.NFTA_RANGE_OP, rangeOps), Reg: a.u32(unix.NFTA_RANGE_SREG),
			From: a.value(unix.NFTA_RANGE_FROM_DATA), To: a.value(unix.NFTA_RANGE_TO_DATA),
		}
	case "bitwise":
		a.odd = a.odd || a.opt(nftaBitwiseOp) != 0
		e.Bitwise = &Bitwise{
			Src: a.u32(unix.NFTA_BITWISE_SREG), Dst: a.u32(unix.NFTA_BITWISE_DREG), Len: a.u32(unix.NFTA_BITWISE_LEN),
			Mask: a.value(unix.NFTA_BITWISE_MASK), Xor: a.value(unix.NFTA_BITWISE_XOR),
		}
	case "byteorder":
		e.Byteorder = &Byteorder{
			Op: a.word(unix.NFTA_BYTEORDER_OP, byteorderOps), Src: a.u32(unix.NFTA_BYTEORDER_SREG),
			Dst: a.u32(unix.NFTA_BYTEORDER_DREG), Len: a.u32(unix.NFTA_BYTEORDER_LEN), Size: a.u32(unix.NFTA_BYTEORDER_SIZE),
		}
	case "lookup":
		flags := a.opt(unix.NFTA_LOOKUP_FLAGS)
		a.odd = a.odd || flags > 1
		e.Lookup = &Lookup{
			Set: a.text(unix.NFTA_LOOKUP_SET), Reg: a.u32(unix.NFTA_LOOKUP_SREG), Map: a.has(unix.NFTA_LOOKUP_DREG),
			Dst: a.opt(unix.NFTA_LOOKUP_DREG), Invert: flags == unix.NFT_LOOKUP_F_INV,
		}
	case "immediate":
		if reg := a.u32(unix.NFTA_IMMEDIATE_DREG); reg == unix.NFT_REG_VERDICT {
			e.Verdict = a.verdict(unix.NFTA_IMMEDIATE_DATA)
		} else {
			e.Immediate = &Immediate{Reg: reg, Data: a.value(unix.NFTA_IMMEDIATE_DATA)}
		}
	case "ct":
		e.Ct = &Ct{Key: a.word(unix.NFTA_CT_KEY, ctKeys), Set: a.has(unix.NFTA_CT_SREG)}
		e.Ct.Reg = a.u32(int(either(e.Ct.Set, unix.NFTA_CT_SREG, unix.NFTA_CT_DREG)))
		if a.has(unix.NFTA_CT_DIRECTION) {
			e.Ct.Dir = a.is(word(ctDirs, uint32(a.u8(unix.NFTA_CT_DIRECTION))))
		}
	case "rt":
		e.Rt = &Rt{Key: a.word(unix.NFTA_RT_KEY, rtKeys), Reg: a.u32(unix.NFTA_RT_DREG)}
	case "notrack":
		e.Notrack = &Notrack{}
	default:
		a.statement(name, &e)
	}
	return e
}

func (a *attrs) statement(name string, e *Expr) {
	switch name {
	case "fib":
		e.Fib = a.fib()
	case "exthdr":
		flags := a.opt(unix.NFTA_EXTHDR_FLAGS)
		a.odd = a.odd || flags > 1
		e.Exthdr = &Exthdr{
			Op: exthdrOps[0], Type: a.u8(unix.NFTA_EXTHDR_TYPE), Offset: a.u32(unix.NFTA_EXTHDR_OFFSET), Len: a.u32(unix.NFTA_EXTHDR_LEN),
			Set: a.has(unix.NFTA_EXTHDR_SREG), Present: flags == unix.NFT_EXTHDR_F_PRESENT,
		}
		e.Exthdr.Reg = a.u32(int(either(e.Exthdr.Set, unix.NFTA_EXTHDR_SREG, unix.NFTA_EXTHDR_DREG)))
		if a.has(unix.NFTA_EXTHDR_OP) {
			e.Exthdr.Op = a.word(unix.NFTA_EXTHDR_OP, exthdrOps)
		}
	case "counter":
		e.Counter = &Counter{Packets: a.u64(unix.NFTA_COUNTER_PACKETS), Bytes: a.u64(unix.NFTA_COUNTER_BYTES)}
	case "limit":
		kind, flags := a.opt(unix.NFTA_LIMIT_TYPE), a.opt(unix.NFTA_LIMIT_FLAGS)
		a.odd = a.odd || kind > 1 || flags > 1
		e.Limit = &Limit{
			Rate: a.u64(unix.NFTA_LIMIT_RATE), Per: a.u64(unix.NFTA_LIMIT_UNIT), Burst: a.opt(unix.NFTA_LIMIT_BURST),
			Bytes: kind == unix.NFT_LIMIT_PKT_BYTES, Over: flags == unix.NFT_LIMIT_F_INV,
		}
	case "log":
		e.Log = a.log()
	case "reject":
		e.Reject = &Reject{Type: a.word(unix.NFTA_REJECT_TYPE, rejectTypes)}
		if a.has(unix.NFTA_REJECT_ICMP_CODE) {
			e.Reject.Code = a.u8(unix.NFTA_REJECT_ICMP_CODE)
		}
	case "nat":
		n := a.u32(unix.NFTA_NAT_FAMILY)
		a.odd = a.odd || n > 255
		e.NAT = &NAT{
			Kind: a.word(unix.NFTA_NAT_TYPE, natKinds), Family: a.is(familyName(uint8(n))), Flags: a.natFlags(unix.NFTA_NAT_FLAGS),
			AddrMin: a.opt(unix.NFTA_NAT_REG_ADDR_MIN), AddrMax: a.opt(unix.NFTA_NAT_REG_ADDR_MAX),
			PortMin: a.opt(unix.NFTA_NAT_REG_PROTO_MIN), PortMax: a.opt(unix.NFTA_NAT_REG_PROTO_MAX),
		}
	case "masq":
		e.Masq = &Masq{Flags: a.natFlags(unix.NFTA_MASQ_FLAGS), PortMin: a.opt(unix.NFTA_MASQ_REG_PROTO_MIN), PortMax: a.opt(unix.NFTA_MASQ_REG_PROTO_MAX)}
	case "redir":
		e.Redir = &Redir{Flags: a.natFlags(unix.NFTA_REDIR_FLAGS), PortMin: a.opt(unix.NFTA_REDIR_REG_PROTO_MIN), PortMax: a.opt(unix.NFTA_REDIR_REG_PROTO_MAX)}
	case "dynset":
		e.DynSet = a.dynset()
	}
	if e.Counter == nil { // what it has counted is told
		*e = canonicalStatement(*e)
	}
}

func (a *attrs) fib() *Fib {
	f := &Fib{Result: a.word(unix.NFTA_FIB_RESULT, fibResults), Reg: a.u32(unix.NFTA_FIB_DREG)}
	bits := a.u32(unix.NFTA_FIB_FLAGS)
	if bits&unix.NFTA_FIB_F_PRESENT != 0 {
		a.odd = a.odd || f.Result != "oif"
		f.Result = "present"
		bits &^= unix.NFTA_FIB_F_PRESENT
	}
	for i, s := range fibFlags {
		if bits&(1<<i) != 0 {
			f.Flags = append(f.Flags, s)
			bits &^= 1 << i
		}
	}
	a.odd = a.odd || bits != 0
	return f
}

func (a *attrs) log() *Log {
	l := &Log{Snaplen: a.opt(unix.NFTA_LOG_SNAPLEN), Flags: a.opt(unix.NFTA_LOG_FLAGS)}
	if a.has(unix.NFTA_LOG_PREFIX) {
		l.Prefix = a.text(unix.NFTA_LOG_PREFIX)
	}
	if g := a.tb[unix.NFTA_LOG_GROUP]; len(g) == 2 {
		n := binary.BigEndian.Uint16(g)
		l.Group = &n
	} else if g != nil {
		a.odd = true
	}
	if a.has(unix.NFTA_LOG_LEVEL) {
		n := a.u32(unix.NFTA_LOG_LEVEL)
		l.Level = &n
	}
	// A group has no level and no flags, and only a group cuts packets off.
	a.odd = a.odd || l.Group != nil && (l.Level != nil || l.Flags != 0) || l.Group == nil && l.Snaplen != 0
	if q := a.tb[unix.NFTA_LOG_QTHRESHOLD]; len(q) == 2 && binary.BigEndian.Uint16(q) != 0 {
		a.odd = true
	}
	return l
}

func (a *attrs) dynset() *DynSet {
	d := &DynSet{
		Op: a.word(unix.NFTA_DYNSET_OP, dynsetOps), Set: a.text(unix.NFTA_DYNSET_SET_NAME), Reg: a.u32(unix.NFTA_DYNSET_SREG_KEY),
		Data: a.opt(unix.NFTA_DYNSET_SREG_DATA), Timeout: a.opt64(unix.NFTA_DYNSET_TIMEOUT),
		Invert: a.opt(unix.NFTA_DYNSET_FLAGS)&unix.NFT_DYNSET_F_INV != 0,
	}
	var err error
	switch {
	case a.has(unix.NFTA_DYNSET_EXPR):
		var e Expr
		e, err = readExpr(a.tb[unix.NFTA_DYNSET_EXPR])
		d.Exprs = []Expr{e}
	case a.has(nftaDynsetExpressions):
		d.Exprs, err = readExprs(a.tb[nftaDynsetExpressions])
	}
	for _, e := range d.Exprs {
		// Nested deeper it is not of the kernel's making.
		a.odd = a.odd || e.DynSet != nil
	}
	a.odd = a.odd || err != nil
	return d
}
