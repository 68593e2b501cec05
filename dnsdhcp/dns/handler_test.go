package dns

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/provision-net/provision/dnsdhcp/dns/forward"
	"github.com/provision-net/provision/dnsdhcp/dns/wire"
	"github.com/provision-net/provision/dnsdhcp/dns/zone"
)

var someRecords = records("world.example. 300 IN A 203.0.114.80", "world.example. 300 IN TXT hello", "inner.example. 300 IN A 192.168.1.1")

func bubble(t *testing.T, c Config, f func(*miekg.Msg, bool) *miekg.Msg, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, c, f)
		defer r.stop()
		test(t, r)
	})
}

// TestOdd is the list of RFC 8906, and who gets no reply at all.
func TestOdd(t *testing.T) {
	bubble(t, testConfig(t), someRecords, func(t *testing.T, r *rig) {
		good := query("pc.lab.lan.", miekg.TypeA, nil)
		edit := func(f func([]byte)) []byte { b := bytes.Clone(good); f(b); return b }
		for _, c := range []struct {
			name   string
			query  []byte
			from   func(*Peer)
			rcode  int // -1: silence
			reason string
			check  func(*miekg.Msg) bool
		}{
			{name: "opcode 15", query: edit(func(b []byte) { b[2] |= 0x78 }), rcode: 4, reason: ReasonOpcode},
			{name: "update", query: edit(func(b []byte) { b[2] |= 5 << 3 }), rcode: 4, reason: ReasonOpcode},
			{name: "no question", query: good[:12:12], rcode: 1, reason: ReasonMalformed},
			{name: "QDCOUNT 0", query: edit(func(b []byte) { b[5] = 0 }), rcode: 1, reason: ReasonCounts},
			{name: "QDCOUNT 2", query: edit(func(b []byte) { b[5] = 2 }), rcode: 1, reason: ReasonCounts},
			{name: "reserved bit", query: edit(func(b []byte) { b[3] |= 0x40 }), rcode: 0},
			{name: "AD bit", query: edit(func(b []byte) { b[3] |= 0x20 }), rcode: 0},
			{name: "edns 1", query: query("pc.lab.lan.", miekg.TypeA, func(m *miekg.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetVersion(1) }), rcode: 16, reason: ReasonVersion,
				check: func(m *miekg.Msg) bool { return m.IsEdns0() != nil && m.IsEdns0().Version() == 0 && len(m.Answer) == 0 }},
			{name: "edns flag", query: query("pc.lab.lan.", miekg.TypeA, func(m *miekg.Msg) { m.SetEdns0(1232, false); m.IsEdns0().SetZ(0x40) }), rcode: 0,
				check: func(m *miekg.Msg) bool { return m.IsEdns0().Z() == 0 }},
			{name: "edns option", query: query("pc.lab.lan.", miekg.TypeA, func(m *miekg.Msg) {
				m.SetEdns0(1232, false)
				m.IsEdns0().Option = append(m.IsEdns0().Option, &miekg.EDNS0_LOCAL{Code: 1000, Data: []byte{1}})
			}), rcode: 0, check: func(m *miekg.Msg) bool { return m.IsEdns0() != nil && len(m.IsEdns0().Option) == 0 }},
			{name: "DO", query: query("pc.lab.lan.", miekg.TypeA, edns(1232, true)), rcode: 0, check: func(m *miekg.Msg) bool { return m.IsEdns0().Do() }},
			{name: "unknown type", query: query("pc.lab.lan.", 1000, nil), rcode: 0, check: func(m *miekg.Msg) bool { return len(m.Answer) == 0 && len(m.Ns) == 1 }},
			{name: "class CHAOS", query: edit(func(b []byte) { b[len(b)-1] = 3 }), rcode: 5},
			{name: "AXFR", query: query("lab.lan.", miekg.TypeAXFR, nil), rcode: 5},
			{name: "response", query: edit(func(b []byte) { b[2] |= 0x80 }), rcode: -1, reason: ReasonResponse},
			{name: "short", query: good[:11], rcode: -1, reason: ReasonShort},
			{name: "off link", query: good, from: func(p *Peer) { p.Addr = netip.MustParseAddrPort("203.0.113.1:5000") }, rcode: -1, reason: ReasonOffLink},
			{name: "port 0", query: good, from: func(p *Peer) { p.Addr = netip.MustParseAddrPort("10.0.7.20:0") }, rcode: -1, reason: ReasonPort},
			{name: "link not served", query: good, from: func(p *Peer) { p.Link = nil }, rcode: -1, reason: ReasonNoLink},
			{name: "link-local", query: good, from: func(p *Peer) { p.Addr = netip.MustParseAddrPort("[fe80::1]:5000") }, rcode: 0},
			{name: "global IPv6, not a prefix of ours", query: good, from: func(p *Peer) { p.Addr = netip.MustParseAddrPort("[2001:db8::1]:5000") }, rcode: -1, reason: ReasonOffLink},
		} {
			from := r.peer()
			if c.from != nil {
				c.from(&from)
			}
			m := r.asked(c.query, from)
			if m == nil {
				if c.rcode != -1 {
					t.Errorf("%s: silence", c.name)
				}
			} else {
				if m.Rcode != c.rcode || !m.Response || m.Id != wire.ID(c.query) {
					t.Errorf("%s: %v", c.name, m)
				}
				if c.check != nil && !c.check(m) {
					t.Errorf("%s: %v", c.name, m)
				}
			}
			if c.reason != "" && r.notes.last().Reason != c.reason {
				t.Errorf("%s: reason %q, want %q", c.name, r.notes.last().Reason, c.reason)
			}
		}
	})
}

func TestLocalNamesNeedNoUplink(t *testing.T) {
	bubble(t, testConfig(t), someRecords, func(t *testing.T, r *rig) {
		r.up.set(func() { r.up.dead = true })
		for _, c := range []struct {
			name   string
			qtype  uint16
			rcode  int
			answer string
			soa    bool
		}{
			{"PC.lab.lan.", miekg.TypeA, 0, "10.0.7.20", false},
			{"pc.lab.lan.", miekg.TypeAAAA, 0, "", true},
			{"pc.lab.lan.", miekg.TypeHTTPS, 0, "", true},
			{"nobody.lab.lan.", miekg.TypeA, 3, "", true},
			{"gw.lab.lan.", miekg.TypeA, 0, "10.0.7.1", false},
			{"localhost.", miekg.TypeA, 0, "127.0.0.1", false},
			{"20.7.0.10.in-addr.arpa.", miekg.TypePTR, 0, "pc.lab.lan.", false},
			{"99.7.0.10.in-addr.arpa.", miekg.TypePTR, 3, "", true},
			{"single.", miekg.TypeA, 3, "", true},
		} {
			m := r.ask(c.name, c.qtype, edns(1232, false))
			got := ""
			if len(m.Answer) > 0 {
				s := strings.Fields(m.Answer[0].String())
				got = s[len(s)-1]
			}
			if m.Rcode != c.rcode || got != c.answer || (len(m.Ns) == 1) != c.soa || m.Question[0].Name != c.name {
				t.Errorf("%s %d: %v", c.name, c.qtype, m)
			}
		}
		if m := r.ask("world.example.", miekg.TypeA, edns(1232, false)); m.Rcode != 2 || ede(m) != wire.EDENetworkError {
			t.Errorf("%v", m)
		}
	})
}

func TestCacheHit(t *testing.T) {
	bubble(t, testConfig(t), someRecords, func(t *testing.T, r *rig) {
		first := r.ask("world.example.", miekg.TypeA, nil)
		if len(first.Answer) != 1 || first.Authoritative || !first.RecursionAvailable || len(first.Ns)+len(first.Extra) != 0 {
			t.Fatalf("%v", first)
		}
		time.Sleep(10 * time.Second)
		second := r.ask("WORLD.eXample.", miekg.TypeA, edns(4096, false))
		if second.Answer[0].Header().Ttl != 290 || second.Question[0].Name != "WORLD.eXample." || second.Answer[0].Header().Name != "WORLD.eXample." {
			t.Errorf("%v", second)
		}
		if o := second.IsEdns0(); o == nil || o.UDPSize() != 1232 || len(o.Option) != 0 {
			t.Errorf("%v", second)
		}
		if r.up.count() != 1 {
			t.Errorf("asked %d times", r.up.count())
		}
		r.ask("world.example.", miekg.TypeA, edns(1232, true)) // other data
		if r.up.count() != 2 || !r.up.last.IsEdns0().Do() {
			t.Errorf("DO: asked %d times", r.up.count())
		}
		// Negative answers too.
		for range 2 {
			if m := r.ask("none.example.", miekg.TypeA, nil); m.Rcode != 3 || len(m.Ns) != 1 || m.Ns[0].Header().Ttl != 60 {
				t.Errorf("%v", m)
			}
		}
		if r.up.count() != 3 {
			t.Errorf("asked %d times", r.up.count())
		}
		if n, ok := r.FlushName("example"); !ok || n != 3 {
			t.Errorf("flushed %d", n)
		}
		r.ask("world.example.", miekg.TypeA, nil)
		if r.up.count() != 4 {
			t.Error("flushed, but not asked again")
		}
	})
}

func TestAuthenticated(t *testing.T) {
	signed := func(q *miekg.Msg, tcp bool) *miekg.Msg {
		m := someRecords(q, tcp)
		m.AuthenticatedData = true
		return m
	}
	bubble(t, testConfig(t), signed, func(t *testing.T, r *rig) {
		for range 2 { // by the upstream, then by the cache
			if m := r.ask("world.example.", miekg.TypeA, nil); m.AuthenticatedData {
				t.Error("AD for one who did not ask")
			}
			if m := r.ask("world.example.", miekg.TypeA, func(m *miekg.Msg) { m.AuthenticatedData = true }); !m.AuthenticatedData {
				t.Error("no AD")
			}
			if m := r.ask("world.example.", miekg.TypeA, edns(1232, true)); !m.AuthenticatedData {
				t.Error("no AD with DO")
			}
		}
	})
}

// TestCoalescedKeepTheirCase: each asker has its own ID, case and size.
func TestCoalescedKeepTheirCase(t *testing.T) {
	bubble(t, testConfig(t), someRecords, func(t *testing.T, r *rig) {
		r.up.set(func() { r.up.delay = 20 * time.Millisecond })
		names := []string{"world.example.", "World.example.", "WORLD.EXAMPLE."}
		type told struct {
			q, r []byte
		}
		ch := make(chan told, 3)
		for i, n := range names {
			q := query(n, miekg.TypeA, func(m *miekg.Msg) {
				if i > 0 {
					m.SetEdns0(1232, false)
				}
			})
			_, miss := r.Serve(&r.w, q, r.peer(), r.clock.Now(), nil)
			r.Resolve(miss, r.clock, func(b []byte) { ch <- told{q, b} })
		}
		for range names {
			x := <-ch
			var m miekg.Msg
			if err := m.Unpack(x.r); err != nil {
				t.Fatal(err)
			}
			if m.Id != wire.ID(x.q) || !bytes.Equal(x.r[12:20], x.q[12:20]) || len(m.Answer) != 1 || (m.IsEdns0() != nil) != (x.q[11] == 1) {
				t.Errorf("%v", &m)
			}
		}
		if r.up.count() != 1 {
			t.Errorf("asked %d times", r.up.count())
		}
	})
}

func TestStaleAndFailure(t *testing.T) {
	bubble(t, testConfig(t), someRecords, func(t *testing.T, r *rig) {
		r.ask("world.example.", miekg.TypeA, nil)
		time.Sleep(301 * time.Second)
		r.up.set(func() { r.up.dead = true })
		for i := range 3 { // by failure, then because it failed a moment ago
			m := r.ask("world.example.", miekg.TypeA, edns(1232, false))
			if m.Rcode != 0 || len(m.Answer) != 1 || m.Answer[0].Header().Ttl != 30 || ede(m) != wire.EDEStale {
				t.Errorf("%d: %v", i, m)
			}
		}
		if m := r.ask("other.example.", miekg.TypeA, edns(1232, false)); m.Rcode != 2 {
			t.Errorf("%v", m)
		}
		if m := r.ask("other.example.", miekg.TypeA, edns(1232, false)); m.Rcode != 2 || ede(m) != wire.EDECachedError {
			t.Errorf("%v", m)
		}
		// The network comes back.
		r.up.set(func() { r.up.dead = false })
		r.LinkChanged()
		if m := r.ask("world.example.", miekg.TypeA, nil); m.Answer[0].Header().Ttl != 300 {
			t.Errorf("%v", m)
		}
		// Slow: the stale answer comes after 1.8 s, the fresh one is kept when it comes.
		time.Sleep(301 * time.Second)
		r.up.set(func() { r.up.delay = 3 * time.Second })
		start := time.Now()
		if m := r.ask("world.example.", miekg.TypeA, edns(1232, false)); ede(m) != wire.EDEStale || time.Since(start) != 1800*time.Millisecond {
			t.Errorf("after %v: %v", time.Since(start), m)
		}
		time.Sleep(2 * time.Second)
		start = time.Now()
		if m := r.ask("world.example.", miekg.TypeA, edns(1232, false)); ede(m) != -1 || m.Answer[0].Header().Ttl != 300 && m.Answer[0].Header().Ttl != 299 || time.Since(start) != 0 {
			t.Errorf("after %v: %v", time.Since(start), m)
		}
	})
}

func TestPrefetch(t *testing.T) {
	bubble(t, testConfig(t), someRecords, func(t *testing.T, r *rig) {
		for range 5 {
			r.ask("world.example.", miekg.TypeA, nil)
		}
		time.Sleep(280 * time.Second)
		r.ask("world.example.", miekg.TypeA, nil)
		time.Sleep(time.Second)
		if m := r.ask("world.example.", miekg.TypeA, nil); r.up.count() != 2 || m.Answer[0].Header().Ttl != 299 {
			t.Errorf("asked %d times: %v", r.up.count(), m)
		}
	})
}

func TestRebind(t *testing.T) {
	exempt, err := zone.NewRoutes(map[string]zone.Group{"corp.example": ""})
	if err != nil {
		t.Fatal(err)
	}
	c := testConfig(t)
	c.Rebind = &zone.Rebind{Exempt: exempt}
	up := records("a.example. 60 IN A 192.168.1.1", "mapped.example. 60 IN AAAA ::ffff:192.168.1.1", "nat64.example. 60 IN AAAA 64:ff9b::c0a8:101",
		"hint.example. 60 IN HTTPS 1 . alpn=h2 ipv4hint=10.0.0.1", "lo.example. 60 IN A 127.0.0.1", "x.corp.example. 60 IN A 10.1.2.3",
		"ok.example. 60 IN HTTPS 1 . alpn=h2 ipv4hint=203.0.114.1")
	bubble(t, c, up, func(t *testing.T, r *rig) {
		for range 2 { // the second time nothing must come from the cache either
			for _, q := range []struct {
				name  string
				qtype uint16
			}{{"a.example.", miekg.TypeA}, {"mapped.example.", miekg.TypeAAAA}, {"nat64.example.", miekg.TypeAAAA}, {"hint.example.", miekg.TypeHTTPS}, {"lo.example.", miekg.TypeA}} {
				m := r.ask(q.name, q.qtype, edns(1232, false))
				if m.Rcode != miekg.RcodeRefused || len(m.Answer) != 0 || r.notes.last().Reason != ReasonRebind || r.notes.last().Name != q.name {
					t.Errorf("%v", m)
				}
			}
			for _, q := range []struct {
				name  string
				qtype uint16
			}{{"x.corp.example.", miekg.TypeA}, {"ok.example.", miekg.TypeHTTPS}} {
				if m := r.ask(q.name, q.qtype, nil); len(m.Answer) != 1 {
					t.Errorf("%v", m)
				}
			}
		}
	})
}

func TestFilterPerLink(t *testing.T) {
	c := testConfig(t)
	c.Links = append(c.Links, Link{Name: "usb1", Prefixes: c.Links[0].Prefixes, Filter: []uint16{miekg.TypeAAAA}})
	bubble(t, c, records("w.example. 60 IN AAAA 2606:4700::1", "w.example. 60 IN A 203.0.114.1"), func(t *testing.T, r *rig) {
		other := Peer{Addr: client, Link: r.Link("usb1")}
		if m := r.ask("w.example.", miekg.TypeAAAA, nil); len(m.Answer) != 1 {
			t.Errorf("%v", m)
		}
		m := r.asked(query("w.example.", miekg.TypeAAAA, edns(1232, false)), other)
		if m.Rcode != 0 || len(m.Answer) != 0 || ede(m) != wire.EDEFiltered {
			t.Errorf("%v", m)
		}
		if m := r.asked(query("w.example.", miekg.TypeA, nil), other); len(m.Answer) != 1 {
			t.Errorf("%v", m)
		}
		c.Local = nil
		r.Configure(c)
		other.Link = r.Link("usb1")
		if m := r.asked(query("w.example.", miekg.TypeAAAA, edns(1232, false)), other); len(m.Answer) != 0 || ede(m) != wire.EDEFiltered {
			t.Errorf("without a zone: %v", m)
		}
	})
}

// TestSizes: never more than the client takes; whole sets; OPT stays; over TCP everything.
func TestSizes(t *testing.T) {
	var rrs []string
	for i := range 90 {
		rrs = append(rrs, fmt.Sprintf("big.example. 60 IN AAAA 2606:4700::%x", i))
	}
	for i := range 12 {
		rrs = append(rrs, fmt.Sprintf("mid.example. 60 IN AAAA 2606:4700::%x", i))
	}
	all := records(rrs...)
	up := func(q *miekg.Msg, tcp bool) *miekg.Msg {
		m := all(q, tcp)
		if !tcp {
			m.Truncate(1232)
		}
		return m
	}
	bubble(t, testConfig(t), up, func(t *testing.T, r *rig) {
		for _, c := range []struct {
			name string
			size uint16 // 0: no EDNS
			tcp  bool
			want int
			tc   bool
		}{
			{"mid.example.", 0, false, 12, false}, {"mid.example.", 512, false, 12, false}, {"mid.example.", 100, false, 12, false},
			{"big.example.", 0, false, 0, true}, {"big.example.", 512, false, 0, true}, {"big.example.", 65535, false, 0, true},
			{"big.example.", 0, true, 90, false}, {"big.example.", 512, true, 90, false},
		} {
			for range 2 {
				q := query(c.name, miekg.TypeAAAA, func(m *miekg.Msg) {
					if c.size > 0 {
						m.SetEdns0(c.size, false)
					}
				})
				p := r.peer()
				p.TCP = c.tcp
				b := r.raw(q, p)
				limit := max(512, min(int(c.size), 1232))
				if !c.tcp && len(b) > limit {
					t.Errorf("%s for %d: %d bytes", c.name, c.size, len(b))
				}
				var m miekg.Msg
				if err := m.Unpack(b); err != nil {
					t.Fatal(err)
				}
				if len(m.Answer) != c.want || m.Truncated != c.tc || (m.IsEdns0() != nil) != (c.size > 0) {
					t.Errorf("%s for %d, tcp %v: %d records, TC %v, OPT %v", c.name, c.size, c.tcp, len(m.Answer), m.Truncated, m.IsEdns0())
				}
			}
		}
	})
}

func TestRecursionNotDesired(t *testing.T) {
	bubble(t, testConfig(t), someRecords, func(t *testing.T, r *rig) {
		off := func(m *miekg.Msg) { m.RecursionDesired = false }
		r.ask("world.example.", miekg.TypeA, nil)
		if m := r.ask("world.example.", miekg.TypeA, off); m.Rcode != 5 || len(m.Answer) != 0 {
			t.Errorf("the cache can be snooped: %v", m)
		}
		if m := r.ask("pc.lab.lan.", miekg.TypeA, off); len(m.Answer) != 1 || !m.Authoritative {
			t.Errorf("%v", m)
		}
	})
}

func TestAliasOfTheWorld(t *testing.T) {
	bubble(t, testConfig(t), someRecords, func(t *testing.T, r *rig) {
		for range 2 {
			m := r.ask("WWW.lab.lan.", miekg.TypeA, edns(1232, false))
			if len(m.Answer) != 2 || m.Answer[1].(*miekg.A).A.String() != "203.0.114.80" || m.Question[0].Name != "WWW.lab.lan." {
				t.Fatalf("%v", m)
			}
		}
		if r.up.count() != 1 {
			t.Errorf("asked %d times", r.up.count())
		}
	})
}

func TestRateLimit(t *testing.T) {
	c := testConfig(t)
	c.Rate = Rate{PerSecond: 10, Burst: 20, Clients: 100}
	bubble(t, c, someRecords, func(t *testing.T, r *rig) {
		burst := func(from Peer) (n int) {
			for range 100 {
				if r.asked(query("pc.lab.lan.", miekg.TypeA, nil), from) != nil {
					n++
				}
			}
			return n
		}
		if n := burst(r.peer()); n != 20 || r.notes.last().Reason != ReasonRate {
			t.Errorf("%d of 100", n)
		}
		other := r.peer()
		other.Addr = netip.MustParseAddrPort("10.0.7.21:4000")
		if n := burst(other); n != 20 {
			t.Errorf("another client: %d of 100", n)
		}
		time.Sleep(time.Second)
		if n := burst(r.peer()); n != 10 {
			t.Errorf("a second later: %d", n)
		}
		tcp := r.peer()
		tcp.TCP = true
		if m := r.asked(query("pc.lab.lan.", miekg.TypeA, nil), tcp); m == nil || m.Rcode != 5 {
			t.Errorf("over TCP: %v", m)
		}
	})
}

// TestRateTableIsBounded: many strangers do not lock anybody out, and the busiest is not forgotten.
func TestRateTableIsBounded(t *testing.T) {
	l := newLimiter(Rate{PerSecond: 1, Burst: 2, Clients: 16})
	now := bubbleClock{time.Now()}.Now()
	a := netip.MustParseAddr("10.0.0.1")
	for l.allow(a, now) {
		now += 1000
	}
	for i := range 10000 {
		if !l.allow(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), now) {
			t.Fatal("a new client is refused")
		}
	}
	one, two := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	l.allow(one, now)
	l.allow(two, now)
	if l.allow(one, now) {
		t.Error("a /64 is more than one client")
	}
}

func TestConfigureAndCache(t *testing.T) {
	c := testConfig(t)
	bubble(t, c, records("a.example. 60 IN A 203.0.114.1", "b.example. 60 IN A 203.0.114.2"), func(t *testing.T, r *rig) {
		r.ask("a.example.", miekg.TypeA, nil)
		r.ask("b.example.", miekg.TypeA, nil)
		again := c
		again.Local = testZone(t, func(z *zone.Config) { z.Records = append(z.Records, mustRR("b.example. 60 IN A 10.9.9.9")) })
		again.Links = append([]Link{}, c.Links...)
		again.Links[0].Prefixes = append([]netip.Prefix{netip.MustParsePrefix("10.0.9.0/24")}, c.Links[0].Prefixes...)
		r.Configure(again)
		r.ask("a.example.", miekg.TypeA, nil)
		if r.up.count() != 2 {
			t.Error("the cache is lost for nothing")
		}
		if m := r.ask("b.example.", miekg.TypeA, nil); m.Answer[0].(*miekg.A).A.String() != "10.9.9.9" {
			t.Errorf("the cache hides what has become local: %v", m)
		}
		other := again
		other.Forward.Groups = []forward.Group{{Upstreams: []forward.Upstream{{Addr: up1, MixCase: true}}}}
		r.Configure(other)
		r.ask("a.example.", miekg.TypeA, nil)
		time.Sleep(time.Second)
		if r.up.count() != 4 { // with the loop probe of what is a new upstream now
			t.Error("answers of the former upstreams are kept")
		}
	})
}

func TestRoutes(t *testing.T) {
	routes, err := zone.NewRoutes(map[string]zone.Group{"corp.example": "corp", "10.in-addr.arpa": "corp"})
	if err != nil {
		t.Fatal(err)
	}
	c := testConfig(t)
	c.Routes, c.Rebind = routes, nil
	c.Local = testZone(t, func(z *zone.Config) { z.Routes = routes })
	corp := netip.MustParseAddrPort("192.0.2.99:53")
	c.Forward.Groups = append(c.Forward.Groups, forward.Group{Name: "corp", Upstreams: []forward.Upstream{{Addr: corp}}})
	synctest.Test(t, func(t *testing.T) {
		inside := &upstream{f: records("x.corp.example. 60 IN A 10.1.2.3", "3.2.1.10.in-addr.arpa. 60 IN PTR x.corp.example.")}
		r := newRig(t, c, someRecords, world{corp: inside})
		defer r.stop()
		for name, qtype := range map[string]uint16{"x.corp.example.": miekg.TypeA, "3.2.1.10.in-addr.arpa.": miekg.TypePTR} {
			if m := r.ask(name, qtype, nil); len(m.Answer) != 1 {
				t.Errorf("%v", m)
			}
		}
		if m := r.ask("world.example.", miekg.TypeA, nil); len(m.Answer) != 1 {
			t.Errorf("%v", m)
		}
		// A reverse name in no route and of no network of ours stays here.
		if m := r.ask("1.1.168.192.in-addr.arpa.", miekg.TypePTR, nil); m.Rcode != 3 {
			t.Errorf("%v", m)
		}
		if n := inside.count(); n != 3 { // with the loop probe
			t.Errorf("the inner server was asked %d times", n)
		}
	})
}

func TestNoUpstreamAndBusy(t *testing.T) {
	c := testConfig(t)
	c.Forward.Groups = nil
	bubble(t, c, someRecords, func(t *testing.T, r *rig) {
		if m := r.ask("world.example.", miekg.TypeA, edns(1232, false)); m.Rcode != 5 || ede(m) != wire.EDENotAuth {
			t.Errorf("%v", m)
		}
		if m := r.ask("pc.lab.lan.", miekg.TypeA, nil); len(m.Answer) != 1 {
			t.Errorf("%v", m)
		}
	})
	c = testConfig(t)
	c.Forward.MaxBytes = 16 * forward.FlightBytes
	bubble(t, c, func(*miekg.Msg, bool) *miekg.Msg { return nil }, func(t *testing.T, r *rig) {
		busy, ch := 0, make(chan []byte, 40)
		for i := range 40 {
			q := query(fmt.Sprintf("n%d.example.", i), miekg.TypeA, nil)
			_, miss := r.Serve(&r.w, q, r.peer(), r.clock.Now(), nil)
			r.Resolve(miss, r.clock, func(b []byte) { ch <- b })
			if r.notes.last().Reason == ReasonBusy {
				busy++
			}
		}
		if busy < 20 || busy > 30 {
			t.Errorf("%d of 40 refused", busy)
		}
		for range 40 {
			if b := <-ch; wire.Flags(b)&15 != 2 {
				t.Errorf("%x", b)
			}
		}
	})
}

func TestQueryLog(t *testing.T) {
	c := testConfig(t)
	c.Log = 3
	bubble(t, c, someRecords, func(t *testing.T, r *rig) {
		r.ask("pc.lab.lan.", miekg.TypeA, nil)
		if r.Queries() != nil {
			t.Error("it logs without being told to")
		}
		r.LogQueries(true)
		r.ask("world.example.", miekg.TypeA, nil)
		r.ask("world.example.", miekg.TypeA, nil)
		r.ask("pc.lab.lan.", miekg.TypeAAAA, nil)
		r.ask("evil\\027name.lab.lan.", miekg.TypeA, nil)
		var got []string
		for _, l := range r.Queries() {
			got = append(got, fmt.Sprintf("%s %s %s %s %s %s", l.Link, l.Client.Addr(), l.Name, l.Type, l.Rcode, l.Outcome))
		}
		want := "usb0 10.0.7.20 world.example. A NOERROR cached\nusb0 10.0.7.20 pc.lab.lan. AAAA NOERROR local\nusb0 10.0.7.20 evil\\027name.lab.lan. A NXDOMAIN local"
		if strings.Join(got, "\n") != want {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
		}
		r.LogQueries(false)
		if r.Queries() != nil {
			t.Error("it does not forget")
		}
	})
}

func TestConfigValidate(t *testing.T) {
	for name, f := range map[string]func(*Config){
		"link twice": func(c *Config) { c.Links = append(c.Links, c.Links[0]) },
		"no group":   func(c *Config) { c.Links[0].Group = "none" },
		"size":       func(c *Config) { c.UDPSize = 100 },
		"rate":       func(c *Config) { c.Rate.Burst = 0 },
		"tcp":        func(c *Config) { c.TCP.Pipeline = 0 },
		"log":        func(c *Config) { c.Log = 0 },
		"stale":      func(c *Config) { c.StaleAfter = 0 },
	} {
		c := testConfig(t)
		f(&c)
		if c.Validate() == nil {
			t.Error(name, "is valid")
		}
	}
	if err := Defaults().Validate(); err != nil {
		t.Error(err)
	}
}

// TestMinimal: what an answer does not need is left away, and a negative one keeps its SOA.
func TestMinimal(t *testing.T) {
	up := func(q *miekg.Msg, tcp bool) *miekg.Msg {
		m := records("world.example. 60 IN A 203.0.114.80")(q, tcp)
		m.Ns = append(m.Ns, mustRR("example. 60 IN NS ns.example."))
		m.Extra = append(m.Extra, mustRR("ns.example. 60 IN A 203.0.114.53"))
		return m
	}
	bubble(t, testConfig(t), up, func(t *testing.T, r *rig) {
		for range 2 {
			if m := r.ask("world.example.", miekg.TypeA, nil); len(m.Answer) != 1 || len(m.Ns)+len(m.Extra) != 0 {
				t.Errorf("%v", m)
			}
			if m := r.ask("world.example.", miekg.TypeA, edns(1232, true)); len(m.Answer) != 1 || len(m.Ns) != 1 || len(m.Extra) != 1 {
				t.Errorf("a validator needs the authority: %v", m)
			}
			if m := r.ask("world.example.", miekg.TypeAAAA, nil); len(m.Ns) != 2 {
				t.Errorf("%v", m)
			}
		}
	})
}

// leases is a source that changes while the server runs.
type leases map[string]netip.Addr

func (l leases) Addrs(name string) []netip.Addr {
	if a, ok := l[name]; ok {
		return []netip.Addr{a}
	}
	return nil
}

func (l leases) Name(addr netip.Addr) (string, bool) {
	for n, a := range l {
		if a == addr {
			return n, true
		}
	}
	return "", false
}

// TestNewLease: a name that a client has just got is not hidden by what an upstream has said about it before.
func TestNewLease(t *testing.T) {
	l := leases{}
	c := testConfig(t)
	c.Local = testZone(t, func(z *zone.Config) {
		z.DomainNeeded, z.BogusPriv, z.Networks = false, false, nil
		z.Domains[0].Sources = []zone.Source{l}
	})
	c.Rebind = nil
	bubble(t, c, someRecords, func(t *testing.T, r *rig) {
		for range 2 {
			for _, name := range []string{"phone.", "phone.lab.lan."} {
				if m := r.ask(name, miekg.TypeA, nil); m.Rcode != 3 {
					t.Errorf("%v", m)
				}
			}
		}
		if r.up.count() != 1 {
			t.Errorf("asked %d times", r.up.count())
		}
		l["phone"] = netip.MustParseAddr("10.0.7.33")
		for _, name := range []string{"phone.", "phone.lab.lan."} {
			if m := r.ask(name, miekg.TypeA, nil); len(m.Answer) != 1 {
				t.Errorf("%v", m)
			}
		}
	})
}
