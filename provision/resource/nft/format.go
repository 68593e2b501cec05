package nft

import (
	"slices"

	"github.com/provision-net/provision/provision"
)

// AttrTable is the whole table, as Format writes it.
const AttrTable = "table"

// MaxText is the most that Parse reads, in bytes.
const MaxText = 16 << 20

// Ref names a table.
func Ref(family, table string) provision.Ref {
	return provision.Ref{Kind: Kind, Name: family + " " + table}
}

// Own asks for a table and everything in it, and nothing else in it. Where a set is Large, the
// elements have to be given to Blobs.Save too before the want is set.
func Own(t Table, why string) provision.Want {
	w, _ := Make(t, why)
	return w
}

// line is one line of the text: one thing. Elements follow their set and rules their chain.
type line struct {
	Table   *Table   `json:"table,omitempty"`
	Set     *Set     `json:"set,omitempty"`
	Element *Element `json:"element,omitempty"`
	Chain   *Chain   `json:"chain,omitempty"`
	Rule    *Rule    `json:"rule,omitempty"`
}

// Format is the canonical text of a table: one JSON object per line, so that two texts can be
// compared by lines. The elements of large sets are told by their count and digest.
func Format(t Table) string {
	text, _ := format(nil, Canonical(t), nil, false)
	return string(text)
}

// format is Format of a table that is canonical. The text is in room, if that is enough. Where
// lines has a chain's rules as text, by its name, they are not looked at. With places it returns
// too where in the text each chain's rules are, for chains that have some.
func format(room []byte, t Table, lines map[string]string, places bool) (text []byte, at map[string][2]int) {
	w := jsonText(slices.Grow(room[:0], roughly(&t, lines)))
	put := func(l line) {
		text, err := marshal(l)
		if err != nil {
			panic(err) // plain data
		}
		w = append(append(w, text...), '\n')
	}
	sets, chains := t.Sets, t.Chains
	t.Sets, t.Chains = nil, nil
	put(line{Table: &t})
	for i := range sets {
		s := sets[i]
		elems := s.Elements
		s.Elements = nil
		if len(elems) > LargeSet {
			s.Count, s.SHA256 = len(elems), digest(elems)
			elems = nil
		}
		put(line{Set: &s})
		for j := range elems {
			w.element(&elems[j])
		}
	}
	for i := range chains {
		c := chains[i]
		rules := c.Rules
		c.Rules = nil
		put(line{Chain: &c})
		begin := len(w)
		if text, ok := lines[c.Name]; ok {
			w.put(text)
			continue
		}
		for j := range rules {
			if err := w.rule(&rules[j]); err != nil {
				panic(err)
			}
		}
		if places && len(w) > begin {
			if at == nil {
				at = make(map[string][2]int, len(chains))
			}
			at[c.Name] = [2]int{begin, len(w)}
		}
	}
	return w, at
}

// roughly is how long a table's text will be, in bytes.
func roughly(t *Table, lines map[string]string) int {
	n := 256 + len(t.Sets)*160 + len(t.Chains)*160
	for i := range t.Sets {
		if e := len(t.Sets[i].Elements); e <= LargeSet {
			n += e * 64
		}
	}
	for i := range t.Chains {
		if text, ok := lines[t.Chains[i].Name]; ok {
			n += len(text)
			continue
		}
		for j := range t.Chains[i].Rules {
			n += 64 + 48*len(t.Chains[i].Rules[j].Exprs)
		}
	}
	return n
}

// Digests are those of the large sets that a table's text names.
func Digests(text string) ([]string, error) {
	t, err := Parse(text)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range t.Sets {
		if s.SHA256 != "" {
			out = append(out, s.SHA256)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
