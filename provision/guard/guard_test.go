package guard

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/facts/fib"
)

var (
	addr     = netip.MustParseAddr
	prefix   = netip.MustParsePrefix
	addrPort = netip.MustParseAddrPort
)

func machine(ssh ...facts.Session) *facts.Facts {
	return &facts.Facts{
		Links: []facts.Link{{Index: 2, Name: "eth0", Up: true}, {Index: 3, Name: "eth1", Up: true}},
		Addrs: []facts.Address{
			{Link: 2, Prefix: prefix("10.0.2.15/24"), Scope: "global"},
			{Link: 3, Prefix: prefix("192.168.76.10/24"), Scope: "global"},
			{Link: 3, Prefix: prefix("2001:db8:76::10/64"), Scope: "global"},
		},
		Routes: []facts.Route{
			{Dst: prefix("0.0.0.0/0"), Gateway: addr("10.0.2.2"), Link: 2, Metric: 100, Table: 254, Type: "unicast"},
			{Dst: prefix("0.0.0.0/0"), Gateway: addr("192.168.76.1"), Link: 3, Metric: 200, Table: 254, Type: "unicast"},
			{Dst: prefix("10.0.2.0/24"), Link: 2, Table: 254, Type: "unicast", Scope: "link"},
			{Dst: prefix("192.168.76.0/24"), Link: 3, Table: 254, Type: "unicast", Scope: "link"},
			{Dst: prefix("::/0"), Gateway: addr("fe80::1"), Link: 3, Metric: 100, Table: 254, Type: "unicast"},
		},
		SSH: ssh,
	}
}

func TestPredict(t *testing.T) {
	vagrant := facts.Session{Local: addrPort("10.0.2.15:22"), Remote: addrPort("10.0.2.2:50000"), Mine: true}
	far := facts.Session{Local: addrPort("10.0.2.15:22"), Remote: addrPort("203.0.113.5:50000")}
	six := facts.Session{Local: addrPort("[2001:db8:76::10]:22"), Remote: addrPort("[2001:db8:f::5]:50000")}
	self := facts.Session{Local: addrPort("10.0.2.15:22"), Remote: addrPort("10.0.2.15:50000")}
	mapped := facts.Session{Local: addrPort("[::ffff:10.0.2.15]:22"), Remote: addrPort("[::ffff:10.0.2.2]:50000")}

	metric := func(f *facts.Facts) { f.Routes[0].Metric = 1000 }
	drop4 := func(f *facts.Facts) { f.Routes = f.Routes[2:] }
	drop6 := func(f *facts.Facts) { f.Routes = f.Routes[:4] }
	noAddr := func(f *facts.Facts) { f.Addrs = f.Addrs[1:] }
	none := func(*facts.Facts) {}
	for _, c := range []struct {
		name        string
		s           facts.Session
		change      func(*facts.Facts)
		lost, moved bool
		text        string
	}{
		{"vagrant's session does not depend on the default route", vagrant, metric, false, false,
			"SSH session from 10.0.2.2 (yours): through eth0, on the link, stays"},
		{"mapped", mapped, drop4, false, false, "SSH session from 10.0.2.2: through eth0, on the link, stays"},
		{"routed session moves", far, metric, false, true,
			"SSH session from 203.0.113.5: through eth0 via 10.0.2.2 now, then through eth1 via 192.168.76.1 (with the source address 10.0.2.15 of eth0: a router that checks sources or keeps states may drop it)"},
		{"default routes go", far, drop4, true, false,
			"SSH session from 203.0.113.5: through eth0 via 10.0.2.2 now, would be lost: no way (no route)"},
		{"IPv6 default goes", six, drop6, true, false,
			"SSH session from 2001:db8:f::5: through eth1 via fe80::1 now, would be lost: no way (no route)"},
		{"address goes", vagrant, noAddr, true, false,
			"SSH session from 10.0.2.2 (yours): would be lost: its address 10.0.2.15 on this machine goes away"},
		{"inside", self, drop4, false, false, "SSH session from 10.0.2.15: inside this machine, not affected"},
		{"nothing", far, none, false, false, "SSH session from 203.0.113.5: through eth0 via 10.0.2.2, stays"},
	} {
		before, after := machine(c.s), machine(c.s)
		c.change(after)
		f := Predict(before, after)
		if len(f) != 1 || f[0].Lost != c.lost || f[0].Moved != c.moved || f[0].Text != c.text {
			t.Errorf("%s: got %+v", c.name, f)
		}
		if (f.Lost() != "") != c.lost {
			t.Errorf("%s: Lost() is %q", c.name, f.Lost())
		}
	}
	stuck := machine(far)
	drop4(stuck)
	if f := Predict(stuck, stuck); f[0].Lost || !strings.Contains(f[0].Text, "already") {
		t.Errorf("no way before and after: %+v", f)
	}
}

func TestSessions(t *testing.T) {
	s := Sessions(machine(facts.Session{Local: addrPort("10.0.2.15:22"), Remote: addrPort("203.0.113.5:50000")}))
	if len(s) != 1 || s[0].Link != "eth0" || s[0].OnLink || s[0].NextHop != addr("10.0.2.2") || s[0].Kind != fib.Unicast ||
		s[0].Route != "default via 10.0.2.2 dev eth0 metric 100" {
		t.Errorf("got %+v", s)
	}
}

// TestJudge walks through looks, 0.25 s apart.
func TestJudge(t *testing.T) {
	gw := path{Index: 2, Link: "eth0", NextHop: addr("10.0.2.2")}
	other := path{Index: 3, Link: "eth1", NextHop: addr("192.168.76.1")}
	idle := func(int) *flow { return &flow{Acked: 10, Received: 10} }
	flowing := func(i int) *flow { return &flow{Acked: uint64(i), Unacked: 1} }
	stuck := func(i int) *flow {
		if i == 0 {
			return &flow{Acked: 10}
		}
		return &flow{Acked: 10, Unacked: 2, Retransmits: uint8(i / 3)}
	}
	stuckBefore := func(i int) *flow { return &flow{Acked: 10, Unacked: 2, Retransmits: uint8(3 + i/3)} }
	unknown := func(int) *flow { return nil }
	answers := func(int) hopState { return hopState{Probeable: true, Answered: true} }
	never := func(i int) hopState { return hopState{Probeable: true, Unanswered: i} }
	noHop := func(int) hopState { return hopState{} }
	stops := func(i int) hopState {
		return hopState{Probeable: true, Answered: true, Silent: time.Duration(i) * probeGap, Unanswered: i}
	}
	notAsked := func(i int) hopState {
		return hopState{Probeable: true, Answered: true, Silent: time.Duration(i) * time.Second, Unanswered: 2}
	}
	always := func(p path) func(int) path { return func(int) path { return p } }
	broken := func(from, to int) func(int) path {
		return func(i int) path {
			if i >= from && i < to {
				return path{Broken: "no route to 10.0.2.2"}
			}
			return gw
		}
	}
	moves := func(i int) path {
		if i == 0 {
			return gw
		}
		return other
	}
	for _, c := range []struct {
		name string
		flow func(int) *flow
		path func(int) path
		hop  func(int) hopState
		lost float64 // seconds until the loss is told, 0: never
		text string
	}{
		{"idle and silent next hop", idle, always(gw), stops, 2.5, "the next hop 10.0.2.2 on eth0 has not answered ARP for 2.5 s (the session is idle"},
		{"idle and well", idle, always(gw), answers, 0, "idle, its next hop 10.0.2.2 on eth0 answers ARP"},
		{"TCP flows though the neighbour is silent", flowing, always(gw), stops, 0, "TCP makes progress"},
		{"the neighbour never answers", idle, always(gw), never, 0, "cannot be asked"},
		{"no Ethernet, TCP stuck", stuck, always(gw), noHop, 3.25, "TCP has had 2 unacknowledged segments for 3.0 s"},
		{"the neighbour answers, TCP stuck", stuck, always(gw), answers, 3.25, "unacknowledged"},
		{"dead before", stuckBefore, always(gw), never, 0, "was dead before"},
		{"no route before", idle, broken(0, 99), noHop, 0, "was dead before"},
		{"route goes", idle, broken(2, 99), answers, 3, "no route to 10.0.2.2 for 2.5 s"},
		{"route comes back", idle, broken(2, 8), answers, 0, "answers ARP"},
		{"new next hop never answers", idle, moves, never, 2.75, "the next hop 192.168.76.1 on eth1"},
		{"new next hop answers", idle, moves, answers, 0, "192.168.76.1 on eth1 answers"},
		{"nobody has asked for long", idle, always(gw), notAsked, 0, "answers ARP"},
		{"kernel without tcp_diag", unknown, always(gw), stops, 2.5, "the kernel does not show the TCP state"},
	} {
		tr := track{name: "S"}
		begin := time.Unix(1000, 0)
		lost, text := 0.0, ""
		for i := range 30 {
			s := sample{Now: begin.Add(time.Duration(i) * probeGap), Flow: c.flow(i), Path: c.path(i), Hop: c.hop(i)}
			why := tr.judge(s)
			text = tr.evidence(s)
			if why != "" {
				lost, text = float64(i)*probeGap.Seconds(), why
				break
			}
		}
		if lost != c.lost || !strings.Contains(text, c.text) {
			t.Errorf("%s: lost after %v s (%s), want %v s and %q", c.name, lost, text, c.lost, c.text)
		}
	}
	tr := track{name: "S"}
	if why := tr.judge(sample{Now: time.Unix(1, 0), Closed: true}); why != "" {
		t.Errorf("closed session: %s", why)
	}
}

func TestPackets(t *testing.T) {
	mac := net.HardwareAddr{8, 0, 0x27, 1, 2, 3}
	from, who, ok := arpSender(arpRequest(mac, addr("10.0.2.15"), addr("10.0.2.2")))
	if !ok || from != addr("10.0.2.15") || who.String() != mac.String() {
		t.Errorf("ARP: %v %v %v", from, who, ok)
	}
	ns, dst := solicit(mac, addr("fe80::15"), addr("2001:db8::12:3456"))
	if dst.String() != "33:33:ff:12:34:56" {
		t.Errorf("solicited-node group: %v", dst)
	}
	if _, ok := advertised(ns); ok {
		t.Error("a solicitation was taken for an advertisement")
	}
	if checksum(ns[8:40], ns[40:]) != 0 {
		t.Error("the checksum of a whole packet is not zero")
	}
	ns[40] = 136
	if a, ok := advertised(ns); !ok || a != addr("2001:db8::12:3456") {
		t.Errorf("advertisement: %v %v", a, ok)
	}
}

func FuzzPackets(f *testing.F) {
	f.Add(arpRequest(net.HardwareAddr{8, 0, 0x27, 1, 2, 3}, addr("10.0.2.15"), addr("10.0.2.2")))
	ns, _ := solicit(net.HardwareAddr{8, 0, 0x27, 1, 2, 3}, addr("fe80::1"), addr("fe80::2"))
	f.Add(ns)
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, _, ok := arpSender(b); ok && !a.Is4() {
			t.Error(a)
		}
		if a, ok := advertised(b); ok && !a.Is6() {
			t.Error(a)
		}
	})
}
