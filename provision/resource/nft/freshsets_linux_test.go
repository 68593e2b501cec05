package nft

import (
	"fmt"
	"testing"
)

// TestFreshSets: one set of each sort is read from the kernel, and everything as soon as somebody
// else has been at work.
func TestFreshSets(t *testing.T) {
	one := []Element{{Key: []byte{10, 0, 0, 1}}}
	span := []Element{{Key: []byte{10, 0, 0, 1}, To: []byte{10, 0, 0, 9}}}
	var large []Element
	for i := range LargeSet + 1 {
		large = append(large, Element{Key: []byte{10, 0, byte(i >> 8), byte(i)}})
	}
	addr := []string{TypeIPv4}
	goal := &Table{Sets: []Set{
		{Name: "a", Key: addr, Elements: one},
		{Name: "b", Key: addr, Elements: one},
		{Name: "ports", Key: []string{TypePort}, Elements: []Element{{Key: []byte{0, 80}}}},
		{Name: "spans", Key: addr, Interval: true, Elements: span},
		{Name: "more spans", Key: addr, Interval: true, Elements: span},
		{Name: "remark", Key: addr, Elements: []Element{{Key: []byte{10, 0, 0, 1}, Comment: "x"}}},
		{Name: "there", Key: addr, Elements: one},
		{Name: "large", Key: addr, Elements: large},
		{Name: "learnt", Key: addr, Learnt: true},
		{Name: "anonymous", Key: addr, Anonymous: true, Elements: one},
	}}
	now := &Table{Sets: []Set{{Name: "there", Key: addr}}}
	kept := freshSets(7, now, goal)
	for range 2 { // a table that is read again asks again
		got := ""
		for _, s := range goal.Sets {
			if elems, ok := kept(8, s.Name); ok {
				if fmt.Sprint(elems) != fmt.Sprint(s.Elements) {
					t.Errorf("%s: other elements", s.Name)
				}
				got += s.Name + ", "
			}
		}
		if want := "b, more spans, "; got != want {
			t.Errorf("not read: %s want %s", got, want)
		}
	}
	for _, gen := range []uint32{7, 9} {
		if _, ok := kept(gen, "b"); ok {
			t.Errorf("generation %d: somebody else's change would not be seen", gen)
		}
	}
	if _, ok := kept(8, "unknown"); ok {
		t.Error("a set that nobody wants is kept")
	}
	if freshSets(7, now, nil) != nil {
		t.Error("sets of a table that goes")
	}
}
