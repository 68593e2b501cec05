package nft

import (
	"fmt"
	"strings"
)

// term is what a register holds, in words.
type term struct {
	text  string
	typ   string
	size  uint32 // bytes
	host  bool   // an integer in host order
	swap  bool   // a byteorder expression has turned it
	proto string // header it was read from: what nft takes care of by itself

	mask, xor []byte // a bitwise expression over it
	data      []byte // an immediate

	named bool    // payload: text is a field's name
	start *field  // payload: the beginning of this address
	split []field // payload: these fields side by side
	subs  []field // payload: fields that are some bits of it

	set   string // a map's result
	at    uint32 // and which byte of it starts here
	fresh bool
}

// sayer says one rule. It runs the expressions over registers that hold words, and leaves out
// the conditions that nft adds again by itself (nftables src/netlink_delinearize.c).
type sayer struct {
	table  *Table
	family string
	regs   map[uint32]*term // by byte offset in the register file

	stmts []said
	bad   bool // something had no words

	nf       string // ip, ip6: the network header that is certain here
	l4       uint8  // the transport header that is certain here
	ether    bool
	echo     bool // an ICMP echo message
	nfAt     int  // where the condition stands that made it so; -1: it must stay
	l4At     int
	etherAt  int
	counters bool
}

type said struct {
	text string
	gone bool
}

func newSayer(t *Table) *sayer {
	s := &sayer{table: t, family: OwnFamily, regs: map[uint32]*term{}, nfAt: -1, l4At: -1, etherAt: -1, counters: true}
	if t != nil {
		s.family = t.Family
	}
	switch s.family {
	case "ip", "ip6":
		s.nf = s.family
	}
	return s
}

// offset is where a register begins (nft_parse_register in nf_tables_api.c).
//
//go:noinline
func offset(reg uint32) uint32 {
	if reg >= 8 {
		return (reg - 8) * 4
	}
	return (reg - 1) * 16
}

//go:noinline
func align4(n uint32) uint32 { return (n + 3) &^ 3 }

func (s *sayer) load(reg uint32, t *term) bool {
	if t == nil || reg == 0 {
		return false
	}
	t.fresh = true
	s.regs[offset(reg)] = t
	return true
}

func (s *sayer) reg(reg uint32) *term {
	if reg == 0 {
		return nil
	}
	return s.regs[offset(reg)]
}

// add says a statement that only matches.
//
//go:noinline
func (s *sayer) add(text string) { s.stmts = append(s.stmts, said{text: text}) }

// act says a statement that does something: what stands before it must stay before it.
//
//go:noinline
func (s *sayer) act(text string) {
	s.add(text)
	s.nfAt, s.l4At, s.etherAt = -1, -1, -1
}

// use takes a term into a sentence, which makes the conditions that it implies superfluous.
func (s *sayer) use(t *term) {
	t.fresh = false
	nf, l4, ether := needs(t.proto)
	kill := func(at *int) {
		if *at >= 0 {
			s.stmts[*at].gone = true
			*at = -1
		}
	}
	if nf {
		kill(&s.nfAt)
	}
	if l4 {
		kill(&s.l4At)
	}
	if ether {
		kill(&s.etherAt)
	}
}

// raw says an expression as "nft --debug=netlink" does: no rule, but the truth.
func (s *sayer) raw(e Expr) {
	s.bad = true
	s.act(rawText(e))
}

func (s *sayer) rule(r Rule) (string, bool) {
	for i := 0; i < len(r.Exprs); {
		n, ok := s.expr(r.Exprs[i:])
		if !ok {
			s.raw(r.Exprs[i])
			n = 1
		}
		i += n
	}
	for _, t := range s.regs {
		if t.fresh && t.data == nil { // loaded and never used: it may end the rule all the same
			s.bad = true
			s.add("[ load " + t.text + " ]")
		}
	}
	var out []string
	for _, st := range s.stmts {
		if !st.gone {
			out = append(out, st.text)
		}
	}
	if r.Comment != "" {
		out = append(out, "comment "+quote(r.Comment))
	}
	return strings.Join(out, " "), !s.bad && !strings.ContainsAny(r.Comment, "\"\n")
}

// quote writes a string for nft, which has no escapes in strings.
func quote(s string) string {
	return `"` + strings.Map(func(r rune) rune {
		switch r {
		case '"':
			return '\''
		case '\n':
			return ' '
		}
		return r
	}, s) + `"`
}

// expr says the first of the expressions, and how many it took.
func (s *sayer) expr(es []Expr) (int, bool) {
	e := es[0]
	switch {
	case e.Meta != nil && !e.Meta.Set:
		return 1, s.load(e.Meta.Reg, metaTerm(e.Meta.Key))
	case e.Payload != nil:
		return 1, s.load(e.Payload.Reg, s.payload(*e.Payload))
	case e.Ct != nil && !e.Ct.Set:
		return 1, s.load(e.Ct.Reg, ctTerm(*e.Ct))
	case e.Fib != nil:
		return 1, s.load(e.Fib.Reg, fibTerm(*e.Fib))
	case e.Rt != nil:
		return 1, s.load(e.Rt.Reg, rtTerm(e.Rt.Key, s.nf))
	case e.Exthdr != nil && !e.Exthdr.Set:
		return 1, s.load(e.Exthdr.Reg, exthdrTerm(*e.Exthdr))
	case e.Immediate != nil:
		return 1, s.load(e.Immediate.Reg, &term{data: e.Immediate.Data, size: uint32(len(e.Immediate.Data))})
	case e.Bitwise != nil:
		return 1, s.bitwise(*e.Bitwise)
	case e.Byteorder != nil:
		return 1, s.byteorder(*e.Byteorder)
	case e.Cmp != nil:
		return s.cmp(es)
	case e.Range != nil:
		return 1, s.inRange(*e.Range)
	case e.Lookup != nil:
		return 1, s.lookup(*e.Lookup)
	}
	return 1, s.statement(e)
}

func (s *sayer) bitwise(b Bitwise) bool {
	src := s.reg(b.Src)
	if src == nil || src.mask != nil || src.swap || len(b.Mask) != int(b.Len) || len(b.Xor) != int(b.Len) || src.size != b.Len {
		return false
	}
	t := *src
	src.fresh = false
	t.mask, t.xor = b.Mask, b.Xor
	return s.load(b.Dst, &t)
}

func (s *sayer) byteorder(b Byteorder) bool {
	src := s.reg(b.Src)
	if src != nil && b.Len < b.Size && b.Src == b.Dst {
		return true // turns nothing: nft does this to single bytes in concatenations
	}
	if src == nil || b.Size != b.Len || src.size > 8 {
		return false
	}
	t := *src
	src.fresh = false
	t.swap = !t.swap
	return s.load(b.Dst, &t)
}

// left writes a term with the arithmetic that was done on it, for the left side of a
// comparison or as a value.
func (s *sayer) left(t *term) (string, bool) {
	if t.mask == nil {
		return t.text, t.text != ""
	}
	// (x & mask) ^ xor, in which bits that are cleared and then set were set by "or".
	or, and, xor := make([]byte, len(t.mask)), make([]byte, len(t.mask)), make([]byte, len(t.mask))
	for i := range t.mask {
		or[i] = t.xor[i] &^ t.mask[i]
		and[i] = t.mask[i] | or[i]
		xor[i] = t.xor[i] & t.mask[i]
	}
	out := t.text
	plain := *t // the mask was laid on before a byteorder expression, if there was one
	plain.swap = false
	for _, op := range []struct {
		sign string
		data []byte
		idle bool
	}{{"&", and, onlyOnes(and)}, {"^", xor, allZero(xor)}, {"|", or, allZero(or)}} {
		if op.idle {
			continue
		}
		v, ok := s.value(&plain, op.data)
		if !ok {
			return "", false
		}
		out += " " + op.sign + " " + v
	}
	return out, t.text != ""
}

func onlyOnes(b []byte) bool {
	for _, x := range b {
		if x != 0xff {
			return false
		}
	}
	return true
}

// value writes data of the term's type.
func (s *sayer) value(t *term, data []byte) (string, bool) {
	if t.typ == "integer" {
		if strings.HasPrefix(t.text, "@") && t.mask == nil {
			v, ok := numeral(data, false)
			return fmt.Sprintf("0x%x", v), ok
		}
		v, ok := numeral(data, t.host != t.swap)
		if !ok {
			return hexNumber(data), len(data) > 0
		}
		return uintText(v), true
	}
	return sayValue(t.typ, data, t.swap)
}
