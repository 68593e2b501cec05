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
