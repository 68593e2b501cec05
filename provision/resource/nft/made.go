package nft

import "github.com/provision-net/provision/provision"

// Made is a table whose text Make has written, so that a Resource that knows it need not read the
// text again. It is not changed by anybody, and neither is the table that it was made of.
type Made struct {
	text  string
	table Table             // canonical
	lines map[string]string // of its chains' rules, by the chain's name
}

// Make is Own that returns what was made too, for Resource.Know.
func Make(t Table, why string) (provision.Want, *Made) {
	m := Made{table: Canonical(t), lines: map[string]string{}}
	text, at := format(nil, m.table, nil, true)
	m.text = string(text)
	for name, part := range at {
		m.lines[name] = m.text[part[0]:part[1]]
	}
	return provision.Want{Ref: Ref(t.Family, t.Name), Attrs: provision.Attrs{AttrTable: m.text}, Why: why}, &m
}

// plain reports whether the text says everything: no elements are elsewhere, and nothing in it
// gets another name when it is read back.
func (m *Made) plain() bool {
	for i := range m.table.Sets {
		if s := &m.table.Sets[i]; s.SHA256 != "" || len(s.Elements) > LargeSet {
			return false
		}
	}
	return anonymousNames(m.table) == nil
}
