package nft

import (
	"maps"
	"testing"
)

// What Make says of a text is what Parse reads in it.
func TestMade(t *testing.T) {
	for i, table := range samples() {
		w, m := Make(table, "test")
		if w.Attrs[AttrTable] != m.text || m.text != Format(table) {
			t.Errorf("table %d: the want has another text", i)
		}
		read, lines, err := parse(m.text)
		if err != nil {
			t.Fatalf("table %d: %v", i, err)
		}
		if Format(read) != Format(m.table) {
			t.Errorf("table %d: another table", i)
		}
		if lines != nil && !maps.Equal(lines, m.lines) {
			t.Errorf("table %d: the chains' rules are %q, Parse has %q", i, m.lines, lines)
		}
	}
}
