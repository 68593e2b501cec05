package nft

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Parse reads what Format writes. A large set has Count and SHA256 and no elements: Blobs.Load
// has them. Expressions that are equal may be shared: copy what you change.
func Parse(text string) (Table, error) {
	t, _, err := parse(text)
	return t, err
}

// parse is Parse that returns the lines of chains too, by their names, where Format would write
// them so.
func parse(text string) (t Table, lines map[string]string, err error) {
	if len(text) > MaxText {
		return Table{}, nil, fmt.Errorf("cannot read a table: its text is longer than %d bytes", MaxText)
	}
	var p ruleParser
	lines = map[string]string{}
	for n, at := 1, 0; ; n++ {
		for len(t.Sets) > 0 && len(t.Chains) == 0 {
			f := fields{rest: text[at:]}
			e, ok := f.element()
			if s := &t.Sets[len(t.Sets)-1]; ok && s.SHA256 == "" {
				s.Elements = append(s.Elements, e)
				at, n = len(text)-len(f.rest), n+1
				continue
			}
			break
		}
		if len(t.Chains) > 0 {
			begin, c := at, &t.Chains[len(t.Chains)-1]
			first := len(c.Rules) == 0
			for r, size, ok := p.line(text[at:]); ok; r, size, ok = p.line(text[at:]) {
				c.Rules = append(c.Rules, r)
				at, n = at+size, n+1
			}
			if first && at > begin {
				lines[c.Name] = text[begin:at]
			}
		}
		var l line
		dec := json.NewDecoder(strings.NewReader(text[at:]))
		dec.DisallowUnknownFields()
		err := dec.Decode(&l)
		if errors.Is(err, io.EOF) && n > 1 {
			if p.odd {
				lines = nil
			}
			return t, lines, nil
		}
		if err == nil {
			at += int(dec.InputOffset())
			for at < len(text) && text[at] == '\n' {
				at++
			}
			err = t.take(l, n == 1)
		}
		if err == nil && l.Rule != nil {
			delete(lines, t.Chains[len(t.Chains)-1].Name)
		}
		if err != nil {
			return Table{}, nil, fmt.Errorf("cannot read a table: line %d: %w", n, err)
		}
	}
}

// take adds a line's thing to what the lines before it have made.
func (t *Table) take(l line, first bool) error {
	if one := (line{Table: l.Table}); first {
		if l != one || l.Table == nil || l.Table.Sets != nil || l.Table.Chains != nil {
			return errors.New("the first line is not a table alone")
		}
		*t = *l.Table
		return nil
	}
	switch l {
	case line{Set: l.Set}:
		if l.Set == nil || l.Set.Elements != nil || len(t.Chains) > 0 {
			return errors.New("not a set, or out of place")
		}
		t.Sets = append(t.Sets, *l.Set)
	case line{Element: l.Element}:
		if len(t.Sets) == 0 || len(t.Chains) > 0 {
			return errors.New("an element without a set before it")
		}
		s := &t.Sets[len(t.Sets)-1]
		if s.SHA256 != "" {
			return errors.New("an element of a set whose elements are kept elsewhere")
		}
		s.Elements = append(s.Elements, *l.Element)
	case line{Chain: l.Chain}:
		if l.Chain.Rules != nil {
			return errors.New("a chain with rules in it: they have lines of their own")
		}
		t.Chains = append(t.Chains, *l.Chain)
	case line{Rule: l.Rule}:
		if len(t.Chains) == 0 {
			return errors.New("a rule without a chain before it")
		}
		if err := whole(l.Rule.Exprs); err != nil {
			return err
		}
		c := &t.Chains[len(t.Chains)-1]
		c.Rules = append(c.Rules, *l.Rule)
	default:
		return errors.New("not one thing")
	}
	return nil
}

// whole refuses expressions that are none or several.
func whole(exprs []Expr) error {
	for i := range exprs {
		e := &exprs[i]
		if e.count() != 1 {
			return errors.New("an expression that is not one thing")
		}
		if e.DynSet != nil {
			if err := whole(e.DynSet.Exprs); err != nil {
				return err
			}
		}
	}
	return nil
}

// count is of how many things an expression speaks.
func (e *Expr) count() int {
	n := 0
	for _, there := range [...]bool{
		e.Meta != nil, e.Payload != nil, e.Cmp != nil, e.Range != nil, e.Bitwise != nil, e.Byteorder != nil, e.Lookup != nil,
		e.Immediate != nil, e.Verdict != nil, e.Ct != nil, e.Fib != nil, e.Rt != nil, e.Exthdr != nil, e.Counter != nil,
		e.Limit != nil, e.Log != nil, e.Reject != nil, e.NAT != nil, e.Masq != nil, e.Redir != nil, e.Notrack != nil,
		e.DynSet != nil, e.Unknown != nil,
	} {
		if there {
			n++
		}
	}
	return n
}
