package nft

import (
	"encoding/json"
	"fmt"
	"strings"
)

func rawText(e Expr) string {
	if e.Unknown != nil {
		return "[ " + e.Unknown.Name + " " + hexNumber(e.Unknown.Data) + " ]"
	}
	b, err := json.Marshal(e)
	if err != nil {
		return "[ ? ]"
	}
	return "[ " + strings.Trim(string(b), "{}") + " ]"
}

func verdictText(v Verdict) string {
	if v.Chain != "" {
		return v.Kind + " " + v.Chain
	}
	return v.Kind
}

// statement says an expression that does something.
func (s *sayer) statement(e Expr) bool {
	switch {
	case e.Verdict != nil:
		s.act(verdictText(*e.Verdict))
	case e.Counter != nil:
		if s.counters {
			s.act(fmt.Sprintf("counter packets %d bytes %d", e.Counter.Packets, e.Counter.Bytes))
		} else {
			s.act("counter")
		}
	case e.Limit != nil:
		s.act(limitText(*e.Limit))
	case e.Log != nil:
		s.act(logText(*e.Log))
	case e.Notrack != nil:
		s.act("notrack")
	case e.Reject != nil:
		return s.reject(*e.Reject)
	case e.Meta != nil:
		return s.assign("meta "+e.Meta.Key+" set ", metaType(e.Meta.Key), e.Meta.Reg)
	case e.Ct != nil:
		t := ctTerm(*e.Ct)
		return t != nil && s.assign(t.text+" set ", t.typ, e.Ct.Reg)
	case e.Exthdr != nil:
		t := exthdrTerm(*e.Exthdr)
		return t != nil && e.Exthdr.Op == "tcpopt" && s.assign(t.text+" set ", "integer", e.Exthdr.Reg)
	case e.NAT != nil:
		return s.nat(*e.NAT)
	case e.Masq != nil:
		return s.toPorts("masquerade", e.Masq.PortMin, e.Masq.PortMax, e.Masq.Flags)
	case e.Redir != nil:
		return s.toPorts("redirect", e.Redir.PortMin, e.Redir.PortMax, e.Redir.Flags)
	case e.DynSet != nil:
		return s.dynset(*e.DynSet)
	default:
		return false
	}
	return true
}

func metaType(key string) string {
	switch key {
	case "nftrace":
		return "integer"
	case "mark", "priority", "pkttype":
		return metaTerm(key).typ
	}
	return ""
}

// operand writes the value in a register: data of the type, or where it came from.
func (s *sayer) operand(typ string, reg uint32) (string, bool) {
	t := s.reg(reg)
	if t == nil || typ == "" {
		return "", false
	}
	t.fresh = false
	if t.data != nil {
		if typ == "integer" { // of one byte, or of network order
			return s.value(&term{typ: typ}, t.data)
		}
		return sayValue(typ, t.data, false)
	}
	if d, _ := typeOf(typ); t.typ != "" && t.native() != (d.host && t.size > 1) {
		return "", false // it would arrive in the wrong order
	}
	text, ok := s.left(t)
	if !strings.HasPrefix(t.text, "@") {
		s.use(t)
	}
	return text, ok
}

func (s *sayer) assign(left, typ string, reg uint32) bool {
	v, ok := s.operand(typ, reg)
	if ok {
		s.act(left + v)
	}
	return ok
}

func limitText(l Limit) string {
	var b strings.Builder
	b.WriteString("limit rate ")
	if l.Over {
		b.WriteString("over ")
	}
	unit := map[uint64]string{1: "second", 60: "minute", 3600: "hour", 86400: "day", 604800: "week"}[l.Per]
	if unit == "" {
		unit = fmt.Sprintf("%ds", l.Per)
	}
	if l.Bytes {
		n, word := byteUnits(l.Rate)
		fmt.Fprintf(&b, "%d %s/%s", n, word, unit)
		if l.Burst > 0 {
			n, word = byteUnits(uint64(l.Burst))
			fmt.Fprintf(&b, " burst %d %s", n, word)
		}
		return b.String()
	}
	fmt.Fprintf(&b, "%d/%s", l.Rate, unit)
	if l.Burst > 0 && l.Burst != 5 { // nft's own default
		fmt.Fprintf(&b, " burst %d packets", l.Burst)
	}
	return b.String()
}

func byteUnits(n uint64) (uint64, string) {
	switch {
	case n > 0 && n%(1<<20) == 0:
		return n >> 20, "mbytes"
	case n > 0 && n%(1<<10) == 0:
		return n >> 10, "kbytes"
	}
	return n, "bytes"
}

func logText(l Log) string {
	var b strings.Builder
	b.WriteString("log")
	if l.Prefix != "" {
		b.WriteString(" prefix " + quote(l.Prefix))
	}
	if l.Group != nil {
		fmt.Fprintf(&b, " group %d", *l.Group)
		if l.Snaplen > 0 {
			fmt.Fprintf(&b, " snaplen %d", l.Snaplen)
		}
	}
	if l.Level != nil && *l.Level != 4 && l.Group == nil {
		if lv := logLevels(); int(*l.Level) < len(lv) {
			b.WriteString(" level " + lv[*l.Level])
		} else {
			b.WriteString(" level audit")
		}
	}
	if l.Flags&0x2f == 0x2f {
		b.WriteString(" flags all")
		return b.String()
	}
	switch l.Flags & 3 { // NF_LOG_TCPSEQ, NF_LOG_TCPOPT
	case 1:
		b.WriteString(" flags tcp sequence")
	case 2:
		b.WriteString(" flags tcp options")
	case 3:
		b.WriteString(" flags tcp sequence,options")
	}
	for _, f := range []struct {
		bit  uint32
		text string
	}{{4, "ip options"}, {8, "skuid"}, {0x20, "ether"}} {
		if l.Flags&f.bit != 0 {
			b.WriteString(" flags " + f.text)
		}
	}
	return b.String()
}

func (s *sayer) reject(r Reject) bool {
	code := uint64(r.Code)
	known := func(n names) (string, bool) { w, ok := n[code]; return w, ok }
	var word string
	ok := true
	six := s.nf == "ip6"
	short := s.family == "ip" || s.family == "ip6" // there the shortest form is port-unreachable of the family
	switch r.Type {
	case "tcp reset":
		s.act("reject with tcp reset")
		return true
	case "icmpx":
		if word, ok = known(icmpxCodes()); ok && r.Code != 1 {
			s.act("reject with icmpx " + word)
		} else if ok {
			s.act("reject")
		}
		return ok
	case "icmp", "icmpv6":
		if s.nf == "" {
			return false // an address family must be certain, or the code means nothing
		}
		word, ok = known(icmpCodes())
		kind := "icmp"
		if six {
			word, ok = known(icmpv6Codes())
			kind = "icmpv6"
		}
		if !ok {
			return false
		}
		if short && (!six && r.Code == 3 || six && r.Code == 4) {
			s.act("reject")
			return true
		}
		s.use(&term{proto: s.nf})
		s.act("reject with " + kind + " " + word)
		return true
	}
	return false
}

func (s *sayer) dynset(d DynSet) bool {
	if d.Invert {
		return false
	}
	_, key, ok := s.key(s.set(d.Set), d.Reg)
	if !ok {
		return false
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s @%s { %s", d.Op, d.Set, key)
	if d.Timeout > 0 {
		b.WriteString(" timeout " + sayTime(d.Timeout))
	}
	for _, e := range d.Exprs {
		switch {
		case e.Limit != nil:
			b.WriteString(" " + limitText(*e.Limit))
		case e.Counter != nil:
			fmt.Fprintf(&b, " counter packets %d bytes %d", e.Counter.Packets, e.Counter.Bytes)
		default:
			return false
		}
	}
	if d.Data != 0 {
		set := s.set(d.Set)
		if set == nil || len(set.Data) != 1 {
			return false
		}
		v, ok := s.operand(set.Data[0], d.Data)
		if !ok {
			return false
		}
		b.WriteString(" : " + v)
	}
	b.WriteString(" }")
	s.act(b.String())
	return true
}
