package packet

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/provision-net/provision/provision/resource/nft"
)

// FuzzExplain gives the simulator tables that the kernel would never have: it must come to an
// end, and say no more than it knows.
func FuzzExplain(f *testing.F) {
	add := func(t nft.Table) {
		b, err := json.Marshal(t)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, false)
		f.Add(b, true)
	}
	add(policy())
	add(guarded()[0])
	loop := nft.Verdict{Kind: "jump", Chain: "b"}
	back := nft.Verdict{Kind: "goto", Chain: "a"}
	r := nft.Rule{Exprs: []nft.Expr{{Verdict: &loop}}}
	s := nft.Rule{Exprs: []nft.Expr{{Verdict: &back}}}
	add(nft.Table{Family: "inet", Name: "x", Chains: []nft.Chain{
		{Name: "a", Base: &nft.Base{Type: "filter", Hook: "forward"}, Rules: []nft.Rule{r, r, r, r, r, r}},
		{Name: "b", Rules: []nft.Rule{s, s, s, s, s}}}})
	add(nft.Table{Family: "ip", Name: "x",
		Sets: []nft.Set{{Name: "s", Key: []string{nft.TypeIPv4, nft.TypePort}, Interval: true, Elements: []nft.Element{{Key: []byte{1}}, {Key: make([]byte, 8), To: make([]byte, 8)}}}},
		Chains: []nft.Chain{{Name: "a", Base: &nft.Base{Type: "nat", Hook: "postrouting"}, Rules: []nft.Rule{
			{Exprs: []nft.Expr{{Payload: &nft.Payload{Base: "network", Offset: 12, Len: 4, Reg: 1}}, {Payload: &nft.Payload{Base: "transport", Offset: 2, Len: 2, Reg: 9}}, {Lookup: &nft.Lookup{Set: "s", Reg: 1, Map: true, Dst: 23}}, {Bitwise: &nft.Bitwise{Src: 1, Dst: 4, Len: 80}}, {NAT: &nft.NAT{Kind: "snat", Family: "ip", AddrMin: 23, PortMax: 99}}}},
		}}}})
	facts := gadget()
	f.Fuzz(func(t *testing.T, b []byte, here bool) {
		var table nft.Table
		if json.Unmarshal(b, &table) != nil {
			return
		}
		p := Packet{From: netip.MustParseAddr("10.55.0.2"), To: netip.MustParseAddr("1.1.1.1"), Proto: "tcp", Dport: 443, In: "usb0", Reply: true}
		if here {
			p.From, p.In = netip.Addr{}, ""
		}
		r := Explain(World{Facts: facts, Tables: []nft.Table{table}}, p)
		if r.Verdict == "" || r.Text() == "" {
			t.Errorf("%+v", r)
		}
		nft.Text(table)
	})
}
