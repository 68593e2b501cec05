package nft

import (
	"encoding/json"
	"strings"
)

// ruleParser reads lines with rules as Format writes them; whatever looks otherwise is left to
// encoding/json. Rules say the same things again and again, so an expression whose text was
// there before is not read again: it is shared. The zero value is ready.
type ruleParser struct {
	known map[string]*Expr
	slab  exprSlab
	ends  []int // of the expressions of the rule that is read
	odd   bool  // there was one that Format writes in another way
}

const commentBegins = `,"comment":"`

// line reads the rule that text begins with. Without ok there is none that it can read.
func (p *ruleParser) line(text string) (r Rule, size int, ok bool) {
	rest, ok := strings.CutPrefix(text, ruleBegins)
	if !ok {
		return r, 0, false
	}
	list := rest
	p.ends = p.ends[:0]
	at := 0
	for {
		n := object(list[at:])
		if n == 0 {
			return r, 0, false // none, too
		}
		at += n
		p.ends = append(p.ends, at)
		if at >= len(list) || list[at] != ',' {
			break
		}
		at++
	}
	if rest, ok = strings.CutPrefix(list[at:], "]"); !ok {
		return r, 0, false
	}
	if after, has := strings.CutPrefix(rest, commentBegins); has {
		n := strings.IndexByte(after, '"')
		if n <= 0 || !plain(after[:n]) {
			return r, 0, false
		}
		r.Comment, rest = after[:n], after[n+1:]
	}
	if rest, ok = strings.CutPrefix(rest, ruleEnds); !ok {
		return r, 0, false
	}
	r.Exprs = p.slab.take(len(p.ends))
	at = 0
	for i, end := range p.ends {
		if !p.expr(list[at:end], &r.Exprs[i]) {
			return r, 0, false
		}
		at = end + 1
	}
	return r, len(text) - len(rest), true
}

// object is the length of the object that s begins with, 0 if that cannot be told: texts in it
// are plain.
func object(s string) int {
	if s == "" || s[0] != '{' {
		return 0
	}
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			n := strings.IndexByte(s[i+1:], '"')
			if n < 0 || !plain(s[i+1:i+1+n]) {
				return 0
			}
			i += n + 1
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		case c <= ' ':
			return 0
		}
	}
	return 0
}

// expr reads one expression.
func (p *ruleParser) expr(text string, into *Expr) bool {
	if e := p.known[text]; e != nil {
		*into = *e
		return true
	}
	if f := (fields{rest: text}); !f.expr(into) {
		dec := json.NewDecoder(strings.NewReader(text))
		dec.DisallowUnknownFields()
		if dec.Decode(into) != nil || dec.InputOffset() != int64(len(text)) {
			return false
		}
	}
	if whole([]Expr{*into}) != nil {
		return false
	}
	if p.known == nil {
		p.known = map[string]*Expr{}
	}
	var again jsonText
	if err := again.expr(&canonicalExprs([]Expr{*into}, nil)[0]); err != nil || string(again) != text {
		p.odd = true
	}
	p.known[text] = into
	return true
}
