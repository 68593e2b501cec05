package nft

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// fields reads text as Format writes it, piece by piece. What looks otherwise, though it may
// mean the same, makes it bad.
type fields struct {
	rest string
	bad  bool
}

// word goes past a piece that has to be there.
func (f *fields) word(s string) {
	rest, ok := strings.CutPrefix(f.rest, s)
	f.rest, f.bad = rest, f.bad || !ok
}

// has goes past a piece that may be there.
func (f *fields) has(s string) bool {
	rest, ok := strings.CutPrefix(f.rest, s)
	f.rest = rest
	return ok
}

// text reads what is in quotation marks.
func (f *fields) text() string {
	f.word(`"`)
	s, rest, ok := strings.Cut(f.rest, `"`)
	f.rest, f.bad = rest, f.bad || !ok || !plain(s)
	return s
}

func (f *fields) bytes() []byte {
	b, err := base64.StdEncoding.DecodeString(f.text())
	f.bad = f.bad || err != nil
	return b
}

func (f *fields) number() uint32 {
	n := 0
	for n < len(f.rest) && f.rest[n] >= '0' && f.rest[n] <= '9' {
		n++
	}
	v, err := strconv.ParseUint(f.rest[:n], 10, 32)
	f.bad = f.bad || err != nil || n > 1 && f.rest[0] == '0'
	f.rest = f.rest[n:]
	return uint32(v)
}

// expr reads what rules differ in most. Without ok it is something else.
func (f *fields) expr(into *Expr) (ok bool) {
	switch {
	case f.has(`{"cmp":{"op":`):
		c := &Cmp{Op: f.text()}
		f.word(`,"reg":`)
		c.Reg = f.number()
		f.word(`,"data":`)
		c.Data = f.bytes()
		into.Cmp = c
	case f.has(`{"lookup":{"set":`):
		l := &Lookup{Set: f.text()}
		f.word(`,"reg":`)
		l.Reg = f.number()
		into.Lookup = l
	case f.has(`{"immediate":{"reg":`):
		i := &Immediate{Reg: f.number()}
		f.word(`,"data":`)
		i.Data = f.bytes()
		into.Immediate = i
	case f.has(`{"log":{"prefix":`):
		into.Log = &Log{Prefix: f.text()}
	default:
		return false
	}
	f.word("}}")
	if f.bad || f.rest != "" {
		*into = Expr{}
		return false
	}
	return true
}

// element reads a line with a key, or a range of them, and nothing else.
func (f *fields) element() (e Element, ok bool) {
	if !f.has(`{"element":{"key":`) {
		return e, false
	}
	e.Key = f.bytes()
	if f.has(`,"to":`) {
		e.To = f.bytes()
	}
	f.word("}}\n")
	return e, !f.bad
}
