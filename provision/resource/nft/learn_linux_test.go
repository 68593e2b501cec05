package nft

import (
	"strings"
	"testing"
)

func TestLearn(t *testing.T) {
	r := network(t)
	table := samples()[0]
	table.Sets = append(table.Sets[:1:1], table.Sets[2:]...) // without the large one
	bring(t, r, "inet provision", Own(table, "").Attrs)
	learnt := func() []Element {
		now := mustDump(t, "inet", "provision")
		return byName(now.Sets, setName)["learnt"].Elements
	}
	a, b := Element{Key: []byte{1, 2, 3, 4}, Timeout: 5000, Comment: "www.example.net"}, Element{Key: []byte{1, 2, 3, 5}}
	if err := r.Learn(t.Context(), "inet", "provision", "learnt", []Element{a, b}); err != nil {
		t.Fatal(err)
	}
	got := learnt()
	if len(got) != 2 || got[0].Timeout != 5000 || got[0].Comment != a.Comment || got[1].Expires < 50000 || got[1].Expires > 60000 {
		t.Errorf("got %+v", got)
	}
	// It begins its time anew, with another one.
	a.Timeout = 90000
	if err := r.Learn(t.Context(), "inet", "provision", "learnt", []Element{a}); err != nil {
		t.Fatal(err)
	}
	if got := learnt(); len(got) != 2 || got[0].Timeout != 90000 || got[0].Expires < 80000 {
		t.Errorf("got %+v", got)
	}
	for range 2 {
		if err := r.Forget(t.Context(), "inet", "provision", "learnt", []Element{a}); err != nil {
			t.Fatal(err)
		}
		if got := learnt(); len(got) != 1 || got[0].Key[3] != 5 {
			t.Errorf("got %+v", got)
		}
	}
	// It is no difference.
	if have, err := r.Get(t.Context(), "inet provision"); err != nil || have[AttrTable] != Format(table) {
		t.Error("what was learnt is seen as a difference", err)
	}
	for set, want := range map[string]string{"blocked": "learns nothing", "none": "no such set"} {
		if err := r.Learn(t.Context(), "inet", "provision", set, []Element{a}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", set, err)
		}
	}
	if err := r.Learn(t.Context(), "inet", "provision", "learnt", []Element{{Key: []byte{1}}}); err == nil {
		t.Error("a key of one byte was learnt")
	}
}
