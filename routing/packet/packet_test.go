package packet

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing/match"
)

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// gadget is a Pi whose usb0 is the inside and whose wlan0 is the way out, with a tunnel wg0.
func gadget() *facts.Facts {
	a := netip.MustParseAddr
	return &facts.Facts{
		Links: []facts.Link{
			{Index: 1, Name: "lo", ARPHRD: 772, Up: true, Carrier: true},
			{Index: 2, Name: "usb0", ARPHRD: 1, Up: true, Carrier: true, MTU: 1500, MAC: "02:00:00:00:00:01", Sysctl: map[string]string{"ipv4.rp_filter": "0"}},
			{Index: 3, Name: "wlan0", ARPHRD: 1, Up: true, Carrier: true, MTU: 1500, Sysctl: map[string]string{"ipv4.rp_filter": "0"}},
			{Index: 4, Name: "wg0", ARPHRD: 65534, Kind: "wireguard", Up: true, MTU: 1420},
		},
		Addrs: []facts.Address{
			{Link: 1, Prefix: pfx("127.0.0.1/8"), Scope: "host"},
			{Link: 2, Prefix: pfx("10.55.0.1/24"), Scope: "global"},
			{Link: 2, Prefix: pfx("fd55::1/64"), Scope: "global"},
			{Link: 3, Prefix: pfx("192.0.2.7/24"), Scope: "global"},
			{Link: 3, Prefix: pfx("2001:db8:2::7/64"), Scope: "global"},
			{Link: 4, Prefix: pfx("10.9.0.2/32"), Scope: "global"},
		},
		Routes: []facts.Route{
			{Dst: pfx("10.55.0.0/24"), Link: 2, Table: 254, Type: "unicast", Scope: "link", Src: a("10.55.0.1")},
			{Dst: pfx("192.0.2.0/24"), Link: 3, Table: 254, Type: "unicast", Scope: "link", Src: a("192.0.2.7")},
			{Dst: pfx("0.0.0.0/0"), Gateway: a("192.0.2.1"), Link: 3, Table: 254, Type: "unicast"},
			{Dst: pfx("fd55::/64"), Link: 2, Table: 254, Type: "unicast"},
			{Dst: pfx("::/0"), Gateway: a("fe80::1"), Link: 3, Table: 254, Type: "unicast"},
			{Dst: pfx("0.0.0.0/0"), Link: 4, Table: 1280, Type: "unicast", Scope: "link"},
		},
		Rules: []facts.Rule{
			{Family: 4, Priority: 0, Table: 255, Action: "lookup"}, {Family: 6, Priority: 0, Table: 255, Action: "lookup"},
			{Family: 4, Priority: 100, Mark: 0x10, Mask: 0xf0, Table: 1280, Action: "lookup"},
			{Family: 4, Priority: 32766, Table: 254, Action: "lookup"}, {Family: 6, Priority: 32766, Table: 254, Action: "lookup"},
		},
		Sysctl: map[string]string{"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"},
	}
}

// policy is a table as the firewall makes them.
func policy() nft.Table {
	base := func(name, kind, hook string, prio int32, policy string, rules ...nft.Rule) nft.Chain {
		return nft.Chain{Name: name, Base: &nft.Base{Type: kind, Hook: hook, Priority: prio, Policy: policy}, Rules: rules}
	}
	return nft.Table{Family: "inet", Name: "provision", Chains: []nft.Chain{
		base("mark-pre", "filter", "prerouting", -150, "accept",
			match.Rule("policy[0]: games by the tunnel", match.IIFName("usb0"), match.DPort(match.UDP, 3074), match.SetMark(0x10, 0xf0))),
		base("input", "filter", "input", 0, "drop",
			match.Rule("established", match.CtState(nft.StateEstablished|nft.StateRelated), match.Accept()),
			match.Rule("rules[0]: ssh", match.IIFName("usb0"), match.DPort(match.TCP, 22), match.Counter(), match.Accept())),
		base("forward", "filter", "forward", 0, "drop",
			match.Rule("established", match.CtState(nft.StateEstablished|nft.StateRelated), match.Accept()),
			match.Rule("zones inside to outside", match.IIFName("usb0"), match.OIFName("wlan0"), match.Jump("out")),
			match.Rule("zones inside to vpn", match.IIFName("usb0"), match.OIFName("wg0"), match.Accept()),
			match.Rule("final drop", match.Log("drop: "), match.Drop())),
		{Name: "out", Rules: []nft.Rule{
			match.Rule("rules[1]: no mail", match.DPort(match.TCP, 25), match.Reject()),
			match.Rule("rules[2]: all", match.Accept()),
		}},
		base("nat-post", "nat", "postrouting", 100, "accept",
			match.Rule("zone outside: masquerade", match.OIFName("wlan0"), match.Masquerade(4)),
			match.Rule("zone vpn: masquerade", match.OIFName("wg0"), match.Masquerade(4))),
	}}
}

func TestText(t *testing.T) {
	w := World{Facts: gadget(), Tables: []nft.Table{policy()}}
	target, err := ParseTarget("1.1.1.1:443/tcp")
	if err != nil {
		t.Fatal(err)
	}
	p := target.Packet()
	p.From, p.In, p.Reply = netip.MustParseAddr("10.55.0.2"), "usb0", true
	want := `tcp from 10.55.0.2 to 1.1.1.1:443, in by usb0, new
routing
  rule 32766: from all lookup 254, default via 192.0.2.1 dev wlan0 metric 0: out by wlan0 via 192.0.2.1
forward
  inet provision forward
    2: iifname "usb0" oifname "wlan0" jump out  # zones inside to outside
    inet provision out
      2: accept  # rules[2]: all
postrouting
  inet provision nat-post
    1: oifname "wlan0" meta nfproto ipv4 masquerade  -> source becomes 192.0.2.7:50000, accept  # zone outside: masquerade
=> leaves by wlan0 via 192.0.2.1 as 192.0.2.7:50000 to 1.1.1.1:443 (route of table main)

the answer:
tcp from 1.1.1.1:443 to 192.0.2.7:50000, in by wlan0, established
prerouting
  the flow's NAT: destination becomes 10.55.0.2:50000
routing
  rule 32766: from all lookup 254, 10.55.0.0/24 dev usb0 src 10.55.0.1 metric 0: out by usb0
forward
  inet provision forward
    1: ct state established,related accept  # established
=> leaves by usb0 as 1.1.1.1:443 to 10.55.0.2:50000 (route of table main)
`
	if got := Explain(w, p).Text(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestExplain(t *testing.T) {
	xt := nft.Table{Family: "ip", Name: "filter", Chains: []nft.Chain{{Name: "FORWARD", Base: &nft.Base{Type: "filter", Hook: "forward", Policy: "accept"},
		Rules: []nft.Rule{
			{Exprs: append(match.IIFName("docker0"), nft.Expr{Unknown: &nft.Unknown{Name: "match", Data: []byte{1}}}, nft.Expr{Verdict: &nft.Verdict{Kind: "drop"}})},
			{Exprs: append(match.IIFName("usb0"), nft.Expr{Unknown: &nft.Unknown{Name: "match", Data: []byte{1}}}, nft.Expr{Verdict: &nft.Verdict{Kind: "drop"}})},
			{Exprs: []nft.Expr{{Unknown: &nft.Unknown{Name: "match"}}, {Counter: &nft.Counter{}}}},
		}}}}
	learnt := nft.Table{Family: "inet", Name: nft.OwnTable, Sets: []nft.Set{{Name: "d", Key: []string{nft.TypeIPv4}, Learnt: true}},
		Chains: []nft.Chain{{Name: "f", Base: &nft.Base{Type: "filter", Hook: "forward", Policy: "accept"}, Rules: []nft.Rule{match.Rule("", match.DAddrIn(4, "d"), match.Drop())}}}}
	uid := nft.Table{Family: "inet", Name: "u", Chains: []nft.Chain{{Name: "o", Base: &nft.Base{Type: "filter", Hook: "output", Policy: "accept"}, Rules: []nft.Rule{
		{Exprs: []nft.Expr{{Meta: &nft.Meta{Key: "skuid", Reg: 1}}, {Cmp: &nft.Cmp{Op: "==", Reg: 1, Data: []byte{7, 0, 0, 0}}}, {Verdict: &nft.Verdict{Kind: "drop"}}}}}}}}
	asleep := policy()
	asleep.Dormant = true
	strict := gadget()
	strict.Links[2].Sysctl = map[string]string{"ipv4.rp_filter": "1"}
	seven, zero := 7, 0
	lan := func(proto, to string, port uint16) Packet {
		return Packet{From: netip.MustParseAddr("10.55.0.2"), To: netip.MustParseAddr(to), Proto: proto, Dport: port, In: "usb0"}
	}
	for _, tt := range []struct {
		name    string
		f       *facts.Facts
		tables  []nft.Table
		p       Packet
		verdict Verdict
		certain bool
		why     string // part of the sentence
	}{
		{"refused", gadget(), []nft.Table{policy()}, lan("tcp", "1.1.1.1", 25), Rejected, true, "rules[1]: no mail"},
		{"a mark sends it into the tunnel", gadget(), []nft.Table{policy()}, lan("udp", "1.1.1.1", 3074), Leaves, true, "leaves by wg0 as 10.9.0.2:50000 to 1.1.1.1:3074 with mark 0x10 (route of table 1280)"},
		{"policy", gadget(), []nft.Table{policy()}, lan("udp", "10.55.0.1", 53), Dropped, true, "policy of chain input of table inet provision"},
		{"own service", gadget(), []nft.Table{policy()}, lan("tcp", "10.55.0.1", 22), Delivered, true, "delivered"},
		{"final drop", gadget(), []nft.Table{policy()}, Packet{From: netip.MustParseAddr("198.51.100.1"), To: netip.MustParseAddr("10.55.0.2"), Proto: "tcp", Dport: 22, In: "wlan0"}, Dropped, true, "(final drop)"},
		{"established comes in", gadget(), []nft.Table{policy()}, Packet{From: netip.MustParseAddr("198.51.100.1"), To: netip.MustParseAddr("10.55.0.2"), Proto: "tcp", Dport: 22, In: "wlan0", State: Established}, Leaves, true, "leaves by usb0"},
		{"dormant", gadget(), []nft.Table{asleep}, lan("tcp", "1.1.1.1", 25), Leaves, true, "as 10.55.0.2:50000"},
		{"somebody's match", gadget(), []nft.Table{xt, policy()}, lan("tcp", "1.1.1.1", 443), Leaves, false, "uncertain: leaves by wlan0"},
		{"somebody's match for others", gadget(), []nft.Table{xt}, Packet{From: netip.MustParseAddr("198.51.100.1"), To: netip.MustParseAddr("10.55.0.2"), Proto: "udp", Dport: 22, In: "wlan0"}, Leaves, true, "leaves by usb0"},
		{"owner not given", gadget(), []nft.Table{uid}, Packet{To: netip.MustParseAddr("1.1.1.1"), Proto: "udp", Dport: 53}, Leaves, false, "uncertain"},
		{"owner given", gadget(), []nft.Table{uid}, Packet{To: netip.MustParseAddr("1.1.1.1"), Proto: "udp", Dport: 53, UID: &seven}, Dropped, true, "rule 1 of chain o"},
		{"another owner", gadget(), []nft.Table{uid}, Packet{To: netip.MustParseAddr("1.1.1.1"), Proto: "udp", Dport: 53, UID: &zero}, Leaves, true, "as 192.0.2.7:50000"},
		{"no way back", strict, nil, Packet{From: netip.MustParseAddr("10.55.0.9"), To: netip.MustParseAddr("192.0.2.7"), Proto: "udp", Dport: 9, In: "wlan0"}, Dropped, true, "rp_filter of wlan0 is strict: the way back leaves by usb0"},
		{"own source from outside", gadget(), nil, Packet{From: netip.MustParseAddr("192.0.2.7"), To: netip.MustParseAddr("10.55.0.2"), Proto: "udp", Dport: 9, In: "wlan0"}, Dropped, true, "martian"},
		{"no such device", gadget(), nil, Packet{From: netip.MustParseAddr("10.55.0.9"), To: netip.MustParseAddr("192.0.2.7"), In: "eth9"}, NoRoute, true, "there is no device eth9"},
	} {
		r := Explain(World{Facts: tt.f, Tables: tt.tables}, tt.p)
		if r.Verdict != tt.verdict || r.Certain != tt.certain || !strings.Contains(r.Sentence(), tt.why) {
			t.Errorf("%s: %s, certain %v; want %s %v with %q\n%s", tt.name, r.Sentence(), r.Certain, tt.verdict, tt.certain, tt.why, r.Text())
		}
	}
	for planned, want := range map[bool]bool{true: false, false: true} {
		r := Explain(World{Facts: gadget(), Tables: []nft.Table{learnt}, Planned: planned}, lan("udp", "1.1.1.1", 53))
		if r.Certain != want {
			t.Errorf("planned %v: certain %v", planned, r.Certain)
		}
	}
}

func TestAllShowsWhatDoesNotMatch(t *testing.T) {
	p := Packet{From: netip.MustParseAddr("10.55.0.2"), To: netip.MustParseAddr("1.1.1.1"), Proto: "udp", Dport: 53, In: "usb0", All: true}
	r := Explain(World{Facts: gadget(), Tables: []nft.Table{policy()}}, p)
	n := 0
	for _, s := range r.Steps {
		if s.Effect == "does not match" {
			n++
		}
	}
	if n < 3 {
		t.Errorf("%d rules that do not match\n%s", n, r.Text())
	}
	b, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(b), `"verdict":"leaves"`) || !strings.Contains(string(b), `"comment":"rules[2]: all"`) {
		t.Errorf("%v %s", err, b)
	}
}

func BenchmarkExplain(b *testing.B) {
	t := policy()
	var rules []nft.Rule
	for i := range 1000 {
		rules = append(rules, match.Rule("", match.IIFName("usb1"), match.DPort(match.TCP, uint16(i)), match.Accept()))
	}
	t.Chains[2].Rules = append(rules, t.Chains[2].Rules...)
	w := World{Facts: gadget(), Tables: []nft.Table{t}}
	p := Packet{From: netip.MustParseAddr("10.55.0.2"), To: netip.MustParseAddr("1.1.1.1"), Proto: "tcp", Dport: 443, In: "usb0"}
	for b.Loop() {
		if r := Explain(w, p); r.Verdict != Leaves {
			b.Fatal(r.Text())
		}
	}
}
