package nft

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
)

func metaOf(key string, reg uint32) Expr   { return Expr{Meta: &Meta{Key: key, Reg: reg}} }
func equals(reg uint32, data ...byte) Expr { return Expr{Cmp: &Cmp{Op: "==", Reg: reg, Data: data}} }
func reads(base string, off, n uint32) Expr {
	return Expr{Payload: &Payload{Base: base, Offset: off, Len: n, Reg: 1}}
}
func ends(kind string) Expr     { return Expr{Verdict: &Verdict{Kind: kind}} }
func hostOrder(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

// TestRuleText has what no compiler of nft's makes, but somebody's may: the words must be true
// or be no words.
func TestRuleText(t *testing.T) {
	v4 := []Expr{metaOf("nfproto", 1), equals(1, 2)}
	tcp := []Expr{metaOf("l4proto", 1), equals(1, 6)}
	rule := func(parts ...any) Rule {
		var r Rule
		for _, p := range parts {
			switch p := p.(type) {
			case Expr:
				r.Exprs = append(r.Exprs, p)
			case []Expr:
				r.Exprs = append(r.Exprs, p...)
			}
		}
		return r
	}
	counter := Expr{Counter: &Counter{Packets: 1, Bytes: 2}}
	for _, tt := range []struct {
		name string
		rule Rule
		want string
		ok   bool
	}{
		{"folded", rule(v4, reads("network", 12, 4), equals(1, 10, 0, 0, 1), ends("accept")), "ip saddr 10.0.0.1 accept", true},
		{"a counter between stays between", rule(v4, counter, reads("network", 12, 4), equals(1, 10, 0, 0, 1), ends("accept")), "meta nfproto ipv4 counter ip saddr 10.0.0.1 accept", true},
		{"a prefix read short", rule(v4, reads("network", 16, 2), equals(1, 10, 1)), "ip daddr 10.1.0.0/16", true},
		{"unknown family: bare bytes", rule(reads("network", 12, 4), equals(1, 10, 0, 0, 1)), "@nh,96,32 0xa000001", true},
		{"unknown transport", rule(reads("transport", 2, 2), equals(1, 0, 53)), "th dport 53", true},
		{"both ports at once", rule(tcp, reads("transport", 0, 4), equals(1, 0, 1, 0, 2)), "tcp sport 1 tcp dport 2", true},
		{"not both ports", rule(tcp, reads("transport", 0, 4), Expr{Cmp: &Cmp{Op: "!=", Reg: 1, Data: []byte{0, 1, 0, 2}}}), "meta l4proto tcp @th,0,32 != 0x10002", true},
		{"a device by number", rule(metaOf("iif", 1), equals(1, hostOrder(7)...)), "iif 7", true},
		{"a wildcard", rule(metaOf("iifname", 1), equals(1, 'u', 's', 'b')), `iifname "usb*"`, true},
		{"a value never used", rule(metaOf("mark", 1), ends("accept")), "", false},
		{"an empty register", rule(equals(1, 1), ends("accept")), "", false},
		{"somebody's match", rule(Expr{Unknown: &Unknown{Name: "match", Data: []byte{1}}}, ends("drop")), "[ match 0x01 ] drop", false},
		{"reject of no certain family", rule(Expr{Reject: &Reject{Type: "icmp", Code: 3}}), "", false},
		{"order of numbers in host order", rule(metaOf("mark", 1), Expr{Cmp: &Cmp{Op: ">=", Reg: 1, Data: hostOrder(1)}}, Expr{Cmp: &Cmp{Op: "<=", Reg: 1, Data: hostOrder(9)}}), "", false},
		{"more than a number in host order", rule(metaOf("mark", 1), Expr{Cmp: &Cmp{Op: ">", Reg: 1, Data: hostOrder(9)}}), "", false},
		{"clamp", rule(tcp, reads("transport", 13, 1), Expr{Bitwise: &Bitwise{Src: 1, Dst: 1, Len: 1, Mask: []byte{6}, Xor: []byte{0}}}, equals(1, 2), Expr{Rt: &Rt{Key: "tcpmss", Reg: 1}}, Expr{Byteorder: &Byteorder{Op: "hton", Src: 1, Dst: 1, Len: 2, Size: 2}}, Expr{Exthdr: &Exthdr{Op: "tcpopt", Type: 2, Offset: 2, Len: 2, Reg: 1, Set: true}}), "tcp flags syn / syn,rst tcp option maxseg size set rt mtu", true},
		{"the clamp's byte order matters", rule(Expr{Rt: &Rt{Key: "tcpmss", Reg: 1}}, Expr{Exthdr: &Exthdr{Op: "tcpopt", Type: 2, Offset: 2, Len: 2, Reg: 1, Set: true}}), "", false},
		{"a comment", Rule{Exprs: []Expr{ends("drop")}, Comment: "rules[3]"}, `drop comment "rules[3]"`, true},
		{"a comment that nft cannot read", Rule{Exprs: []Expr{ends("drop")}, Comment: `say "no"`}, `drop comment "say 'no'"`, false},
	} {
		got, ok := RuleLine(nil, tt.rule)
		if ok != tt.ok || tt.want != "" && got != tt.want {
			t.Errorf("%s: got %q, %v; want %q, %v", tt.name, got, ok, tt.want, tt.ok)
		}
		if !ok && tt.want == "" && !strings.Contains(got, "[ ") {
			t.Errorf("%s: %q claims to be a rule", tt.name, got)
		}
	}
}

// TestLinesSaysWhatIsMissing: a set without its elements is not the set.
func TestLinesSaysWhatIsMissing(t *testing.T) {
	for name, set := range map[string]Set{
		"elements elsewhere": {Name: "s", Key: []string{TypeIPv4}, Count: 150000, SHA256: "ab"},
		"a nameless type":    {Name: "s", Key: []string{"#99:3"}},
		"a broken element":   {Name: "s", Key: []string{TypeIPv4}, Elements: []Element{{Key: []byte{1, 2}}}},
	} {
		if text, ok := Lines(Table{Family: "inet", Name: "t", Sets: []Set{set}}); ok {
			t.Errorf("%s: claims to be all:\n%s", name, text)
		}
	}
	text, ok := Lines(Table{Family: "inet", Name: "t", Dormant: true, Sets: []Set{{Name: "s", Key: []string{TypeIPv4}}}})
	if want := "table inet t {\n\tflags dormant\n\n\tset s {\n\t\ttype ipv4_addr\n\t}\n}\n"; text != want || !ok {
		t.Errorf("%v %q", ok, text)
	}
}

// TestTextOfAnything: no list of expressions, however senseless, stops the printer.
func TestTextOfAnything(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 7))
	for range 20000 {
		var r Rule
		for range 1 + rnd.IntN(8) {
			r.Exprs = append(r.Exprs, randomExpr(rnd))
		}
		table := Table{Family: []string{"inet", "ip", "ip6", "netdev", "bridge"}[rnd.IntN(5)], Name: "t",
			Sets:   []Set{{Name: "s", Key: []string{"ipv4_addr", "inet_service"}}, {Name: "m", Key: []string{"mark"}, Data: []string{"ipv4_addr", "inet_service"}}},
			Chains: []Chain{{Name: "c", Rules: []Rule{r}}}}
		if Text(table) == "" {
			t.Fatal("no text")
		}
	}
}

func randomExpr(rnd *rand.Rand) Expr {
	reg := func() uint32 { return []uint32{0, 1, 2, 4, 8, 9, 12, 23}[rnd.IntN(8)] }
	data := func() []byte {
		b := make([]byte, rnd.IntN(18))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return b
	}
	pick := func(s ...string) string { return s[rnd.IntN(len(s))] }
	switch rnd.IntN(17) {
	case 0:
		return Expr{Meta: &Meta{Key: pick("mark", "iifname", "l4proto", "nfproto", "iif", "odd", ""), Reg: reg(), Set: rnd.IntN(4) == 0}}
	case 1:
		return Expr{Payload: &Payload{Base: pick("link", "network", "transport", "inner", ""), Offset: rnd.Uint32N(40), Len: rnd.Uint32N(20), Reg: reg()}}
	case 2, 3, 4:
		return Expr{Cmp: &Cmp{Op: pick("==", "!=", "<", ">=", "<=", "?"), Reg: reg(), Data: data()}}
	case 5:
		return Expr{Range: &Range{Op: pick("==", "!="), Reg: reg(), From: data(), To: data()}}
	case 6:
		return Expr{Bitwise: &Bitwise{Src: reg(), Dst: reg(), Len: rnd.Uint32N(17), Mask: data(), Xor: data()}}
	case 7:
		return Expr{Byteorder: &Byteorder{Op: "hton", Src: reg(), Dst: reg(), Len: rnd.Uint32N(9), Size: rnd.Uint32N(9)}}
	case 8:
		return Expr{Lookup: &Lookup{Set: pick("s", "m", "x"), Reg: reg(), Map: rnd.IntN(2) == 0, Dst: reg(), Invert: rnd.IntN(2) == 0}}
	case 9:
		return Expr{Immediate: &Immediate{Reg: reg(), Data: data()}}
	case 10:
		return Expr{Ct: &Ct{Key: pick("state", "mark", "status", "saddr", "ip saddr"), Reg: reg(), Dir: pick("", "reply"), Set: rnd.IntN(3) == 0}}
	case 11:
		return Expr{NAT: &NAT{Kind: "dnat", Family: pick("ip", "ip6", "inet", ""), AddrMin: reg(), AddrMax: reg(), PortMin: reg(), PortMax: reg(), Flags: []string{pick("prefix", "random")}}}
	case 12:
		return Expr{DynSet: &DynSet{Op: "add", Set: pick("s", "m", "x"), Reg: reg(), Data: reg()}}
	case 13:
		return Expr{Reject: &Reject{Type: pick("icmp", "icmpx", "tcp reset", ""), Code: byte(rnd.Uint32())}}
	case 14:
		return Expr{Exthdr: &Exthdr{Op: pick("ipv6", "tcpopt", "sctp"), Type: byte(rnd.Uint32N(50)), Len: rnd.Uint32N(5), Offset: 2, Reg: reg(), Set: rnd.IntN(2) == 0}}
	case 15:
		return Expr{Fib: &Fib{Result: pick("oif", "type", "present", ""), Flags: []string{pick("saddr", "x")}, Reg: reg()}}
	}
	return Expr{}
}
