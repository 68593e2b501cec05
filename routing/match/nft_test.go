package match_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/resource/nft"
	. "github.com/provision-net/provision/routing/match"
)

func px(s string) netip.Prefix { return netip.MustParsePrefix(s) }
func ad(s string) netip.Addr   { return netip.MustParseAddr(s) }

// A word and what nft calls it.
type word struct {
	nft   string
	exprs []nft.Expr
}

func filterWords() []word {
	return []word{
		{`iifname "usb0"`, IIFName("usb0")},
		{`iifname "usb*"`, IIFName("usb*")},
		{`oifname != "usb*"`, Not(OIFName("usb*"))},
		{`oifname @ifs`, OIFNameIn("ifs")},
		{`iifname != @ifs`, Not(IIFNameIn("ifs"))},
		{`iifname vmap @vm`, IIFNameMap("vm")},
		{`oifname vmap @vm`, OIFNameMap("vm")},
		{`meta nfproto ipv6`, NFProto(6)},
		{`meta l4proto tcp`, L4Proto(TCP)},
		{`meta l4proto @protos`, L4ProtoIn("protos")},
		{`ip saddr 192.0.2.1`, SAddr(px("192.0.2.1/32"))},
		{`ip saddr 192.0.2.0/24`, SAddr(px("192.0.2.7/24"))},
		{`ip daddr 192.0.2.0/25`, DAddr(px("192.0.2.0/25"))},
		{`ip daddr != 192.0.2.0/25`, Not(DAddr(px("192.0.2.0/25")))},
		{`ip daddr != 10.0.0.0/8`, Not(DAddr(px("10.0.0.0/8")))},
		{`meta nfproto ipv4`, SAddr(px("0.0.0.0/0"))},
		{`ip daddr 192.0.2.1-192.0.2.9`, DAddrRange(ad("192.0.2.1"), ad("192.0.2.9"))},
		{`ip saddr != 192.0.2.1-192.0.2.9`, Not(SAddrRange(ad("192.0.2.1"), ad("192.0.2.9")))},
		{`ip6 daddr 2001:db8::/32`, DAddr(px("2001:db8::/32"))},
		{`ip6 saddr fe80::/10`, SAddr(px("fe80::/10"))},
		{`ip6 saddr 2001:db8::1`, SAddr(px("2001:db8::1/128"))},
		{`ip6 saddr 2001:db8::1-2001:db8::9`, SAddrRange(ad("2001:db8::1"), ad("2001:db8::9"))},
		{`ip saddr @g4`, SAddrIn(4, "g4")},
		{`ip6 daddr != @g6`, Not(DAddrIn(6, "g6"))},
		{`ip saddr 192.0.2.1 ip daddr 192.0.2.2`, Join(SAddr(px("192.0.2.1/32")), DAddr(px("192.0.2.2/32")))},
		{`ip6 hoplimit 255`, HopLimit(255)},
		{`tcp dport 80`, DPort(TCP, 80)},
		{`udp sport 67`, SPort(UDP, 67)},
		{`tcp dport 80-90`, DPortRange(TCP, 80, 90)},
		{`tcp dport 80`, DPortRange(TCP, 80, 80)},
		{`udp sport @gp`, SPortIn(UDP, "gp")},
		{`meta l4proto @protos th dport 53`, Join(L4ProtoIn("protos"), DPort(0, 53))},
		{`tcp sport 1024-65535 tcp dport @gp`, Join(SPortRange(TCP, 1024, 65535), DPortIn(TCP, "gp"))},
		{`icmp type echo-request`, ICMPType(EchoRequest)},
		{`icmpv6 type nd-neighbor-solicit`, ICMPv6Type(NeighSolicit)},
		{`icmpv6 type @types`, ICMPv6In("types")},
		{`ip6 saddr fe80::/10 icmpv6 type nd-router-advert`, Join(SAddr(px("fe80::/10")), ICMPv6Type(RouterAdvert))},
		{`ct state established,related`, CtState(nft.StateEstablished | nft.StateRelated)},
		{`ct state invalid`, CtState(nft.StateInvalid)},
		{`ct status dnat`, CtStatus(nft.StatusDNAT)},
		{`ct mark & 0xff000000 == 0x01000000`, CtMark(0x01000000, 0xff000000)},
		{`ct mark 0x1`, CtMark(1, 0xffffffff)},
		{`meta mark & 0xff == 0x7`, Mark(7, 0xff)},
		{`meta mark != 0x7`, Not(Mark(7, 0xffffffff))},
		{`meta mark set meta mark & 0x00ffffff | 0x01000000`, SetMark(0x01000000, 0xff000000)},
		{`ct mark set ct mark & 0x00ffffff | 0x01000000`, SetCtMark(0x01000000, 0xff000000)},
		{`meta mark set 0x1`, SetMark(1, 0xffffffff)},
		{`fib daddr type local`, FibDaddrType(Local)},
		{`fib daddr type != broadcast`, Not(FibDaddrType(Broadcast))},
		{`fib saddr . mark . iif oif missing`, NoReversePath()},
		{`counter`, Counter()},
		{`limit rate 5/minute burst 10 packets log prefix "x: "`, Join(Limit(5, 60, 10), Log("x: "))},
		{`log prefix "x" group 3`, LogGroup("x", 3)},
		{`update @learnt { ip saddr limit rate 1/second burst 5 packets }`, LimitSource(4, "learnt", 1, 1, 5)},
		{`reject`, Reject()},
		{`reject with icmpx admin-prohibited`, RejectAdmin()},
		{`meta l4proto tcp reject with tcp reset`, RejectTCP()},
		{`iifname "a" accept`, Join(IIFName("a"), Accept())},
		{`drop`, Drop()}, {`return`, Return()}, {`jump other`, Jump("other")}, {`goto other`, Goto("other")},
		{`tcp flags syn / fin,syn,rst tcp option maxseg size set rt mtu`, ClampMSS()},
		{`tcp flags & (fin|syn|rst) == syn tcp option maxseg size set 1200`, LowerMSS(1200)},
	}
}

func dnatWords() []word {
	return []word{
		{`meta nfproto ipv4 dnat ip to 10.0.0.1`, DNAT(ad("10.0.0.1"))},
		{`tcp dport 80 meta nfproto ipv4 dnat ip to 10.0.0.1:8080`, Join(DPort(TCP, 80), DNAT(ad("10.0.0.1"), 8080))},
		{`tcp dport 80-90 meta nfproto ipv6 dnat ip6 to [2001:db8::1]:8080-8090`, Join(DPortRange(TCP, 80, 90), DNAT(ad("2001:db8::1"), 8080, 8090))},
		{`ip6 daddr 2001:db8:1::/48 dnat ip6 prefix to 2001:db8:2::/48`, Join(DAddr(px("2001:db8:1::/48")), DNATPrefix(px("2001:db8:2::/48")))},
		{`tcp dport 80 redirect to :8080`, Join(DPort(TCP, 80), Redirect(8080))},
		{`tcp dport 80-81 redirect to :8080-8081`, Join(DPortRange(TCP, 80, 81), Redirect(8080, 8081))},
		{`redirect`, Redirect()},
	}
}

func snatWords() []word {
	return []word{
		{`meta nfproto ipv4 masquerade`, Masquerade(4)},
		{`meta nfproto ipv6 oifname "w0" masquerade`, Join(NFProto(6), OIFName("w0"), Masquerade(6))},
		{`ip saddr 10.0.0.0/8 snat ip to 192.0.2.1`, Join(SAddr(px("10.0.0.0/8")), SNAT(ad("192.0.2.1"), ad("192.0.2.1")))},
		{`ip saddr 10.0.0.0/8 snat ip to 192.0.2.1-192.0.2.9`, Join(SAddr(px("10.0.0.0/8")), SNAT(ad("192.0.2.1"), ad("192.0.2.9")))},
		{`ip6 saddr fd00::/48 snat ip6 prefix to 2001:db8:1::/48`, Join(SAddr(px("fd00::/48")), SNATPrefix(px("2001:db8:1::/48")))},
	}
}

// TestWordsAreNftsOwn has nft compile its words for each of ours: the expressions are the same.
func TestWordsAreNftsOwn(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil || os.Geteuid() != 0 {
		t.Skip("skipped: needs nft(8) and root")
	}
	var b strings.Builder
	b.WriteString(`table inet t {
 set g4 { type ipv4_addr; flags interval; }
 set g6 { type ipv6_addr; flags interval; }
 set ifs { type ifname; }
 set gp { type inet_service; flags interval; }
 set types { type icmpv6_type; }
 set protos { type inet_proto; }
 map vm { type ifname : verdict; }
 set learnt { type ipv4_addr; size 1000; flags dynamic, timeout; timeout 60s; }
 chain other { }
`)
	var want []word
	for _, c := range []struct {
		head  string
		words []word
	}{{"chain c {", filterWords()},
		{"chain d { type nat hook prerouting priority -100;", dnatWords()},
		{"chain s { type nat hook postrouting priority 100;", snatWords()}} {
		b.WriteString(c.head + "\n")
		for _, w := range c.words {
			b.WriteString("  " + w.nft + "\n")
			want = append(want, w)
		}
		b.WriteString(" }\n")
	}
	b.WriteString("}\n")
	cmd := exec.Command("unshare", "-n", "nft", "--debug=netlink", "-c", "-f", "-")
	cmd.Stdin = strings.NewReader(b.String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Skipf("skipped: nft in a namespace: %v: %s", err, out)
	}
	got := rulesOf(string(out))
	if len(got) != len(want) {
		t.Fatalf("nft printed %d rules for %d words:\n%s", len(got), len(want), out)
	}
	for i, w := range want {
		if s := say(w.exprs); s != got[i] {
			t.Errorf("%s\nours:\n%s\nnft's:\n%s", w.nft, s, got[i])
		}
	}
}

// rulesOf takes the lines in brackets of each rule apart.
func rulesOf(out string) []string {
	var rules []string
	var now []string
	for line := range strings.SplitSeq(out+"\n", "\n") {
		line = strings.TrimRight(line, " ")
		if strings.HasPrefix(line, "  [ ") {
			now = append(now, strings.Join(strings.Fields(line), " "))
		} else if len(now) > 0 {
			rules, now = append(rules, strings.Join(now, "\n")), nil
		}
	}
	return rules
}

// say writes expressions as libnftnl does, as far as words use them.
func say(exprs []nft.Expr) string {
	var out []string
	for _, e := range exprs {
		out = append(out, strings.Join(strings.Fields("[ "+sayOne(e)+" ]"), " "))
	}
	return strings.Join(out, "\n")
}

func sayOne(e nft.Expr) string {
	switch {
	case e.Meta != nil && e.Meta.Set:
		return fmt.Sprintf("meta set %s with reg %d", e.Meta.Key, e.Meta.Reg)
	case e.Meta != nil:
		return fmt.Sprintf("meta load %s => reg %d", e.Meta.Key, e.Meta.Reg)
	case e.Ct != nil && e.Ct.Set:
		return fmt.Sprintf("ct set %s with reg %d", e.Ct.Key, e.Ct.Reg)
	case e.Ct != nil:
		return fmt.Sprintf("ct load %s => reg %d", e.Ct.Key, e.Ct.Reg)
	case e.Cmp != nil:
		op := map[string]string{"==": "eq", "!=": "neq", ">=": "gte", "<=": "lte"}[e.Cmp.Op]
		return fmt.Sprintf("cmp %s reg %d %s", op, e.Cmp.Reg, hex(e.Cmp.Data))
	case e.Range != nil:
		op := map[string]string{"==": "eq", "!=": "neq"}[e.Range.Op]
		return fmt.Sprintf("range %s reg %d %s %s", op, e.Range.Reg, hex(e.Range.From), hex(e.Range.To))
	case e.Payload != nil:
		return fmt.Sprintf("payload load %db @ %s header + %d => reg %d", e.Payload.Len, e.Payload.Base, e.Payload.Offset, e.Payload.Reg)
	case e.Bitwise != nil:
		return fmt.Sprintf("bitwise reg %d = ( reg %d & %s ) ^ %s", e.Bitwise.Dst, e.Bitwise.Src, hex(e.Bitwise.Mask), hex(e.Bitwise.Xor))
	case e.Byteorder != nil:
		return fmt.Sprintf("byteorder reg %d = %s(reg %d, %d, %d)", e.Byteorder.Dst, e.Byteorder.Op, e.Byteorder.Src, e.Byteorder.Size, e.Byteorder.Len)
	case e.Lookup != nil:
		s := fmt.Sprintf("lookup reg %d set %s", e.Lookup.Reg, e.Lookup.Set)
		if e.Lookup.Map {
			s += fmt.Sprintf(" dreg %d", e.Lookup.Dst)
		}
		if e.Lookup.Invert {
			s += " 0x1"
		}
		return s
	case e.Verdict != nil:
		s := "immediate reg 0 " + e.Verdict.Kind
		if e.Verdict.Chain != "" {
			s += " -> " + e.Verdict.Chain
		}
		return s
	case e.Immediate != nil:
		return fmt.Sprintf("immediate reg %d %s", e.Immediate.Reg, hex(e.Immediate.Data))
	case e.Fib != nil:
		s := "fib " + strings.Join(e.Fib.Flags, " . ") + " "
		if e.Fib.Result == "present" {
			s += "oif present"
		} else {
			s += e.Fib.Result
		}
		return s + fmt.Sprintf(" => reg %d", e.Fib.Reg)
	case e.Counter != nil:
		return "counter pkts 0 bytes 0"
	case e.Limit != nil:
		per := map[uint64]string{1: "second", 60: "minute"}[e.Limit.Per]
		return fmt.Sprintf("limit rate %d/%s burst %d type packets flags 0x0", e.Limit.Rate, per, e.Limit.Burst)
	case e.Log != nil && e.Log.Group != nil:
		return fmt.Sprintf("log prefix %s group %d snaplen 0 qthreshold 0", e.Log.Prefix, *e.Log.Group)
	case e.Log != nil:
		return "log prefix " + e.Log.Prefix
	case e.DynSet != nil:
		return fmt.Sprintf("dynset %s reg_key %d set %s expr [ %s ]", e.DynSet.Op, e.DynSet.Reg, e.DynSet.Set, sayOne(e.DynSet.Exprs[0]))
	case e.Reject != nil:
		return fmt.Sprintf("reject type %d code %d", map[string]int{"icmp": 0, "tcp reset": 1, "icmpx": 2}[e.Reject.Type], e.Reject.Code)
	case e.Rt != nil:
		return fmt.Sprintf("rt load %s => reg %d", e.Rt.Key, e.Rt.Reg)
	case e.Exthdr != nil:
		return fmt.Sprintf("exthdr write tcpopt reg %d => %db @ %d + %d", e.Exthdr.Reg, e.Exthdr.Len, e.Exthdr.Type, e.Exthdr.Offset)
	case e.Masq != nil:
		return "masq"
	}
	return sayNAT(e)
}

func sayNAT(e nft.Expr) string {
	reg := func(name string, r uint32) string {
		if r == 0 {
			return ""
		}
		return fmt.Sprintf(" %s reg %d", name, r)
	}
	flags := 0
	if e.Redir != nil {
		s := "redir" + reg("proto_min", e.Redir.PortMin) + reg("proto_max", e.Redir.PortMax)
		if e.Redir.PortMin != 0 {
			s += " flags 0x2" // NF_NAT_RANGE_PROTO_SPECIFIED: the codec's to say
		}
		return s
	}
	if e.NAT == nil {
		return fmt.Sprintf("%+v", e)
	}
	n := e.NAT
	if n.PortMin != 0 {
		flags |= 2
	}
	for _, f := range n.Flags {
		flags |= map[string]int{"prefix": 0x40}[f]
	}
	s := "nat " + n.Kind + " " + n.Family + reg("addr_min", n.AddrMin) + reg("addr_max", n.AddrMax) + reg("proto_min", n.PortMin) + reg("proto_max", n.PortMax)
	if flags != 0 {
		s += fmt.Sprintf(" flags 0x%x", flags)
	}
	return s
}

// hex writes data in words as the machine (little-endian here, as nft itself) reads them.
func hex(b []byte) string {
	var out []string
	for len(b) > 0 {
		var w [4]byte
		n := copy(w[:], b)
		b = b[n:]
		out = append(out, fmt.Sprintf("0x%02x%02x%02x%02x", w[3], w[2], w[1], w[0]))
	}
	return strings.Join(out, " ")
}
