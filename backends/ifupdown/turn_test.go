package ifupdown

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

// A client whose metric another NIC still has is restarted after that one.
func TestInTurn(t *testing.T) {
	p := &plan{f: &facts.Facts{}}
	for i, m := range []uint32{11, 1000, 12} {
		p.f.Routes = append(p.f.Routes, facts.Route{Dst: netip.MustParsePrefix("0.0.0.0/0"), Link: i + 2, Metric: m, Table: 254, Type: "unicast"})
	}
	for _, c := range []struct {
		want string
		to   []uint32
	}{
		{"a b c", []uint32{20, 21, 22}},
		{"b a c", []uint32{1000, 10, 12}},
		{"c b a", []uint32{1000, 12, 13}},
		{"c a b", []uint32{1000, 11, 13}}, // a and b exchange theirs
	} {
		p.restarts = nil
		for i, name := range []string{"a", "b", "c"} {
			p.restarts = append(p.restarts, restarting{provision.Trigger{Name: name}, i + 2, c.to[i]})
		}
		var got []string
		for _, tr := range p.inTurn() {
			got = append(got, tr.Name)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("to %v: %s, want %s", c.to, s, c.want)
		}
	}
}
