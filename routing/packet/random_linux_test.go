package packet

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// grammar makes rulesets that nft takes.
type grammar struct {
	*rand.Rand
	b strings.Builder
}

func (g *grammar) pick(s ...string) string { return s[g.IntN(len(s))] }

// match is one condition that the hook allows.
func (g *grammar) match(hook string) string {
	devs := []string{`"lan0"`, `"wan0"`, `"wan*"`, `{ "lan0", "wan1" }`, `!= "lan0"`, `"lo"`}
	all := []string{
		"ip saddr " + g.pick("10.55.0.2", "10.0.0.0/8", "10.55.0.1-10.55.0.9", "{ 10.55.0.2, 192.0.2.0/24 }", "!= 10.55.0.2", "@nets", "& 0.0.0.3 == 0.0.0.2"),
		"ip daddr " + g.pick("1.1.1.1", "192.0.2.0/24", "1.0.0.0-1.255.255.255", "@nets", "!= { 1.1.1.1, 10.55.0.1 }"),
		"ip6 saddr " + g.pick("fd55::2", "fd55::/64", "@nets6"),
		"ip6 daddr " + g.pick("2001:db8:9::1", "2000::/3", "!= fe80::/10"),
		g.pick("tcp", "udp") + " dport " + g.pick("53", "80", "1-100", "!= 53", "{ 22, 53, 80-90 }", "> 60"),
		g.pick("tcp", "udp") + " sport " + g.pick("1024-65535", "< 1024", "53"),
		"meta l4proto " + g.pick("tcp", "udp", "{ tcp, udp } th dport 53", "{ icmp, ipv6-icmp }", "!= tcp"),
		"meta nfproto " + g.pick("ipv4", "ipv6"),
		"ct state " + g.pick("new", "established", "established,related", "invalid", "{ new, untracked }", "!= new"),
		"ct status " + g.pick("dnat", "snat", "snat,dnat", "seen-reply"),
		"ct direction " + g.pick("original", "reply"),
		"ct mark " + g.pick("0", "!= 0", "0x10", "& 0xf0 == 0x10"),
		"meta mark " + g.pick("0", "!= 0", "0x10", "& 0xf0 == 0x10", "1-32", "@marks"),
		"fib daddr type " + g.pick("local", "unicast", "{ local, broadcast }", "!= local"),
		"icmp type " + g.pick("echo-request", "echo-reply", "{ echo-request, destination-unreachable }"),
		"icmpv6 type " + g.pick("echo-request", "echo-reply"),
		"tcp flags " + g.pick("syn", "syn / syn,ack", "& (syn|ack) == (syn|ack)", "! syn"),
		"meta pkttype " + g.pick("host", "{ broadcast, multicast }"),
		"limit rate " + g.pick("1000/second burst 1000 packets", "over 1000/second burst 1000 packets"),
		"ip dscp cs0", "ip ttl > 70", "ip6 hoplimit 70-80", "ip protocol tcp", "ip saddr . ip daddr { 10.55.0.2 . 1.1.1.1, 10.55.0.2 . 192.0.2.1 }",
		"ct original ip daddr 1.1.1.1", "ct reply ip saddr 1.1.1.1", "meta protocol ip6",
	}
	if hook != "output" && hook != "postrouting" {
		all = append(all, "iifname "+g.pick(devs...), "fib saddr . iif oif "+g.pick("missing", "exists"), "iif lo")
	}
	if hook == "forward" || hook == "output" || hook == "postrouting" {
		all = append(all, "oifname "+g.pick(devs...), "rt ip nexthop 192.0.2.254", "oif != lo")
	}
	return g.pick(all...)
}

// verdict ends a rule; jumps go to chains that come later, so that there are no loops.
func (g *grammar) verdict(hook string, chains int) string {
	switch g.IntN(9) {
	case 0, 1, 2:
		return "accept"
	case 3:
		return "drop"
	case 4:
		return "return"
	case 5:
		if hook == "prerouting" || hook == "postrouting" {
			return "drop"
		}
		return g.pick("reject", "reject with icmpx admin-prohibited")
	}
	if chains == 0 {
		return "continue"
	}
	return g.pick("jump", "goto") + fmt.Sprintf(" %s%d", hook, g.IntN(chains))
}

func (g *grammar) rule(hook string, chains int) string {
	var w []string
	for range g.IntN(3) {
		w = append(w, g.match(hook))
	}
	switch g.IntN(6) {
	case 0:
		w = append(w, "meta mark set "+g.pick("0x10", "0x1", "0", "ct mark", "meta mark or 0x4", "meta mark and 0xf0", "ip daddr map @bymark"))
	case 1:
		w = append(w, "ct mark set "+g.pick("0x10", "meta mark", "0x1"))
	case 2:
		if hook != "postrouting" && hook != "output" {
			w = append(w, "iifname vmap { "+g.pick(`"lan0" : accept, "wan0" : continue`, `"wan0" : drop`, `"wan0" : return, "lo" : accept`)+" }")
			return strings.Join(w, " ")
		}
	case 3:
		w = append(w, "counter")
	}
	return strings.Join(append(w, g.verdict(hook, chains)), " ")
}

func (g *grammar) nat(hook string) string {
	m := g.match(hook)
	if strings.HasPrefix(m, "limit") { // nat chains see first packets only; keep them few
		m = "meta nfproto ipv4"
	}
	switch hook {
	case "prerouting", "output":
		return m + " " + g.pick("dnat ip to 10.55.0.2", "dnat ip to 203.0.113.7", "meta l4proto tcp dnat ip to 10.55.0.2:8080", "meta l4proto udp redirect to :5353", "dnat ip6 to fd55::2", "accept", "dnat ip to 10.55.0.1")
	case "input":
		return m + " " + g.pick("snat ip to 10.99.0.1", "accept")
	}
	return m + " " + g.pick("masquerade", "snat ip to 192.0.2.77", "meta nfproto ipv4 masquerade", "snat ip6 prefix to 2001:db8:77::/64", "accept", "snat ip to ip saddr map { 10.55.0.2 : 192.0.2.9 }")
}

func (g *grammar) ruleset() string {
	for i := range 1 + g.IntN(2) {
		fmt.Fprintf(&g.b, "table inet t%d {\n", i)
		g.b.WriteString("set nets { type ipv4_addr; flags interval; elements = { 10.55.0.0/24, 1.1.1.0-1.1.1.7 }; }\n")
		g.b.WriteString("set nets6 { type ipv6_addr; flags interval; elements = { fd55::/16, 2001:db8:9::/48 }; }\n")
		g.b.WriteString("set marks { type mark; elements = { 1, 0x10 }; }\n")
		g.b.WriteString("map bymark { type ipv4_addr : mark; flags interval; elements = { 1.1.1.0/24 : 0x10, 192.0.2.0/24 : 0x3 }; }\n")
		hooks := []string{"prerouting", "input", "forward", "output", "postrouting"}
		for range 1 + g.IntN(4) {
			hook := g.pick(hooks...)
			if strings.Contains(g.b.String(), fmt.Sprintf("chain base%d-%s ", i, hook)) {
				continue
			}
			sub := g.IntN(3)
			if strings.Contains(g.b.String(), fmt.Sprintf("table inet t%d", i)) && strings.Contains(g.b.String()[strings.LastIndex(g.b.String(), "table inet"):], "chain "+hook+"0") {
				sub = 0
			}
			for k := range sub {
				fmt.Fprintf(&g.b, "chain %s%d {\n", hook, k)
				for range 1 + g.IntN(3) {
					fmt.Fprintln(&g.b, g.rule(hook, k))
				}
				g.b.WriteString("}\n")
			}
			kind := "filter"
			if hook == "output" && g.IntN(2) == 0 {
				kind = "route"
			}
			policy := "accept"
			if g.IntN(5) == 0 {
				policy = "drop"
			}
			fmt.Fprintf(&g.b, "chain base%d-%s { type %s hook %s priority %d; policy %s;\n", i, hook, kind, hook, []int{-300, -150, -10, 0, 0, 0, 50, 150}[g.IntN(8)], policy)
			for range 1 + g.IntN(4) {
				fmt.Fprintln(&g.b, g.rule(hook, sub))
			}
			g.b.WriteString("}\n")
		}
		for _, hook := range []string{"prerouting", "input", "output", "postrouting"} {
			if g.IntN(3) != 0 {
				continue
			}
			fmt.Fprintf(&g.b, "chain nat%d-%s { type nat hook %s priority %d;\n", i, hook, hook, []int{-100, 0, 100}[g.IntN(3)])
			for range 1 + g.IntN(2) {
				fmt.Fprintln(&g.b, g.nat(hook))
			}
			g.b.WriteString("}\n")
		}
		g.b.WriteString("}\n")
	}
	return g.b.String()
}

func (g *grammar) packet() Packet {
	proto := g.pick("udp", "udp", "tcp", "tcp", "icmp")
	p := Packet{Proto: proto}
	if proto != "icmp" {
		p.Dport = []uint16{22, 53, 80, 443, 8080}[g.IntN(5)]
	}
	six := g.IntN(3) == 0
	switch g.IntN(4) {
	case 0, 1:
		p.In, p.From, p.To = "lan0", addr("10.55.0.2"), addr(g.pick("1.1.1.1", "192.0.2.200", "10.55.0.1", "192.0.2.1", "203.0.113.5"))
		if six {
			p.From, p.To = addr("fd55::2"), addr(g.pick("2001:db8:9::1", "fd55::1", "2001:db8:2::1"))
		}
	case 2:
		p.In, p.From, p.To = "wan0", addr(g.pick("1.1.1.1", "192.0.2.200")), addr(g.pick("192.0.2.1", "10.55.0.2"))
		if six {
			p.From, p.To = addr("2001:db8:9::1"), addr(g.pick("2001:db8:2::1", "fd55::2"))
		}
	default:
		p.From, p.To = addr("192.0.2.1"), addr(g.pick("1.1.1.1", "192.0.2.1", "10.55.0.2"))
		if six {
			p.From, p.To = addr("2001:db8:2::1"), addr("2001:db8:9::1")
		}
		if g.IntN(3) == 0 {
			p.Mark = 0x10
		}
	}
	return p
}

// loadSome takes away the lines that nft finds senseless (two families in one rule).
func (l *lab) loadSome(text string) string {
	l.t.Helper()
	at := regexp.MustCompile(`stdin:(\d+):`)
	for range 60 {
		err := l.tryLoad(text)
		if err == nil {
			return text
		}
		m := at.FindStringSubmatch(err.Error())
		if m == nil {
			l.t.Fatal(err)
		}
		n, _ := strconv.Atoi(m[1])
		lines := strings.Split(text, "\n")
		if strings.HasSuffix(lines[n-1], "{") || strings.HasPrefix(lines[n-1], "chain") || strings.HasPrefix(lines[n-1], "}") {
			l.t.Fatal(err)
		}
		text = strings.Join(append(lines[:n-1:n-1], lines[n:]...), "\n")
	}
	l.t.Fatal("nft takes nothing of the ruleset")
	return ""
}

// TestRandomRules loads random rulesets and sends random packets: the kernel and the simulator
// must agree on each. PACKET_TEST_RULESETS asks for more of them than usual.
func TestRandomRules(t *testing.T) {
	l := newLab(t)
	count := 20
	if n, err := strconv.Atoi(os.Getenv("PACKET_TEST_RULESETS")); err == nil {
		count = n
	}
	start := uint64(1)
	if n, err := strconv.ParseUint(os.Getenv("PACKET_TEST_SEED"), 10, 64); err == nil {
		start = n
	}
	passed := 0
	for i := range uint64(count) {
		seed := start + i
		g := &grammar{Rand: rand.New(rand.NewPCG(seed, 19))}
		text := l.loadSome(g.ruleset())
		w := l.world()
		for range 5 {
			p := g.packet()
			if r := Explain(w, p); r.Verdict == Leaves || r.Verdict == Delivered {
				passed++
			}
			l.compare(fmt.Sprintf("seed %d", seed), w, p)
		}
		l.wipe(w)
		if t.Failed() {
			t.Logf("the ruleset of seed %d:\n%s", seed, text)
			return
		}
	}
	t.Logf("%d rulesets, %d packets, %d of them pass", count, count*5, passed)
	if passed*5 < count*5 {
		t.Errorf("only %d of %d packets pass: the rulesets prove little", passed, count*5)
	}
}
