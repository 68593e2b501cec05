package policy

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/facts"
)

func TestByways(t *testing.T) {
	in := Input{Facts: &facts.Facts{Rules: []facts.Rule{{Family: 4, Priority: 25250, Action: "lookup", Table: 77}, {Family: 6, Priority: 32766, Proto: facts.ProtoKernel, Table: 254}}}, Byways: []string{"wg1", "direct", "block"}}
	n, err := Allocate(in)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[uint32]bool{n.Direct: true}
	for _, name := range in.Byways {
		b, err := n.Byway(name)
		if err != nil || b.Mark&^b.Mask != 0 || b.Mark == 0 || seen[b.Mark] || b.Priority != 25251 {
			t.Errorf("%s: %+v %v", name, b, err)
		}
		seen[b.Mark] = true
	}
	if _, err := n.Byway("wg2"); err == nil {
		t.Error("a byway that was not asked for has a mark")
	}
	// The numbers stay when another one comes.
	in.Memory, in.Byways = n.Memory, append([]string{"a0"}, in.Byways...)
	m, err := Allocate(in)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := n.Byway("wg1")
	if b2, _ := m.Byway("wg1"); b2 != b {
		t.Errorf("%+v became %+v", b, b2)
	}
	text := func(w Way) string {
		var out []string
		for _, w := range b.Wants(w, "why") {
			out = append(out, w.Ref.String())
		}
		return strings.Join(out, "\n")
	}
	for _, c := range []struct {
		w         Way
		has, lack []string
	}{
		{Way{Device: "wg1"}, []string{"inet table 15802 default dev name:wg1", "inet6 table 15802 default dev name:wg1", "inet table 15802 unreachable default metric", "inet6 table 15802 unreachable"}, []string{"prohibit"}},
		{Way{Device: "wg1", Open: true}, []string{"default dev name:wg1"}, []string{"unreachable"}},
		{Way{Device: "eth1", Gateways: []netip.Addr{netip.MustParseAddr("10.0.0.1")}}, []string{"inet table 15802 default dev name:eth1", "inet6 table 15802 unreachable"}, []string{"inet6 table 15802 default dev"}},
		{Way{}, []string{"inet table 15802 prohibit default", "inet6 table 15802 prohibit default"}, []string{"dev", "unreachable"}},
	} {
		got := text(c.w)
		for _, s := range c.has {
			if !strings.Contains(got, s) {
				t.Errorf("%+v lacks %s:\n%s", c.w, s, got)
			}
		}
		for _, s := range c.lack {
			if strings.Contains(got, s) {
				t.Errorf("%+v has %s:\n%s", c.w, s, got)
			}
		}
	}
	// A byte of marks is needed.
	in.Config.MarkMask = 0xff
	in.Claims = []Claim{{0xff, "others"}}
	if _, err := Allocate(in); err == nil || !strings.Contains(err.Error(), "others") {
		t.Error(err)
	}
}
