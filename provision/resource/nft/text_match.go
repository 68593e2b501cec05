package nft

import (
	"bytes"
	"encoding/hex"
	"strconv"
	"strings"
)

func uintText(v uint64) string     { return strconv.FormatUint(v, 10) }
func hexNumber(data []byte) string { return "0x" + hex.EncodeToString(data) }

// cmp says a comparison; two that follow each other are a range.
func (s *sayer) cmp(es []Expr) (int, bool) {
	c := *es[0].Cmp
	t := s.reg(c.Reg)
	if t == nil || t.set != "" && t.typ == "" {
		return 1, false
	}
	if c.Op == ">=" && len(es) > 1 && es[1].Cmp != nil && es[1].Cmp.Op == "<=" && es[1].Cmp.Reg == c.Reg {
		return 2, s.between(t, "", c.Data, es[1].Cmp.Data)
	}
	op := map[string]string{"==": "", "!=": "!= ", "<": "< ", "<=": "<= ", ">": "> ", ">=": ">= "}
	sign, ok := op[c.Op]
	if !ok || strings.ContainsAny(c.Op, "<>") && t.native() {
		return 1, false
	}
	if t.mask != nil {
		return 1, s.masked(t, c.Op, sign, c.Data)
	}
	if len(c.Data) > int(t.size) {
		return 1, false
	}
	eq := c.Op == "==" || c.Op == "!="
	switch {
	case t.typ == TypeIfname && len(c.Data) < 16:
		if !eq {
			return 1, false
		}
		q, ok := sayIfname(c.Data)
		if !ok || bytes.IndexByte(c.Data, 0) >= 0 {
			return 1, false
		}
		s.match(t, t.text, sign+q[:len(q)-1]+`*"`)
		return 1, true
	case len(c.Data) < int(t.size):
		return 1, false
	case t.split != nil && c.Op == "==":
		return 1, s.splitMatch(t, c.Data)
	case !t.named && t.start != nil && eq:
		whole := append(append([]byte{}, c.Data...), make([]byte, int(t.start.len)-len(c.Data))...)
		v, ok := sayValue(t.start.typ, whole, false)
		if !ok {
			return 1, false
		}
		s.match(t, t.proto+" "+t.start.name, sign+v+"/"+strconv.Itoa(len(c.Data)*8))
		return 1, true
	}
	v, ok := s.value(t, c.Data)
	if !ok {
		return 1, false
	}
	if d, _ := typeOf(t.typ); d.flags != nil && c.Op == "==" {
		sign = "== "
	}
	s.match(t, t.text, sign+v)
	s.learn(t, c)
	return 1, true
}

// native: its bytes are in host order. The kernel compares bytes, so "more" and "less" mean
// nothing then.
func (t *term) native() bool {
	d, _ := typeOf(t.typ)
	return t.size > 1 && (t.host || d.host) != t.swap
}

// match says "LEFT RIGHT"; bare bytes of a header make nothing superfluous.
func (s *sayer) match(t *term, left, right string) {
	if strings.HasPrefix(left, "@") {
		t.fresh = false
	} else {
		s.use(t)
	}
	s.add(left + " " + right)
}

// learn takes notice of a comparison that makes sure of a header.
func (s *sayer) learn(t *term, c Cmp) {
	if c.Op != "==" {
		return
	}
	at := len(s.stmts) - 1
	switch t.text {
	case "meta nfproto":
		s.nf = map[byte]string{2: "ip", 10: "ip6"}[c.Data[0]]
		s.nfAt = at
	case "meta protocol":
		if s.family == "bridge" || s.family == "netdev" {
			s.nf = map[string]string{"\x08\x00": "ip", "\x86\xdd": "ip6"}[string(c.Data)]
			s.nfAt = at
		}
	case "meta l4proto":
		s.l4, s.l4At = c.Data[0], at
	case "ip protocol", "ip6 nexthdr":
		s.l4, s.l4At = c.Data[0], -1
	case "icmp type", "icmpv6 type":
		s.echo = map[string]bool{"icmp": c.Data[0] == 8 || c.Data[0] == 0, "icmpv6": c.Data[0] == 128 || c.Data[0] == 129}[t.proto]
	case "meta iiftype", "meta oiftype":
		if v, _ := numeral(c.Data, true); v == 1 {
			s.ether, s.etherAt = true, at
		}
	}
}

// splitMatch says one comparison of several fields as several.
func (s *sayer) splitMatch(t *term, data []byte) bool {
	type part struct{ left, right string }
	var parts []part
	at := uint32(0)
	for _, f := range t.split {
		v, ok := s.value(&term{typ: f.typ}, data[at:at+f.len])
		if !ok {
			return false
		}
		if f.typ == "tcp_flag" {
			v = "== " + v
		}
		parts = append(parts, part{t.proto + " " + f.name, v})
		at += f.len
	}
	for _, p := range parts {
		s.match(t, p.left, p.right)
	}
	return true
}

// masked says a comparison of some bits.
func (s *sayer) masked(t *term, op, sign string, data []byte) bool {
	if len(data) != len(t.mask) {
		return false
	}
	plain := allZero(t.xor) // nothing but a mask
	eq := op == "==" || op == "!="
	d, _ := typeOf(t.typ)
	for _, f := range t.subs {
		if plain && bytes.Equal(f.mask, t.mask) && within(data, f.mask) {
			v, ok := s.bits(f, data)
			if !ok {
				return false
			}
			s.match(t, t.proto+" "+f.name, sign+v)
			return true
		}
	}
	if plain && eq && d.flags != nil {
		m, ok := s.value(t, t.mask)
		if !ok {
			return false
		}
		if allZero(data) {
			if op == "==" {
				m = "! " + m
			}
			s.match(t, t.text, m)
			return true
		}
		v, ok := s.value(t, data)
		if !ok {
			return false
		}
		s.match(t, t.text, sign+v+" / "+m)
		return true
	}
	if plain && eq && d.prefix {
		mask := t.mask
		if d.host != t.swap {
			mask = reversed(mask)
		}
		if n, is := maskLen(mask); is && n > 0 && within(data, t.mask) {
			v, ok := s.value(t, data)
			if !ok {
				return false
			}
			s.match(t, t.text, sign+v+"/"+strconv.Itoa(n))
			return true
		}
	}
	left, ok := s.left(t)
	v, ok2 := s.value(t, data)
	if !ok || !ok2 {
		return false
	}
	if op == "==" {
		sign = "== "
	}
	s.match(t, left, sign+v)
	return true
}

// bits writes the value of a field that is some bits of what was loaded.
func (s *sayer) bits(f field, data []byte) (string, bool) {
	v, ok := numeral(data, false)
	if !ok {
		return "", false
	}
	v >>= f.shift
	if f.typ == "integer" {
		return uintText(v), true
	}
	return sayValue(f.typ, []byte{byte(v)}, false)
}

func within(data, mask []byte) bool {
	for i := range data {
		if data[i]&^mask[i] != 0 {
			return false
		}
	}
	return true
}

// between says "a-b", after "!= " if sign says so.
func (s *sayer) between(t *term, sign string, from, to []byte) bool {
	if len(from) != int(t.size) || len(to) != int(t.size) {
		return false
	}
	left, ok := s.left(t)
	a, ok2 := s.value(t, from)
	z, ok3 := s.value(t, to)
	if !ok || !ok2 || !ok3 || t.split != nil || t.typ == TypeIfname {
		return false
	}
	if t.native() {
		return false
	}
	s.match(t, left, sign+a+"-"+z)
	return true
}

func (s *sayer) inRange(r Range) bool {
	t := s.reg(r.Reg)
	if t == nil {
		return false
	}
	switch r.Op {
	case "==":
		return s.between(t, "", r.From, r.To)
	case "!=":
		return s.between(t, "!= ", r.From, r.To)
	}
	return false
}
