package nft

// kernelName is what the kernel calls an expression (struct nft_expr_type, name).
func (e *Expr) kernelName() string {
	switch {
	case e.Meta != nil:
		return "meta"
	case e.Payload != nil:
		return "payload"
	case e.Cmp != nil:
		return "cmp"
	case e.Range != nil:
		return "range"
	case e.Bitwise != nil:
		return "bitwise"
	case e.Byteorder != nil:
		return "byteorder"
	case e.Lookup != nil:
		return "lookup"
	case e.Immediate != nil, e.Verdict != nil:
		return "immediate"
	case e.Ct != nil:
		return "ct"
	case e.Fib != nil:
		return "fib"
	case e.Rt != nil:
		return "rt"
	case e.Exthdr != nil:
		return "exthdr"
	case e.Counter != nil:
		return "counter"
	case e.Limit != nil:
		return "limit"
	case e.Log != nil:
		return "log"
	case e.Reject != nil:
		return "reject"
	case e.NAT != nil:
		return "nat"
	case e.Masq != nil:
		return "masq"
	case e.Redir != nil:
		return "redir"
	case e.Notrack != nil:
		return "notrack"
	case e.DynSet != nil:
		return "dynset"
	case e.Unknown != nil:
		return e.Unknown.Name
	}
	return ""
}
