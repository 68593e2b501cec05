package nft

import (
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/resource/nft/nfnl"
)

// ruleReader reads the rules of one dump. Rules say the same things again and again ("it is
// TCP", "accept"), so an expression whose bytes were there before is not read again: it is
// shared. The zero value is ready.
type ruleReader struct {
	known map[string]*Expr  // by the bytes of the element
	names map[string]string // of tables and chains
	slab  exprSlab
	texts map[string]string // what known is as text
}

// read reads NFT_MSG_NEWRULE.
func (r *ruleReader) read(b []byte) (table, chain string, rule Rule, err error) {
	table, chain, rule, list, err := r.head(b)
	if err == nil {
		rule.Exprs, err = r.exprs(list)
	}
	return table, chain, rule, err
}

// head reads all but the expressions, which it returns as they came.
func (r *ruleReader) head(b []byte) (table, chain string, rule Rule, list []byte, err error) {
	var a attrs
	a.read(b)
	table, chain = r.name(&a, unix.NFTA_RULE_TABLE), r.name(&a, unix.NFTA_RULE_CHAIN)
	rule.Handle = a.opt64(unix.NFTA_RULE_HANDLE)
	if u := a.tb[unix.NFTA_RULE_USERDATA]; u != nil {
		rule.Comment = userText(u, udComment)
	}
	if a.odd {
		return "", "", rule, nil, nfnl.ErrMessage
	}
	return table, chain, rule, a.tb[unix.NFTA_RULE_EXPRESSIONS], nil
}

// line appends a rule's line as Format writes it, without making a Rule: where no set is
// anonymous it is all there is to say of it.
func (r *ruleReader) line(w *jsonText, rule Rule, list []byte) error {
	w.put(ruleBegins)
	first := true
	err := nfnl.Each(list, func(_ uint16, data []byte) error {
		if !first {
			w.put(",")
		}
		first = false
		if text, ok := r.texts[string(data)]; ok {
			w.put(text)
			return nil
		}
		e, err := readExpr(data)
		if err != nil {
			return err
		}
		at := len(*w)
		if err := w.expr(&canonicalExprs([]Expr{e}, nil)[0]); err != nil {
			return err
		}
		if r.texts == nil {
			r.texts = map[string]string{}
		}
		r.texts[string(data)] = string((*w)[at:])
		return nil
	})
	w.put("]")
	w.optText("comment", rule.Comment)
	w.put(ruleEnds)
	return err
}

// name is a text that is kept once.
func (r *ruleReader) name(a *attrs, kind int) string {
	if s, ok := r.names[string(a.tb[kind])]; ok {
		return s
	}
	s := a.text(kind)
	if !a.odd {
		if r.names == nil {
			r.names = map[string]string{}
		}
		r.names[string(a.tb[kind])] = s
	}
	return s
}

// exprs reads a list of expressions.
func (r *ruleReader) exprs(b []byte) ([]Expr, error) {
	n := 0
	if err := nfnl.Each(b, func(uint16, []byte) error { n++; return nil }); err != nil {
		return nil, err
	}
	out := r.slab.take(n)[:0]
	err := nfnl.Each(b, func(_ uint16, data []byte) error {
		if e := r.known[string(data)]; e != nil {
			out = append(out, *e)
			return nil
		}
		e, err := readExpr(data)
		if err != nil {
			return err
		}
		if r.known == nil {
			r.known = map[string]*Expr{}
		}
		out = append(out, e)
		r.known[string(data)] = &out[len(out)-1]
		return nil
	})
	return out, err
}
