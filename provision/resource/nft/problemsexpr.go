package nft

import "slices"

// reg judges a register that holds size bytes: one of the four of 16 bytes, of which several
// may be taken in a row, or one of 4 bytes.
func (j *judge) reg(path string, r, size uint32) {
	begin := uint32(0) // in units of 4 bytes behind the verdict's
	switch {
	case r >= 1 && r <= 4:
		begin = (r - 1) * 4
	case r >= 8 && r < 24:
		begin = r - 8
	default:
		j.say(path, "there is no register %d", r)
		return
	}
	if size == 0 || size > maxValue || begin*4+size > maxValue {
		j.say(path, "%d bytes do not go into register %d", size, r)
	}
}

// maybe judges a register that may be left out.
func (j *judge) maybe(path string, r, size uint32) {
	if r != 0 {
		j.reg(path, r, size)
	}
}

func (j *judge) word(path, w string, words []string, what string) {
	if w == "" || !slices.Contains(words, w) {
		j.say(path, "there is no %s %q", what, w)
	}
}

func (j *judge) flags(path string, have, words []string) {
	for _, f := range have {
		j.word(path, f, words, "flag")
	}
}

func (j *judge) expr(path string, c *Chain, e *Expr) {
	if e.count() != 1 {
		j.say(path, "an expression that is not one thing")
		return
	}
	switch {
	case e.Meta != nil:
		j.word(path, e.Meta.Key, metaKeys, "meta key")
		j.reg(path, e.Meta.Reg, 1)
	case e.Payload != nil:
		j.word(path, e.Payload.Base, payloadBases, "header")
		j.reg(path, e.Payload.Reg, e.Payload.Len)
	case e.Cmp != nil:
		j.word(path, e.Cmp.Op, cmpOps, "comparison")
		j.reg(path, e.Cmp.Reg, uint32(len(e.Cmp.Data)))
	case e.Range != nil:
		j.word(path, e.Range.Op, rangeOps, "comparison with a range")
		j.reg(path, e.Range.Reg, uint32(len(e.Range.From)))
		if len(e.Range.From) != len(e.Range.To) {
			j.say(path, "the ends of a range differ in length")
		}
	case e.Bitwise != nil:
		j.reg(path, e.Bitwise.Src, e.Bitwise.Len)
		j.reg(path, e.Bitwise.Dst, e.Bitwise.Len)
		if n := int(e.Bitwise.Len); len(e.Bitwise.Mask) != n || len(e.Bitwise.Xor) != n {
			j.say(path, "a mask differs in length from its value")
		}
	case e.Byteorder != nil:
		j.word(path, e.Byteorder.Op, byteorderOps, "byte order")
		j.reg(path, e.Byteorder.Src, e.Byteorder.Len)
		j.reg(path, e.Byteorder.Dst, e.Byteorder.Len)
		if s := e.Byteorder.Size; s != 2 && s != 4 && s != 8 {
			j.say(path, "bytes are turned in units of 2, 4 or 8")
		}
	case e.Lookup != nil:
		j.lookup(path, e.Lookup)
	case e.Immediate != nil:
		j.reg(path, e.Immediate.Reg, uint32(len(e.Immediate.Data)))
	case e.Verdict != nil:
		if p := j.target(*e.Verdict); p != "" {
			j.say(path, "%s", p)
		}
	case e.Ct != nil:
		j.word(path, e.Ct.Key, ctKeys, "ct key")
		j.reg(path, e.Ct.Reg, 1)
		if e.Ct.Dir != "" {
			j.word(path, e.Ct.Dir, ctDirs, "direction")
		}
	case e.Fib != nil:
		j.word(path, e.Fib.Result, append([]string{"present"}, fibResults[1:]...), "fib result")
		j.flags(path, e.Fib.Flags, fibFlags)
		j.reg(path, e.Fib.Reg, 4)
	case e.Rt != nil:
		j.word(path, e.Rt.Key, rtKeys, "rt key")
		j.reg(path, e.Rt.Reg, 2)
	case e.Exthdr != nil:
		j.word(path, e.Exthdr.Op, exthdrOps, "sort of extension header")
		j.reg(path, e.Exthdr.Reg, max(e.Exthdr.Len, 1))
	default:
		j.statement(path, c, e)
	}
}

func (j *judge) lookup(path string, l *Lookup) {
	s := j.sets[l.Set]
	if s == nil {
		j.say(path, "there is no set %q", l.Set)
		return
	}
	j.reg(path, l.Reg, uint32(KeySize(s.Key)))
	switch {
	case l.Map && len(s.Data) == 0:
		j.say(path, "set %s is no map", l.Set)
	case l.Map && l.Invert:
		j.say(path, "what is not in a map has no value")
	case l.Map && s.verdicts() != (l.Dst == 0):
		j.say(path, "a verdict goes into register 0, and every other value into another one")
	case l.Map && l.Dst != 0:
		j.reg(path, l.Dst, uint32(KeySize(s.Data)))
	}
}

func (j *judge) statement(path string, c *Chain, e *Expr) {
	switch {
	case e.Limit != nil:
		if l := e.Limit; l.Rate == 0 || !slices.Contains([]uint64{1, 60, 3600, 86400, 604800}, l.Per) {
			j.say(path, "a limit has a rate per second, minute, hour, day or week (in seconds)")
		}
	case e.Log != nil:
		j.log(path, e.Log)
	case e.Reject != nil:
		j.word(path, e.Reject.Type, append([]string{"icmpv6"}, rejectTypes...), "sort of reject")
		if e.Reject.Type == "icmpx" && e.Reject.Code > 3 {
			j.say(path, "icmpx has codes from 0 to 3")
		}
		j.in(path, c, "filter", "reject", "input", "forward", "output", "prerouting")
	case e.NAT != nil:
		j.word(path, e.NAT.Kind, natKinds, "sort of nat")
		j.word(path, e.NAT.Family, []string{"ip", "ip6"}, "family of addresses")
		size := uint32(4)
		if e.NAT.Family == "ip6" {
			size = 16
		}
		j.maybe(path, e.NAT.AddrMin, size)
		j.maybe(path, e.NAT.AddrMax, size)
		j.ports(path, e.NAT.PortMin, e.NAT.PortMax, e.NAT.Flags)
		if e.NAT.AddrMin == 0 && e.NAT.PortMin == 0 {
			j.say(path, "nat to nothing")
		}
		if e.NAT.Kind == "snat" {
			j.in(path, c, "nat", "snat", "postrouting", "input")
		} else {
			j.in(path, c, "nat", "dnat", "prerouting", "output")
		}
	case e.Masq != nil:
		j.ports(path, e.Masq.PortMin, e.Masq.PortMax, e.Masq.Flags)
		j.in(path, c, "nat", "masquerade", "postrouting")
	case e.Redir != nil:
		j.ports(path, e.Redir.PortMin, e.Redir.PortMax, e.Redir.Flags)
		j.in(path, c, "nat", "redirect", "prerouting", "output")
	case e.DynSet != nil:
		j.dynset(path, c, e.DynSet)
	case e.Unknown != nil:
		j.say(path, "expression %q is somebody else's", e.Unknown.Name)
	}
}

func (j *judge) ports(path string, first, last uint32, flags []string) {
	j.maybe(path, first, 2)
	j.maybe(path, last, 2)
	if first == 0 && last != 0 {
		j.say(path, "a range of ports without a beginning")
	}
	j.flags(path, flags, natFlags)
}

// in judges what works in some chains only. Chains without a hook are judged by the kernel, for
// all chains that lead there.
func (j *judge) in(path string, c *Chain, kind, what string, hooks ...string) {
	if c.Base != nil && (c.Base.Type != kind || !slices.Contains(hooks, c.Base.Hook)) {
		j.say(path, "%s cannot be in a chain of type %s at %s", what, c.Base.Type, c.Base.Hook)
	}
}

func (j *judge) log(path string, l *Log) {
	if p := textProblem(l.Prefix); p != "" {
		j.say(path, "its log prefix: %s", p)
	}
	switch {
	case l.Group != nil && (l.Level != nil || l.Flags != 0):
		j.say(path, "a log group has neither level nor flags")
	case l.Group == nil && l.Snaplen != 0:
		j.say(path, "only a log group cuts packets off")
	case l.Level != nil && *l.Level > 8, l.Flags > 0x3f:
		j.say(path, "there is no such level or flag of logs")
	}
}

func (j *judge) dynset(path string, c *Chain, d *DynSet) {
	j.word(path, d.Op, dynsetOps, "set operation")
	s := j.sets[d.Set]
	if s == nil {
		j.say(path, "there is no set %q", d.Set)
		return
	}
	j.reg(path, d.Reg, uint32(KeySize(s.Key)))
	switch {
	case !s.Learnt || s.Interval:
		j.say(path, "rules add to learnt sets without ranges only, and %s is none", d.Set)
	case d.Timeout%1000 != 0:
		j.say(path, "its timeout is no whole number of seconds")
	case (d.Data != 0) != (len(s.Data) > 0):
		j.say(path, "a map's element has a value, and no other has")
	case d.Data != 0:
		j.reg(path, d.Data, uint32(KeySize(s.Data)))
	}
	for i := range d.Exprs {
		if e := &d.Exprs[i]; e.Limit == nil && e.Counter == nil || e.count() != 1 {
			j.say(path, "an element has a limit or a counter with it, and nothing else")
		} else {
			j.expr(path, c, e)
		}
	}
}
