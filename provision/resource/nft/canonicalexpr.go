package nft

import "slices"

// canonicalExprs copies what it changes, which is nothing of a table that was read.
func canonicalExprs(exprs []Expr, rename map[string]string) []Expr {
	copied := false
	for i := range exprs {
		if settled(&exprs[i], rename) {
			continue
		}
		if !copied {
			exprs, copied = slices.Clone(exprs), true
		}
		exprs[i] = canonicalExpr(exprs[i], rename)
	}
	return exprs
}

// settled tells what is canonical as it is. Of what is rare it may not know.
func settled(e *Expr, rename map[string]string) bool {
	same := func(r uint32) bool { return register(r) == r }
	switch {
	case e.Meta != nil:
		return same(e.Meta.Reg)
	case e.Payload != nil:
		return same(e.Payload.Reg)
	case e.Cmp != nil:
		return same(e.Cmp.Reg)
	case e.Immediate != nil:
		return same(e.Immediate.Reg)
	case e.Bitwise != nil:
		return same(e.Bitwise.Src) && same(e.Bitwise.Dst)
	case e.Ct != nil:
		return same(e.Ct.Reg)
	case e.Lookup != nil:
		return rename == nil && same(e.Lookup.Reg) && same(e.Lookup.Dst)
	case e.Verdict != nil, e.Notrack != nil, e.Unknown != nil:
		return true
	case e.Counter != nil:
		return *e.Counter == Counter{}
	case e.Limit != nil:
		return e.Limit.Burst != 0 || e.Limit.Bytes
	case e.Log != nil:
		return e.Log.Level == nil || *e.Log.Level != 4
	case e.Reject != nil:
		return e.Reject.Type != "icmpv6" && (e.Reject.Type != "tcp reset" || e.Reject.Code == 0)
	case e.NAT != nil:
		n := e.NAT
		return settledNAT(n.AddrMin, n.AddrMax, nil) && settledNAT(n.PortMin, n.PortMax, n.Flags)
	case e.Masq != nil:
		return settledNAT(e.Masq.PortMin, e.Masq.PortMax, e.Masq.Flags)
	case e.DynSet != nil:
		d := e.DynSet
		return same(d.Reg) && same(d.Data) && !slices.ContainsFunc(d.Exprs, func(in Expr) bool { return !settled(&in, rename) })
	}
	return false
}

func settledNAT(low, high uint32, flags []string) bool {
	a, b := registers(low, high)
	return a == low && b == high && len(flags) == 0
}

func canonicalExpr(e Expr, rename map[string]string) Expr {
	switch {
	case e.Meta != nil:
		v := *e.Meta
		v.Reg = register(v.Reg)
		e.Meta = &v
	case e.Payload != nil:
		v := *e.Payload
		v.Reg = register(v.Reg)
		e.Payload = &v
	case e.Cmp != nil:
		v := *e.Cmp
		v.Reg = register(v.Reg)
		e.Cmp = &v
	case e.Range != nil:
		v := *e.Range
		v.Reg = register(v.Reg)
		e.Range = &v
	case e.Bitwise != nil:
		v := *e.Bitwise
		v.Src, v.Dst = register(v.Src), register(v.Dst)
		e.Bitwise = &v
	case e.Byteorder != nil:
		v := *e.Byteorder
		v.Src, v.Dst = register(v.Src), register(v.Dst)
		e.Byteorder = &v
	case e.Lookup != nil:
		v := *e.Lookup
		v.Reg, v.Dst = register(v.Reg), register(v.Dst)
		if to, ok := rename[v.Set]; ok {
			v.Set = to
		}
		e.Lookup = &v
	case e.Immediate != nil:
		v := *e.Immediate
		v.Reg = register(v.Reg)
		e.Immediate = &v
	case e.Ct != nil:
		v := *e.Ct
		v.Reg = register(v.Reg)
		e.Ct = &v
	case e.Fib != nil:
		v := *e.Fib
		v.Reg, v.Flags = register(v.Reg), inOrder(v.Flags, fibFlags)
		e.Fib = &v
	case e.Rt != nil:
		v := *e.Rt
		v.Reg = register(v.Reg)
		e.Rt = &v
	case e.Exthdr != nil:
		v := *e.Exthdr
		v.Reg = register(v.Reg)
		e.Exthdr = &v
	case e.DynSet != nil:
		v := *e.DynSet
		v.Reg, v.Data, v.Exprs = register(v.Reg), register(v.Data), canonicalExprs(v.Exprs, rename)
		e.DynSet = &v
	default:
		return canonicalStatement(e)
	}
	return e
}

func canonicalStatement(e Expr) Expr {
	switch {
	case e.Counter != nil && *e.Counter != Counter{}:
		e.Counter = &Counter{}
	case e.Limit != nil && e.Limit.Burst == 0 && !e.Limit.Bytes:
		v := *e.Limit
		v.Burst = 5 // NFT_LIMIT_PKT_BURST_DEFAULT
		e.Limit = &v
	case e.Log != nil:
		v := *e.Log
		if v.Level != nil && *v.Level == 4 {
			v.Level = nil
		}
		e.Log = &v
	case e.Reject != nil && e.Reject.Type != "icmp":
		v := *e.Reject
		switch v.Type {
		case "icmpv6": // of the packet's family, and so the same to the kernel
			v.Type = "icmp"
		case "tcp reset":
			v.Code = 0
		}
		e.Reject = &v
	case e.NAT != nil:
		v := *e.NAT
		v.AddrMin, v.AddrMax = registers(v.AddrMin, v.AddrMax)
		v.PortMin, v.PortMax = registers(v.PortMin, v.PortMax)
		v.Flags = inOrder(v.Flags, natFlags)
		e.NAT = &v
	case e.Masq != nil:
		v := *e.Masq
		v.PortMin, v.PortMax = registers(v.PortMin, v.PortMax)
		v.Flags = inOrder(v.Flags, natFlags)
		e.Masq = &v
	case e.Redir != nil:
		v := *e.Redir
		v.PortMin, v.PortMax = registers(v.PortMin, v.PortMax)
		v.Flags = inOrder(v.Flags, natFlags)
		e.Redir = &v
	}
	return e
}

// register is the number that the kernel gives back: the first 4-byte register of a 16-byte one
// has the number of that (nft_dump_register).
//
//go:noinline
func register(r uint32) uint32 {
	if r >= 8 && r < 24 && r%4 == 0 {
		return r/4 - 1
	}
	return r
}

// registers of a range: the kernel takes the first for the last where there is no last.
func registers(first, last uint32) (uint32, uint32) {
	first, last = register(first), register(last)
	if last == first {
		last = 0
	}
	return first, last
}

// inOrder sorts words by their place in all, and leaves out what is twice.
func inOrder(words, all []string) []string {
	var out []string
	for _, w := range all {
		if slices.Contains(words, w) {
			out = append(out, w)
		}
	}
	for _, w := range words {
		if !slices.Contains(all, w) {
			out = append(out, w) // a mistake, told by Problems
		}
	}
	return out
}
