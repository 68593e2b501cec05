package dhcp4

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

func TestNewRules(t *testing.T) {
	for _, tt := range []struct {
		change func(*Network)
		want   string
	}{
		{func(n *Network) { n.Name = "" }, `network "": it has no name`},
		{func(n *Network) { n.Prefix = netip.Prefix{} }, "it has no IPv4 prefix"},
		{func(n *Network) { n.Prefix = prefix("fd00::/64") }, "it has no IPv4 prefix"},
		{func(n *Network) { n.Link = "" }, "it is on no link and behind no relay agent"},
		{func(n *Network) { n.Link = "[" }, `"[" is not a pattern`},
		{func(n *Network) { n.Min = 3 * time.Hour }, "lease time 1h0m0s is not between 3h0m0s and 2h0m0s"},
		{func(n *Network) { n.T1, n.T2 = time.Hour, time.Minute }, "T1 1h0m0s is not before T2 1m0s"},
		{func(n *Network) { n.IPv6Only = time.Minute }, "5 minutes"},
		{func(n *Network) { n.MTU = 60 }, "less than 68"},
		{func(n *Network) { n.DNS = []netip.Addr{addr("fe80::1")} }, "fe80::1 is not an IPv4 address"},
		{func(n *Network) { n.Routes = []netip.Prefix{prefix("fd00::/64")} }, "fd00::/64 is not an IPv4 network"},
		{func(n *Network) { n.Search = []string{"a..b"} }, "empty label"},
	} {
		n := lab()
		tt.change(&n)
		if _, err := NewRules(Config{Networks: []Network{n}}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
	if _, err := NewRules(Config{Networks: []Network{lab(), lab()}}); err == nil || !strings.Contains(err.Error(), "two of that name") {
		t.Error(err)
	}
	r, err := NewRules(Config{Networks: []Network{{Name: "n", Link: "usb*", Prefix: prefix("10.0.0.7/30")}}})
	if err != nil {
		t.Fatal(err)
	}
	n := r.networks[0]
	if n.Lease != time.Hour || n.Min != 2*time.Minute || n.Max != time.Hour || n.Prefix.String() != "10.0.0.4/30" || n.broadcast.String() != "10.0.0.7" ||
		n.mask != [4]byte{255, 255, 255, 252} || n.Flood != DefaultFlood {
		t.Errorf("%+v", n)
	}
	if got := r.Networks("usb0"); len(got) != 1 || len(r.Networks("eth0")) != 0 {
		t.Errorf("%v", got)
	}
}

// Every reason is another word, and some packet in these tests, or an effect of Server, has each of them.
func TestReasons(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	ast.Inspect(f, func(n ast.Node) bool {
		s, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		word := s.Values[0].(*ast.BasicLit).Value
		if o := seen[word]; o != "" || strings.Trim(word, `"abcdefghijklmnopqrstuvwxyz0123456789-`) != "" {
			t.Errorf("%s: %s is %s already, or no word", s.Names[0], word, o)
		}
		seen[word] = s.Names[0].Name
		return true
	})
	if len(seen) < 40 {
		t.Errorf("only %d", len(seen))
	}
}

// Old clients write secs in their own byte order: nothing may depend on it.
func TestSecs(t *testing.T) {
	w := newWorld(t, lab())
	want := bytes.Clone(w.handle(message{kind: discover, hw: ether(1)}).Reply)
	for _, secs := range []uint16{1, 0x100, 0xffff} {
		if got := w.handle(message{kind: discover, hw: ether(1), secs: secs}).Reply; !bytes.Equal(got, want) {
			t.Errorf("secs %#x changes the answer", secs)
		}
	}
}

// What is sent back must come back as it came: flags that nobody knows, a client identifier of nothing but zeros.
func TestEcho(t *testing.T) {
	w := newWorld(t, lab())
	o := w.handle(message{kind: discover, hw: ether(1), flags: 0x1234, opts: opts(61, []byte{0, 0, 0})})
	var p wire.Packet
	if err := p.Decode(o.Reply); err != nil || p.Flags != 0x1234 || !bytes.Equal(p.Get(61), []byte{0, 0, 0}) || p.Hops != 0 || p.Secs != 0 {
		t.Errorf("%+v %v", p.Header, err)
	}
	// Not relayed: nobody put that there but the client, and RFC 3046 section 2.1 has it from relay agents only.
	o = w.handle(message{kind: discover, hw: ether(1), opts: opts(82, "\x01\x01a")})
	if err := p.Decode(o.Reply); err != nil || p.Has(82) {
		t.Error("agent information without an agent")
	}
}

func TestIdentityPolicies(t *testing.T) {
	for _, tt := range []struct {
		policy                      Identity
		sameAfterBoot, twoSystems   bool // one address for: no identifier then one; two identifiers
		twoCardsOneID               bool // another MAC with the identifier, when the first is gone
		clonesAreTwo, eventOfClones bool
	}{
		{Auto, true, false, true, true, true},
		{ByClientID, false, false, true, true, true},
		{ByMAC, true, true, false, true, false},
	} {
		world := func() *world { n := lab(); n.Identity = tt.policy; return newWorld(t, n) }
		w := world()
		a := w.lease(ether(1), nil)
		if b := w.lease(ether(1), opts(61, "\xffsystem")); (a == b) != tt.sameAfterBoot {
			t.Errorf("policy %d: boot loader %s, system %s", tt.policy, a, b)
		}
		w = world()
		a = w.lease(ether(1), opts(61, "\xffsystem"))
		if b := w.lease(ether(1), nil); (a == b) != tt.sameAfterBoot {
			t.Errorf("policy %d: system %s, boot loader %s", tt.policy, a, b)
		}
		w = world()
		a = w.lease(ether(1), opts(61, "\xffone"))
		if b := w.lease(ether(1), opts(61, "\xfftwo")); (a == b) != tt.twoSystems {
			t.Errorf("policy %d: two systems %s %s", tt.policy, a, b)
		}
		w = world()
		a = w.lease(ether(1), opts(61, "\xffone"))
		w.handle(message{kind: release, hw: ether(1), ci: a, to: self, opts: opts(61, "\xffone")})
		o := w.handle(message{kind: discover, hw: ether(2), opts: opts(61, "\xffone")})
		if b := yiaddr(t, o); (a == b) != tt.twoCardsOneID || len(o.Events) > 0 {
			t.Errorf("policy %d: two cards %s %s %v", tt.policy, a, b, o.Events)
		}
		w = world()
		a = w.lease(ether(1), opts(61, "\xffone"))
		o = w.handle(message{kind: discover, hw: ether(2), opts: opts(61, "\xffone")})
		if b := yiaddr(t, o); (a != b) != tt.clonesAreTwo || (len(o.Events) > 0) != tt.eventOfClones {
			t.Errorf("policy %d: clones %s %s %v", tt.policy, a, b, o.Events)
		}
		for _, e := range o.Events {
			if e.Reason != ReasonClone || !strings.Contains(e.Detail, "52:54:00:00:00:01") || !strings.Contains(e.Detail, "52:54:00:00:00:02") {
				t.Errorf("%+v", e)
			}
		}
	}
}

// After the network was renumbered clients are told at once, and get what is new.
func TestRenumber(t *testing.T) {
	w := newWorld(t, lab())
	a := w.lease(ether(1), nil)
	n := lab()
	n.Prefix = prefix("10.7.0.0/24")
	w.configure(n)
	w.link.Addrs[0].Prefix = prefix("10.7.0.1/24")
	for _, m := range []message{{ci: a, to: addr("10.7.0.1")}, {ci: a}, {opts: opts(50, a)}} {
		m.kind, m.hw = request, ether(1)
		if o := w.handle(m); o.Entry.Reply != "NAK" || o.Dest.Path != Broadcast {
			t.Errorf("%+v", o.Entry)
		}
	}
	o := w.handle(message{kind: discover, hw: ether(1)})
	if b := yiaddr(t, o); !n.Prefix.Contains(b) {
		t.Error(b)
	}
}

// An address that has become ours is not given to anybody.
func TestOwnAddress(t *testing.T) {
	w := newWorld(t, lab())
	w.link.Addrs[0].Prefix = prefix("10.0.0.100/24")
	for i := range 3 {
		if o := w.handle(message{kind: discover, hw: ether(i + 1), opts: opts(50, a100)}); yiaddr(t, o) == a100 {
			t.Error("our own address is offered")
		}
	}
	var l lease.Lease
	if l, _ = w.table.At(a100); l.State != lease.Declined {
		t.Errorf("%+v", l)
	}
}

// While nothing can be written, strangers leave no trace in the table.
func TestReadOnlyHoldsNothing(t *testing.T) {
	w := newWorld(t, lab())
	w.ro = true
	for _, m := range []message{
		{kind: discover}, {kind: request, opts: opts(50, a100, 54, self)}, {kind: request, opts: opts(50, a100)}, {kind: request, ci: a100},
	} {
		m.hw = ether(1)
		if o := w.handle(m); o.Entry.Reason != ReasonReadOnly || len(o.Reply) > 0 || len(w.table.All()) > 0 {
			t.Errorf("%+v %v", o.Entry, w.table.All())
		}
	}
}

func TestInfinite(t *testing.T) {
	n := lab()
	n.Max = Infinite
	w := newWorld(t, n)
	for ask, want := range map[string]uint32{"\xff\xff\xff\xff": 1<<32 - 1, "\xff\xff\xff\xfe": 1<<32 - 2, "\x00\x00\x00\x00": 3600} {
		o := w.handle(message{kind: discover, hw: ether(1), opts: opts(51, ask)})
		var p wire.Packet
		if err := p.Decode(o.Reply); err != nil {
			t.Fatal(err)
		}
		if got, _ := p.U32(51); got != want || p.Has(58) != (want != 1<<32-1) {
			t.Errorf("%x: %d, T1 %v", ask, got, p.Has(58))
		}
	}
	o := w.handle(message{kind: request, hw: ether(1), opts: opts(51, "\xff\xff\xff\xff", 50, a100, 54, self)})
	if l, _ := w.table.At(a100); o.Entry.Reply != "ACK" || l.Expiry != lease.Forever {
		t.Errorf("%+v %+v", o.Entry, l)
	}
}

// What is not a request to a server, by its header.
func TestHeader(t *testing.T) {
	w := newWorld(t, lab())
	for _, tt := range []struct {
		at   int
		v    byte
		want string
	}{{0, wire.BootReply, ReasonNotRequest}, {0, 0, ReasonNotRequest}, {3, 17, ReasonHops}, {3, 16, ReasonOffered}, {2, 17, ReasonMalformed}} {
		raw := message{kind: discover, hw: ether(1)}.packet()
		raw[tt.at] = tt.v
		w.h.Handle(w.rules, w.env(), Arrival{Link: &w.link, To: everybody}, raw, &w.out)
		if w.out.Entry.Reason != tt.want {
			t.Errorf("byte %d is %d: %s, want %s", tt.at, tt.v, w.out.Entry.Reason, tt.want)
		}
	}
}

// A reservation made for an address that somebody has gives it to nobody twice, BOOTP or not.
func TestReservedInUse(t *testing.T) {
	w := newWorld(t, lab())
	a := w.lease(ether(1), nil)
	w.configure(lab(), func(c *Config, n *[]lease.Network) {
		(*n)[0].Reservations = []lease.Reservation{{Addr: a, HW: []lease.HW{ether(2)}}}
	})
	for _, m := range []message{{hw: ether(2)}, {kind: discover, hw: ether(2)}} {
		if o := w.handle(m); o.Entry.Reason != ReasonReservedInUse || len(o.Reply) > 0 {
			t.Errorf("%+v", o.Entry)
		}
	}
	if o := w.handle(message{kind: request, hw: ether(1), ci: a, to: self}); o.Entry.Reply != "NAK" || o.Entry.Reason != ReasonNotReserved {
		t.Errorf("%+v", o.Entry)
	}
}
