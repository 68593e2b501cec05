package packet

import (
	"slices"
	"testing"

	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/match"
)

// guarded lets usb0 out by wg0 alone, but for what hole says.
func guarded(hole ...nft.Rule) []nft.Table {
	rules := append(hole,
		match.Rule("guard: vpn", match.IIFName("usb0"), match.OIFName("wg0"), match.Accept()),
		match.Rule("guard: nothing else", match.IIFName("usb0"), match.Reject()))
	return []nft.Table{{Family: "inet", Name: "provision", Chains: []nft.Chain{
		{Name: "guard-pre", Base: &nft.Base{Type: "filter", Hook: "prerouting", Priority: -150, Policy: "accept"},
			Rules: []nft.Rule{match.Rule("by the tunnel", match.IIFName("usb0"), match.NFProto(4), match.SetMark(0x10, 0xf0))}},
		{Name: "guard-forward", Base: &nft.Base{Type: "filter", Hook: "forward", Priority: -10, Policy: "accept"}, Rules: rules}}}}
}

func TestExits(t *testing.T) {
	for _, tt := range []struct {
		name  string
		hole  []nft.Rule
		leaks []string // families, protocols and states
	}{
		{"tight", nil, nil},
		{"a port for IPv6", []nft.Rule{match.Rule("oops", match.NFProto(6), match.DPort(match.UDP, 5353), match.Accept())}, []string{"6 udp established", "6 udp new"}},
		{"a single address", []nft.Rule{match.Rule("oops", match.DAddr(pfx("2001:db8:5::5/128")), match.Accept())}, []string{"6 icmp established", "6 icmp new", "6 tcp established", "6 tcp new", "6 udp established", "6 udp new"}},
		{"older flows", []nft.Rule{match.Rule("established", match.NFProto(6), match.CtState(nft.StateEstablished), match.Accept())}, []string{"6 icmp established", "6 tcp established", "6 udp established"}},
		{"a protocol", []nft.Rule{match.Rule("6in4", match.NFProto(6), match.L4Proto(41), match.Accept())}, []string{"6 41 established", "6 41 new"}},
	} {
		p := Exits(World{Facts: gadget(), Tables: guarded(tt.hole...)}, []string{"usb0"})
		if !p.Complete || p.Tried < 100 {
			t.Errorf("%s: complete %v, %d tried", tt.name, p.Complete, p.Tried)
		}
		var got []string
		for _, e := range p.Only("wg0") {
			got = append(got, map[int]string{4: "4 ", 6: "6 "}[e.Family]+e.Proto+" "+e.State)
			if e.Dev != "wlan0" || !e.Certain {
				t.Errorf("%s: %+v\n%s", tt.name, e, e.Result.Text())
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, tt.leaks) {
			t.Errorf("%s: leaks %v, want %v (of %d)", tt.name, got, tt.leaks, p.Tried)
		}
	}
	open := Exits(World{Facts: gadget()}, []string{"usb0", ""})
	if len(open.Only("wg0")) == 0 {
		t.Error("without a guard nothing leaks?")
	}
}

func BenchmarkExits(b *testing.B) {
	w := World{Facts: gadget(), Tables: guarded()}
	for b.Loop() {
		Exits(w, []string{"usb0"})
	}
}
