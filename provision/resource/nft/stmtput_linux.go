package nft

import (
	"github.com/provision-net/provision/provision/resource/nft/nfnl"
	"golang.org/x/sys/unix"
)

// more is the rest of body.
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
