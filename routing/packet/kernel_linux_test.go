package packet

import (
	"net/netip"
	"testing"
)

var addr = netip.MustParseAddr

// compare follows a flow: its first packet, the answer, and a second packet.
func (l *lab) compare(name string, w World, p Packet) {
	l.t.Helper()
	p.TTL, p.Reply = 77, true
	if p.Sport == 0 {
		l.ports++
		p.Sport = l.ports
	}
	r := Explain(w, p)
	got := l.send(p, 0)
	fail := func(what string, r Result, got seen) {
		l.t.Helper()
		l.t.Errorf("%s: %s: the kernel says %v, the simulator %v\n%s", name, what, got, says(r), r.Text())
	}
	if !r.Certain {
		l.t.Errorf("%s: uncertain\n%s", name, r.Text())
	}
	if got != says(r) {
		fail("first packet", r, got)
		return
	}
	if r.Verdict != Leaves || r.Dev == "wan1" || r.Dev == "lan0" || r.Reply == nil {
		return
	}
	a := r.Reply.packet
	a.TTL = 77
	if a.Proto == "icmp" {
		a.Sport = p.Sport
	}
	got = l.send(a, 0)
	if want := says(*r.Reply); got != want {
		fail("answer", *r.Reply, got)
		return
	}
	if p.In == "" { // its own TCP knows nothing of the flow and resets it
		return
	}
	l.forget() // the second packet looks like the first
	p.State = Established
	e := Explain(w, p)
	p.Flags = flagACK
	if got = l.send(p, 1); got != says(e) {
		fail("second packet", e, got)
	}
}

// TestAgainstKernel sends packets through rulesets that nft has loaded.
func TestAgainstKernel(t *testing.T) {
	l := newLab(t)
	lan := func(proto, to string, port uint16) Packet {
		p := Packet{From: addr("10.55.0.2"), To: addr(to), Proto: proto, Dport: port, In: "lan0"}
		if p.To.Is6() {
			p.From = addr("fd55::2")
		}
		return p
	}
	here := func(proto, from, to string, port uint16) Packet {
		return Packet{From: addr(from), To: addr(to), Proto: proto, Dport: port}
	}
	standard := []Packet{
		lan("udp", "1.1.1.1", 53), lan("tcp", "1.1.1.1", 443), lan("icmp", "1.1.1.1", 0), lan("tcp", "10.55.0.1", 22),
		lan("udp", "192.0.2.1", 53), lan("udp", "203.0.113.9", 123), lan("udp", "203.0.114.9", 123),
		lan("udp", "2001:db8:9::1", 53), lan("tcp", "2001:db8:9::1", 443), lan("icmp", "2001:db8:9::1", 0), lan("tcp", "fd55::1", 22),
		here("udp", "192.0.2.1", "1.1.1.1", 53), here("tcp", "192.0.2.1", "1.1.1.1", 443),
		here("udp", "10.55.0.1", "10.55.0.1", 53), here("udp", "127.0.0.1", "127.0.0.1", 53), here("udp", "2001:db8:2::1", "2001:db8:9::1", 53),
		{From: addr("1.1.1.1"), To: addr("192.0.2.1"), Proto: "tcp", Dport: 80, In: "wan0"},
		{From: addr("1.1.1.1"), To: addr("10.55.0.2"), Proto: "udp", Dport: 80, In: "wan0"},
		{From: addr("2001:db8:9::1"), To: addr("fd55::2"), Proto: "tcp", Dport: 80, In: "wan0"},
	}
	for _, tt := range []struct {
		name, rules string
		packets     []Packet
	}{
		{"no rules", "", nil},
		{"accept ends only its own chain", `
			table inet x { chain f { type filter hook forward priority 0; policy drop; accept; } }
			table inet y { chain f { type filter hook forward priority 10; policy accept; udp dport 53 drop; } }`, nil},
		{"classic", `
			table inet x {
				set admins { type ipv4_addr; flags interval; elements = { 10.55.0.0/29, 192.0.2.7 } }
				chain in { type filter hook input priority filter; policy drop;
					iif lo accept
					ct state vmap { established : accept, related : accept, invalid : drop }
					ip saddr @admins tcp dport 22 accept
					icmp type echo-request iifname "lan*" accept
					ip6 saddr fd55::/64 tcp dport 22 accept
					meta l4proto { tcp, udp } th dport 53 iifname != "wan0" accept
					reject
				}
				chain across { type filter hook forward priority filter; policy drop;
					ct state established,related accept
					ct status dnat accept
					iifname "lan0" oifname { "wan0", "wan1" } jump out
				}
				chain out { udp dport 123 return; tcp dport 1-1023 accept; udp dport { 53, 443 } accept; meta l4proto { icmp, ipv6-icmp } accept; }
				chain pre { type nat hook prerouting priority dstnat; iifname "wan0" ip daddr 192.0.2.1 tcp dport 80 dnat ip to 10.55.0.2:8080; }
				chain post { type nat hook postrouting priority srcnat; oifname "wan*" meta nfproto ipv4 masquerade; ip6 saddr fd55::/64 oifname "wan0" snat ip6 prefix to 2001:db8:77::/64; }
			}`, nil},
		{"marks choose the way", `
			table inet x {
				chain pre { type filter hook prerouting priority mangle; ct mark != 0 meta mark set ct mark; ct state new udp dport 53 meta mark set 0x10; tcp dport 443 meta mark set 0x20; ct state new ct mark set meta mark; }
				chain out { type route hook output priority mangle; udp dport 53 meta mark set 0x10; }
				chain post { type nat hook postrouting priority srcnat; meta nfproto ipv4 masquerade; }
			}`, nil},
		{"a mark in a filter chain of output comes too late", `
			table inet x { chain out { type filter hook output priority mangle; udp dport 53 meta mark set 0x10; } }`, nil},
		{"redirect and own dnat", `
			table inet x {
				chain pre { type nat hook prerouting priority dstnat; iifname "lan0" udp dport 53 redirect to :5353; iifname "lan0" tcp dport 443 dnat ip to 203.0.113.7; }
				chain out { type nat hook output priority -100; udp dport 53 meta nfproto ipv4 dnat ip to 10.55.0.2:54; tcp dport 443 redirect to :8443; }
			}`, nil},
		{"nat chains run at nat's place whatever their priority", `
			table ip x {
				chain pre { type nat hook prerouting priority -150; dnat to 203.0.113.7; }
				chain seen { type filter hook prerouting priority -120; ip daddr 203.0.113.7 drop; }
				chain after { type filter hook prerouting priority 0; ip daddr 203.0.113.7 udp dport 53 drop; }
			}`, nil},
		{"of two at one place the later stands first", `
			table ip x { chain a { type filter hook prerouting priority 0; udp dport 53 meta mark set 0x10 accept; udp dport 123 meta mark set 0x20; } }
			table ip y { chain b { type filter hook prerouting priority 0; meta mark 0x10 drop; udp dport 123 meta mark set 0x10; } }`, nil},
		{"fib", `
			table inet x {
				chain pre { type filter hook prerouting priority -300; fib saddr . iif oif missing drop; fib daddr . iif type local tcp dport 22 meta mark set 1; fib daddr type unreachable drop; }
				chain across { type filter hook forward priority 0; fib daddr oifname "wan1" drop; fib saddr type != unicast drop; }
			}`, []Packet{{From: addr("203.0.113.5"), To: addr("192.0.2.1"), Proto: "udp", Dport: 9, In: "wan0"}, {From: addr("10.55.0.77"), To: addr("192.0.2.1"), Proto: "udp", Dport: 9, In: "wan0"}}},
		{"nat that changes nothing is none", `
			table inet x {
				chain post { type nat hook postrouting priority srcnat; oifname "wan0" masquerade; }
				chain after { type filter hook postrouting priority 150; ct status snat udp dport 53 drop; }
			}`, nil},
		{"notrack and goto", `
			table inet x {
				chain raw { type filter hook prerouting priority raw; udp dport 53 notrack; }
				chain across { type filter hook forward priority 0; policy drop; goto a; accept; }
				chain a { ct state untracked accept; meta l4proto tcp jump b; ip6 hoplimit < 70 drop; }
				chain b { tcp dport 443 return; accept; }
			}`, nil},
		{"early chains know no state", `
			table inet x { chain raw { type filter hook prerouting priority raw; ct state new drop; ct state invalid meta mark set 3; }
				chain out { type filter hook output priority raw; ct state new drop; } }`, nil},
		{"maps", `
			table inet x {
				map inner { type ipv4_addr . inet_service : ipv4_addr . inet_service; elements = { 192.0.2.1 . 80 : 10.55.0.2 . 81, 192.0.2.1 . 22 : 10.55.0.2 . 2222 } }
				map marks { type ifname : mark; elements = { "lan0" : 0x10, "wan0" : 0x4 } }
				map v { type ifname . ipv4_addr . inet_service : verdict; flags interval; elements = { "lan0" . 1.0.0.0/8 . 1-100 : drop, "lan0" . 192.0.2.0/24 . 80 : accept } }
				chain pre { type nat hook prerouting priority dstnat; dnat ip to ip daddr . tcp dport map @inner; }
				chain m { type filter hook prerouting priority mangle; meta mark set iifname map @marks; }
				chain f { type filter hook forward priority 0; iifname . ip daddr . udp dport vmap @v; meta l4proto tcp ct original proto-dst 80 ct status dnat accept; tcp dport 2222 drop; }
				chain s { type nat hook postrouting priority 200; snat ip to ip saddr map { 10.55.0.2 : 192.0.2.9 }; }
			}`, nil},
		{"sets that learn", `
			table inet x {
				set d { type ipv4_addr; flags dynamic,timeout; timeout 1h; }
				set e { type ipv4_addr; flags dynamic,timeout; timeout 1h; }
				chain f { type filter hook forward priority 0; udp dport 53 add @d { ip daddr }; ip daddr @d drop; udp dport 123 update @e { ip saddr limit rate over 100/second burst 50 packets } drop; }
			}`, nil},
		{"payload", `
			table inet x { chain f { type filter hook forward priority 0; @th,16,16 53 drop; tcp flags & (syn|ack) == syn tcp option maxseg size 1460 ip ttl 76 drop; ip dscp != cs0 drop; ip6 nexthdr icmpv6 drop; ip protocol 1 reject; } }`, nil},
		{"link header", `
			table inet x { chain f { type filter hook forward priority 0; ether type ip udp dport 53 drop; }
				chain o { type filter hook output priority 0; meta oiftype 772 udp dport 53 drop; } }`, nil},
	} {
		if tt.rules != "" {
			l.load(tt.rules)
		}
		w := l.world()
		for _, p := range append(standard[:len(standard):len(standard)], tt.packets...) {
			switch {
			case tt.name == "payload" && p.Proto != "udp":
				continue // a segment size or a checksum is the sender's: the simulator has to doubt
			case tt.name == "sets that learn":
				w = l.world()
			}
			l.compare(tt.name, w, p)
		}
		l.wipe(w)
	}
}

// wipe takes the rules away; flows are told apart by their ports.
func (l *lab) wipe(w World) {
	l.t.Helper()
	for _, t := range w.Tables {
		l.load("delete table " + t.Family + " " + t.Name + "\n")
	}
}

// TestSourceCheckAgainstKernel: rp_filter in all its combinations, sources that cannot be, and
// forwarding switched off.
func TestSourceCheckAgainstKernel(t *testing.T) {
	l := newLab(t)
	one := func(what, from, to string) {
		t.Helper()
		l.ports++
		p := Packet{From: addr(from), To: addr(to), Proto: "udp", Dport: 53, Sport: l.ports, In: "lan0", TTL: 77}
		r := Explain(World{Facts: l.facts}, p)
		if got := l.send(p, 0); got != says(r) || !r.Certain {
			t.Errorf("%s: %s to %s: the kernel says %v, the simulator %v\n%s", what, from, to, got, says(r), r.Text())
		}
	}
	for _, all := range []string{"0", "1", "2"} {
		for _, dev := range []string{"0", "1", "2"} {
			l.r.Sh("sysctl -qw net.ipv4.conf.all.rp_filter=" + all + "\nsysctl -qw net.ipv4.conf.lan0.rp_filter=" + dev)
			l.facts = factsOf(t, l.r)
			for _, from := range []string{"10.55.0.77", "192.0.2.99", "203.0.114.9", "100.64.0.1", "192.0.2.1"} {
				one("rp_filter "+all+" "+dev, from, "1.1.1.1")
				one("rp_filter "+all+" "+dev, from, "192.0.2.1")
			}
		}
	}
	l.r.Sh("sysctl -qw net.ipv4.conf.all.rp_filter=0\nsysctl -qw net.ipv4.conf.lan0.rp_filter=0")
	l.facts = factsOf(t, l.r)
	for _, from := range []string{"127.0.0.9", "224.0.0.5", "10.55.0.255", "255.255.255.255", "10.55.0.2"} {
		one("sources", from, "1.1.1.1")
	}
	for _, to := range []string{"10.55.0.255", "192.0.2.255", "127.0.0.1", "203.0.114.1"} {
		one("destinations", "10.55.0.2", to)
	}
	l.r.Sh("sysctl -qw net.ipv4.ip_forward=0\nsysctl -qw net.ipv6.conf.all.forwarding=0")
	l.facts = factsOf(t, l.r)
	one("no forwarding", "10.55.0.2", "1.1.1.1")
	one("no forwarding", "10.55.0.2", "192.0.2.1")
	one("no forwarding", "fd55::2", "2001:db8:9::1")
	one("no forwarding", "fd55::2", "2001:db8:2::1")
	// A device without an address: loose is as strict.
	l.r.Sh("sysctl -qw net.ipv4.ip_forward=1\nip addr flush dev lan0")
	for _, mode := range []string{"0", "2"} {
		l.r.Sh("sysctl -qw net.ipv4.conf.lan0.rp_filter=" + mode)
		l.facts = factsOf(t, l.r)
		for _, from := range []string{"10.55.0.2", "192.0.2.99", "100.64.0.1"} {
			one("no address, rp_filter "+mode, from, "192.0.2.1")
			one("no address, rp_filter "+mode, from, "198.51.100.9")
		}
	}
}
