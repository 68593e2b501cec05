package nft

import (
	"encoding/binary"
	"fmt"
)

func host32(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

func ifname(s string) []byte { return append([]byte(s), make([]byte, 16-len(s))...) }

func iif(name string) []Expr {
	return []Expr{{Meta: &Meta{Key: "iifname", Reg: 1}}, {Cmp: &Cmp{Op: "==", Reg: 1, Data: ifname(name)}}}
}

func tcpPort(port uint16) []Expr {
	return []Expr{
		{Meta: &Meta{Key: "l4proto", Reg: 1}}, {Cmp: &Cmp{Op: "==", Reg: 1, Data: []byte{6}}},
		{Payload: &Payload{Base: "transport", Offset: 2, Len: 2, Reg: 1}},
		{Cmp: &Cmp{Op: "==", Reg: 1, Data: binary.BigEndian.AppendUint16(nil, port)}},
	}
}

func saddr4() []Expr {
	return []Expr{
		{Meta: &Meta{Key: "nfproto", Reg: 1}}, {Cmp: &Cmp{Op: "==", Reg: 1, Data: []byte{2}}},
		{Payload: &Payload{Base: "network", Offset: 12, Len: 4, Reg: 1}},
	}
}

func verdict(kind, chain string) Expr { return Expr{Verdict: &Verdict{Kind: kind, Chain: chain}} }

func counter() Expr { return Expr{Counter: &Counter{}} }

func rule(parts ...any) Rule {
	var r Rule
	for _, p := range parts {
		switch p := p.(type) {
		case Expr:
			r.Exprs = append(r.Exprs, p)
		case []Expr:
			r.Exprs = append(r.Exprs, p...)
		case string:
			r.Comment = p
		}
	}
	return r
}

func filter(hook string, priority int32, policy string) *Base {
	return &Base{Type: "filter", Hook: hook, Priority: priority, Policy: policy}
}

// ranges are n ranges of four addresses, from 10.0.0.0 on, each with a gap of four behind it.
func ranges(n int, skip uint32) []Element {
	out := make([]Element, n)
	for i := range out {
		at := 10<<24 + skip + uint32(i)*8
		out[i].Key = binary.BigEndian.AppendUint32(nil, at)
		out[i].To = binary.BigEndian.AppendUint32(nil, at+3)
	}
	return out
}

// samples are tables that differ in everything that can differ.
func samples() []Table {
	lookup := func(set string) Expr { return Expr{Lookup: &Lookup{Set: set, Reg: 1}} }
	first := Table{Family: OwnFamily, Name: OwnTable,
		Sets: []Set{
			{Name: "blocked", Key: []string{TypeIPv4}, Interval: true, Elements: []Element{
				{Key: []byte{1, 2, 3, 0}, To: []byte{1, 2, 3, 255}, Comment: "a net"}, {Key: []byte{1, 2, 4, 0}}, {Key: []byte{224, 0, 0, 0}, To: []byte{255, 255, 255, 255}},
			}},
			{Name: "large", Key: []string{TypeIPv4}, Interval: true, Elements: ranges(1500, 0)},
			{Name: "learnt", Key: []string{TypeIPv4}, Learnt: true, Timeout: 60000},
			{Name: "ports", Key: []string{TypePort}, Data: []string{TypeVerdict}, Elements: []Element{
				{Key: []byte{0, 22}, Verdict: &Verdict{Kind: "jump", Chain: "management"}}, {Key: []byte{0, 80}, Verdict: &Verdict{Kind: "accept"}},
			}},
		},
		Chains: []Chain{
			{Name: "input", Base: filter("input", 0, "drop"), Comment: "in", Rules: []Rule{
				rule(iif("lo"), counter(), verdict("accept", ""), "loopback"),
				rule(saddr4(), lookup("blocked"), verdict("drop", "")),
				rule(tcpPort(443), counter(), verdict("accept", "")),
				rule(tcpPort(22)[:3], Expr{Lookup: &Lookup{Set: "ports", Reg: 1, Map: true}}),
				rule(Expr{Log: &Log{Prefix: "drop: "}}, verdict("drop", "")),
			}},
			{Name: "management", Rules: []Rule{rule(verdict("accept", ""))}},
		},
	}
	second := Table{Family: OwnFamily, Name: OwnTable,
		Sets: []Set{
			{Name: "blocked", Key: []string{TypeIPv4}, Interval: true, Elements: []Element{
				{Key: []byte{1, 2, 3, 0}, To: []byte{1, 2, 3, 127}}, {Key: []byte{1, 2, 3, 128}, To: []byte{1, 2, 4, 1}},
			}},
			{Name: "large", Key: []string{TypeIPv4}, Interval: true, Elements: ranges(1499, 8)},
			{Name: "learnt", Key: []string{TypeIPv4}, Learnt: true, Timeout: 120000, Comment: "longer"},
			{Name: "ports", Key: []string{TypePort}, Data: []string{TypeVerdict}, Elements: []Element{
				{Key: []byte{0, 22}, Verdict: &Verdict{Kind: "goto", Chain: "management"}},
			}},
			{Name: "nics", Key: []string{TypeIfname, TypeMark}, Elements: []Element{{Key: append(ifname("usb0"), host32(7)...)}}},
		},
		Chains: []Chain{
			{Name: "input", Base: filter("input", 10, "accept"), Rules: []Rule{
				rule(iif("lo"), counter(), verdict("accept", ""), "loopback"),
				rule(tcpPort(22)[:3], Expr{Lookup: &Lookup{Set: "ports", Reg: 1, Map: true}}),
				rule(saddr4(), Expr{DynSet: &DynSet{Op: "update", Set: "learnt", Reg: 1, Timeout: 30000, Exprs: []Expr{{Limit: &Limit{Rate: 10, Per: 60, Over: true}}}}}, verdict("drop", "")),
			}},
			{Name: "management", Comment: "made anew", Rules: []Rule{rule(counter(), verdict("accept", ""))}},
			{Name: "post", Base: &Base{Type: "nat", Hook: "postrouting", Priority: 100, Policy: "accept"}, Rules: []Rule{
				rule([]Expr{{Meta: &Meta{Key: "oifname", Reg: 1}}, {Cmp: &Cmp{Op: "==", Reg: 1, Data: []byte("wlan")}}}, Expr{Masq: &Masq{}}),
			}},
		},
	}
	var third Table
	third.Family, third.Name = OwnFamily, OwnTable
	for i := range 20 {
		c := Chain{Name: fmt.Sprintf("c%d", i)}
		for j := range 10 {
			c.Rules = append(c.Rules, rule(tcpPort(uint16(100*i+j)), counter(), verdict("return", "")))
		}
		third.Chains = append(third.Chains, c)
	}
	return []Table{first, second, third}
}

// everyExpr has each kind, and each way of it.
func everyExpr() []Expr {
	level, group := uint32(7), uint16(3)
	return []Expr{
		{Meta: &Meta{Key: "iifname", Reg: 1}}, {Meta: &Meta{Key: "mark", Reg: 2, Set: true}}, {Meta: &Meta{Key: "sdifname", Reg: 9}},
		{Payload: &Payload{Base: "network", Offset: 12, Len: 4, Reg: 1}}, {Payload: &Payload{Base: "link", Len: 6, Reg: 1}},
		{Cmp: &Cmp{Op: "!=", Reg: 1, Data: []byte{1, 2, 3, 4}}}, {Cmp: &Cmp{Op: ">=", Reg: 1, Data: []byte{5}}},
		{Range: &Range{Op: "!=", Reg: 1, From: []byte{0, 1}, To: []byte{0, 9}}},
		{Bitwise: &Bitwise{Src: 1, Dst: 2, Len: 4, Mask: []byte{1, 2, 3, 4}, Xor: []byte{0, 0, 0, 1}}},
		{Byteorder: &Byteorder{Op: "hton", Src: 1, Dst: 1, Len: 2, Size: 2}}, {Byteorder: &Byteorder{Op: "ntoh", Src: 1, Dst: 1, Len: 4, Size: 4}},
		{Lookup: &Lookup{Set: "s", Reg: 1, Invert: true}}, {Lookup: &Lookup{Set: "s", Reg: 1, Map: true}}, {Lookup: &Lookup{Set: "s", Reg: 9, Map: true, Dst: 2}},
		{Immediate: &Immediate{Reg: 1, Data: []byte{1, 2}}}, {Verdict: &Verdict{Kind: "drop"}}, {Verdict: &Verdict{Kind: "continue"}},
		{Verdict: &Verdict{Kind: "goto", Chain: "x"}}, {Ct: &Ct{Key: "state", Reg: 1}}, {Ct: &Ct{Key: "proto-dst", Reg: 1, Dir: "original"}},
		{Ct: &Ct{Key: "mark", Reg: 1, Set: true}}, {Ct: &Ct{Key: "ip daddr", Reg: 1, Dir: "reply"}},
		{Fib: &Fib{Result: "type", Flags: []string{"daddr", "iif"}, Reg: 1}}, {Fib: &Fib{Result: "present", Flags: []string{"saddr", "mark", "iif"}, Reg: 1}},
		{Fib: &Fib{Result: "oifname", Flags: []string{"saddr"}, Reg: 1}}, {Rt: &Rt{Key: "tcpmss", Reg: 1}},
		{Exthdr: &Exthdr{Op: "tcpopt", Type: 2, Offset: 2, Len: 2, Reg: 1, Set: true}}, {Exthdr: &Exthdr{Op: "ipv6", Type: 44, Len: 1, Reg: 1, Present: true}},
		{Counter: &Counter{Packets: 7, Bytes: 9}}, {Limit: &Limit{Rate: 3, Per: 60, Burst: 5}}, {Limit: &Limit{Rate: 3, Per: 1, Bytes: true, Over: true}},
		{Log: &Log{}}, {Log: &Log{Prefix: "p", Level: &level, Flags: 3}}, {Log: &Log{Group: &group, Snaplen: 9}},
		{Reject: &Reject{Type: "icmpx", Code: 3}}, {Reject: &Reject{Type: "icmp", Code: 4}}, {Reject: &Reject{Type: "tcp reset"}},
		{NAT: &NAT{Kind: "dnat", Family: "ip", AddrMin: 1, PortMin: 2, PortMax: 3, Flags: []string{"random", "persistent", "fully-random"}}},
		{NAT: &NAT{Kind: "snat", Family: "ip6", AddrMin: 1, AddrMax: 2, Flags: []string{"prefix"}}},
		{Masq: &Masq{}}, {Masq: &Masq{PortMin: 1, PortMax: 2, Flags: []string{"random"}}}, {Redir: &Redir{PortMin: 1}}, {Notrack: &Notrack{}},
		{DynSet: &DynSet{Op: "update", Set: "s", Reg: 1, Timeout: 9000, Invert: true, Exprs: []Expr{{Counter: &Counter{}}}}},
		{DynSet: &DynSet{Op: "add", Set: "m", Reg: 1, Data: 2, Exprs: []Expr{{Limit: &Limit{Rate: 1, Per: 1, Burst: 5}}, {Counter: &Counter{}}}}},
		{Unknown: &Unknown{Name: "quota", Data: []byte{8, 0, 1, 0, 1, 2, 3, 4}}},
	}
}
