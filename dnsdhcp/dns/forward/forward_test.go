package forward

import (
	"bytes"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/provision-net/provision/dnsdhcp/dns/wire"
)

const (
	a1 = "192.0.2.53:53"
	a2 = "192.0.2.54:53"
	a3 = "192.0.2.55:53"
)

func TestAcceptance(t *testing.T) {
	good := func(q []byte) []byte { return answerTo(q, nil) }
	for _, c := range []struct {
		name    string
		udp     func(q []byte) [][]byte
		tcp     func(q []byte) [][]byte
		mixCase bool
		want    Failure
		rcode   int
		check   func(t *testing.T, s UpstreamStatus)
	}{
		{name: "good", udp: answers(nil)},
		{name: "nxdomain", udp: rcode(3), rcode: 3},
		{name: "wrong id first", udp: func(q []byte) [][]byte {
			bad := good(q)
			bad[0] ^= 1
			return [][]byte{bad, good(q)}
		}, check: func(t *testing.T, s UpstreamStatus) {
			if s.WrongID != 1 {
				t.Error("not counted")
			}
		}},
		{name: "wrong name first", udp: func(q []byte) [][]byte {
			bad := good(q)
			bad[13]++
			return [][]byte{bad, good(q)}
		}, check: func(t *testing.T, s UpstreamStatus) {
			if s.WrongName != 1 {
				t.Error("not counted")
			}
		}},
		{name: "wrong type first", udp: func(q []byte) [][]byte {
			bad := good(q)
			bad[wire.QuestionEnd(bad)-3] = 28
			return [][]byte{bad, good(q)}
		}},
		{name: "query echoed first", udp: func(q []byte) [][]byte { return [][]byte{q, good(q)} }},
		{name: "short first", udp: func(q []byte) [][]byte { return [][]byte{q[:11], good(q)} }},
		{name: "case folded, without 0x20", udp: func(q []byte) [][]byte {
			r := good(q)
			r[13] ^= 0x20
			return [][]byte{r}
		}},
		{name: "0x20 kept", udp: answers(nil), mixCase: true},
		{name: "0x20 folded: TCP", mixCase: true, tcp: answers(nil), udp: func(q []byte) [][]byte {
			return [][]byte{answerTo(q, func(m *miekg.Msg) { m.Question[0].Name = miekg.CanonicalName(m.Question[0].Name) })}
		}, check: func(t *testing.T, s UpstreamStatus) {
			if s.WrongCase == 0 || s.TCP == 0 {
				t.Errorf("%+v", s)
			}
		}},
		{name: "flood of guesses: TCP", tcp: answers(nil), udp: func(q []byte) [][]byte {
			var all [][]byte
			for i := range spoofLimit {
				bad := good(q)
				bad[0] ^= byte(i + 1)
				all = append(all, bad)
			}
			return append(all, good(q))
		}, check: func(t *testing.T, s UpstreamStatus) {
			if s.TCP != 1 {
				t.Errorf("%+v", s)
			}
		}},
		{name: "garbage", udp: func(q []byte) [][]byte {
			r := good(q)
			r[7] = 9 // more answers than there are
			return [][]byte{r}
		}, want: Garbage},
		{name: "pointer to itself", udp: func(q []byte) [][]byte {
			r := answerTo(q, func(m *miekg.Msg) { m.Answer, m.Extra = nil, nil })
			r[7] = 1
			return [][]byte{append(r, 0xc0, byte(len(r)), 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4)}
		}, want: Garbage},
		{name: "address of three bytes", udp: func(q []byte) [][]byte {
			r := answerTo(q, func(m *miekg.Msg) { m.Answer, m.Extra = nil, nil })
			r[7] = 1
			return [][]byte{append(r, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 3, 1, 2, 3)}
		}, want: Garbage},
		{name: "truncated", udp: answers(func(m *miekg.Msg) { m.Truncated, m.Answer = true, nil }), tcp: answers(nil), check: func(t *testing.T, s UpstreamStatus) {
			if s.Truncated != 1 || s.TCP != 1 {
				t.Errorf("%+v", s)
			}
		}},
		{name: "servfail", udp: rcode(2), want: Rejected, rcode: 2},
		{name: "refused", udp: rcode(5), want: Rejected, rcode: 5},
		{name: "formerr for EDNS", udp: func(q []byte) [][]byte {
			if q[11] == 1 {
				return [][]byte{{q[0], q[1], 0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0}}
			}
			return [][]byte{good(q)}
		}, check: func(t *testing.T, s UpstreamStatus) {
			if s.Plain != 1 {
				t.Errorf("%+v", s)
			}
		}},
		{name: "refuses connections", udp: nil, want: Network},
		{name: "silent", udp: silent, want: Timeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cfg := one(a1)
				cfg.Tries = 1
				cfg.Groups[0].Upstreams[0].MixCase = c.mixCase
				r := newRig(t, cfg, map[netip.AddrPort]*fakeServer{addr(a1): {udp: c.udp, tcp: c.tcp, delay: time.Millisecond}})
				defer r.stop()
				q := question("www.averylongname.example.", miekg.TypeA)
				res := r.ask(t, q)
				if res.Failure != c.want || res.Rcode != c.rcode {
					t.Fatalf("%v, rcode %d", res.Failure, res.Rcode)
				}
				if c.want == None {
					var m miekg.Msg
					if err := m.Unpack(res.Msg); err != nil || len(m.Extra) != 0 || !wire.EqualFold(res.Msg[12:12+len(q.Wire)], q.Wire) {
						t.Errorf("%v %v", err, m.Question)
					}
				}
				if c.check != nil {
					c.check(t, r.Status().Upstreams[0])
				}
			})
		})
	}
}

// TestQuery is what upstreams see of a question.
func TestQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen [][]byte
		var mu sync.Mutex
		cfg := one(a1)
		cfg.Groups[0].Upstreams[0].MixCase = true
		cfg.Groups[0].Upstreams[0].Source = Source{Interface: "wlan0", Addr: netip.MustParseAddr("198.51.100.7")}
		r := newRig(t, cfg, map[netip.AddrPort]*fakeServer{addr(a1): {udp: func(q []byte) [][]byte {
			mu.Lock()
			seen = append(seen, bytes.Clone(q))
			mu.Unlock()
			return answers(nil)(q)
		}}})
		defer r.stop()
		q := question("www.averylongname.example.", miekg.TypeA)
		for range 20 {
			r.ask(t, q)
		}
		ids, cases := map[uint16]bool{}, map[string]bool{}
		for _, b := range seen {
			var m miekg.Msg
			if err := m.Unpack(b); err != nil {
				t.Fatal(err)
			}
			ids[m.Id], cases[m.Question[0].Name] = true, true
			o := m.IsEdns0()
			if !m.RecursionDesired || !m.AuthenticatedData || o == nil || o.UDPSize() != 1232 || len(o.Option) != 0 || o.Do() {
				t.Fatalf("%v", &m)
			}
		}
		if len(ids) < 19 || len(cases) < 15 {
			t.Errorf("%d IDs, %d cases of 20", len(ids), len(cases))
		}
		if r.net.sources[0].Interface != "wlan0" {
			t.Error("source lost")
		}
	})
}

func TestOrderAndFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := &fakeServer{udp: answers(nil), delay: 60 * time.Millisecond}
		quick := &fakeServer{udp: answers(nil), delay: 5 * time.Millisecond}
		r := newRig(t, one(a1, a2), map[netip.AddrPort]*fakeServer{addr(a1): slow, addr(a2): quick})
		defer r.stop()
		q := question("a.example.", miekg.TypeA)
		for range 20 {
			if res := r.ask(t, q); res.Failure != None {
				t.Fatal(res.Failure)
			}
		}
		if n, _, _ := slow.counts(); n != 1 {
			t.Errorf("the slow one was asked %d times of 20", n)
		}
		// The quick one falls silent: the first question after that waits for the second try only.
		quick.mu.Lock()
		quick.udp = silent
		quick.mu.Unlock()
		start := time.Now()
		if res := r.ask(t, q); res.Failure != None || res.From != addr(a1) {
			t.Fatalf("%+v", res)
		}
		if took := time.Since(start); took != r.state.Load().config.MinHedge+60*time.Millisecond {
			t.Errorf("took %v", took)
		}
		for range 5 {
			start = time.Now()
			r.ask(t, q)
			if took := time.Since(start); took > 170*time.Millisecond {
				t.Errorf("a question takes %v long after the failover", took)
			}
		}
	})
}

func TestRefusedIsDeadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := &fakeServer{}
		good := &fakeServer{udp: answers(nil), delay: 20 * time.Millisecond}
		r := newRig(t, one(a1, a2), map[netip.AddrPort]*fakeServer{addr(a1): dead, addr(a2): good})
		defer r.stop()
		q := question("a.example.", miekg.TypeA)
		start := time.Now()
		if res := r.ask(t, q); res.Failure != None || time.Since(start) != 20*time.Millisecond {
			t.Fatalf("%v after %v", res.Failure, time.Since(start))
		}
		if s := r.Status().Upstreams[0]; s.State != "dead" || s.RetryIn <= 0 {
			t.Fatalf("%+v", s)
		}
		// It comes back. It is tried beside the good one, and being quicker it takes over, without anybody having waited.
		dead.mu.Lock()
		dead.udp, dead.delay = answers(nil), 30*time.Millisecond
		dead.mu.Unlock()
		time.Sleep(1100 * time.Millisecond)
		start = time.Now()
		r.ask(t, q)
		if time.Since(start) != 20*time.Millisecond {
			t.Errorf("waited %v for a probe", time.Since(start))
		}
		time.Sleep(time.Second)
		if s := r.Status().Upstreams[0]; s.State != "healthy" {
			t.Errorf("%+v", s)
		}
	})
}

func TestAllDeadAndLinkChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s1 := &fakeServer{udp: silent}
		r := newRig(t, one(a1), map[netip.AddrPort]*fakeServer{addr(a1): s1})
		defer r.stop()
		q := question("a.example.", miekg.TypeA)
		start := time.Now()
		if res := r.ask(t, q); res.Failure != Timeout || time.Since(start) != 5*time.Second {
			t.Fatalf("%v after %v", res.Failure, time.Since(start))
		}
		if n, _, _ := s1.counts(); n != 4 {
			t.Errorf("sent %d times, want 4", n)
		}
		// From now on nobody waits, but one question a second finds out whether it lives.
		quick, slow := 0, 0
		for range 10 {
			start = time.Now()
			other := question("b.example.", miekg.TypeA)
			if res := r.ask(t, other); res.Failure == Dead && time.Since(start) == 0 {
				quick++
			} else {
				slow++
			}
		}
		if quick != 10 {
			t.Errorf("%d at once, %d not", quick, slow)
		}
		s1.mu.Lock()
		s1.udp = answers(nil)
		s1.mu.Unlock()
		if res := r.ask(t, q); res.Failure != Dead {
			t.Fatal("not yet time to try again, but", res.Failure)
		}
		r.LinkChanged()
		if res := r.ask(t, q); res.Failure != None {
			t.Fatal("after the change of a link:", res.Failure)
		}
		s1.mu.Lock()
		s1.udp = silent
		s1.mu.Unlock()
		r.ask(t, q)
		s1.mu.Lock()
		s1.udp = answers(nil)
		s1.mu.Unlock()
		time.Sleep(probeHold)
		if res := r.ask(t, q); res.Failure != None {
			t.Fatal("a second later:", res.Failure)
		}
	})
}

func TestErrorsAskTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad, good := &fakeServer{udp: rcode(2)}, &fakeServer{udp: answers(nil)}
		r := newRig(t, one(a1, a2), map[netip.AddrPort]*fakeServer{addr(a1): bad, addr(a2): good})
		defer r.stop()
		if res := r.ask(t, question("a.example.", miekg.TypeA)); res.Failure != None || res.From != addr(a2) {
			t.Fatalf("%+v", res)
		}
		good.mu.Lock()
		good.udp = rcode(5)
		good.mu.Unlock()
		start := time.Now()
		if res := r.ask(t, question("b.example.", miekg.TypeA)); res.Failure != Rejected || time.Since(start) != 0 {
			t.Fatalf("%+v after %v", res, time.Since(start))
		}
		if n, _, _ := bad.counts(); n > 2 {
			t.Errorf("asked %d times for two questions", n)
		}
	})
}

func TestCoalescingAndBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{udp: answers(nil), delay: 50 * time.Millisecond}
		cfg := one(a1)
		cfg.MaxWaiters = 10
		cfg.MaxBytes = 20 * FlightBytes
		r := newRig(t, cfg, map[netip.AddrPort]*fakeServer{addr(a1): s})
		defer r.stop()
		q := question("a.example.", miekg.TypeA)
		settled, told, ch := 0, 0, make(chan *Result, 100)
		var got []Admission
		for range 12 {
			got = append(got, r.Ask(q.Wire, q, func(*Result) { settled++ }, func(res *Result) { told++; ch <- res }))
		}
		for i, a := range got {
			want := Joined
			if i == 0 {
				want = Asked
			} else if i >= 10 {
				want = Crowded
			}
			if a != want {
				t.Errorf("asker %d: %d, want %d", i, a, want)
			}
		}
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		if n, _, _ := s.counts(); n != 1 || settled != 1 || told != 10 {
			t.Errorf("asked %d times, settled %d, told %d", n, settled, told)
		}
		room := 0
		for i := range 30 {
			other := question(string(rune('a'+i))+".example.", miekg.TypeA)
			if i >= 26 {
				other = question("x"+string(rune('a'+i-26))+".example.", miekg.TypeA)
			}
			if r.Ask(other.Wire, other, func(*Result) {}, func(*Result) {}) == NoRoom {
				room++
			}
		}
		if st := r.Status(); st.Bytes > st.MaxBytes || room == 0 || st.Refused == 0 {
			t.Errorf("%d refused: %+v", room, st)
		}
		time.Sleep(10 * time.Second)
		if st := r.Status(); st.Bytes != 0 || st.InFlight != 0 || st.Waiters != 0 {
			t.Errorf("something is left: %+v", st)
		}
	})
}

func TestTCPPipelinesAndSurvivesClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{tcp: answers(nil), delay: 30 * time.Millisecond}
		cfg := one(a1)
		cfg.Groups[0].Upstreams[0].TCP = true
		r := newRig(t, cfg, map[netip.AddrPort]*fakeServer{addr(a1): s})
		defer r.stop()
		start := time.Now()
		ch := make(chan *Result, 20)
		for i := range 20 {
			q := question(string(rune('a'+i))+".example.", miekg.TypeA)
			r.Ask(q.Wire, q, func(*Result) {}, func(res *Result) { ch <- res })
		}
		for range 20 {
			if res := <-ch; res.Failure != None {
				t.Fatal(res.Failure)
			}
		}
		if _, n, dialled := s.counts(); n != 20 || dialled != 1 || time.Since(start) != 30*time.Millisecond {
			t.Errorf("%d questions over %d connections in %v", n, dialled, time.Since(start))
		}
		time.Sleep(cfg.TCPIdle + time.Second)
		r.ask(t, question("z.example.", miekg.TypeA))
		if _, _, dialled := s.counts(); dialled != 2 {
			t.Errorf("an idle connection was kept: %d", dialled)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{tcp: answers(nil), closeTCP: 1}
		cfg := one(a1)
		cfg.Groups[0].Upstreams[0].TCP = true
		r := newRig(t, cfg, map[netip.AddrPort]*fakeServer{addr(a1): s})
		defer r.stop()
		for i := range 5 {
			if res := r.ask(t, question(string(rune('a'+i))+".example.", miekg.TypeA)); res.Failure != None {
				t.Fatal(i, res.Failure)
			}
		}
	})
}

func TestLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f *Forwarder
		looped := &fakeServer{udp: func(q []byte) [][]byte {
			var m miekg.Msg
			m.Unpack(q)
			b := make([]byte, 300)
			n, _ := miekg.PackDomainName(m.Question[0].Name, b, 0, nil, false)
			f.IsProbe(b[:n])
			return nil
		}}
		good := &fakeServer{udp: answers(nil)}
		r := newRig(t, one(a1, a2), map[netip.AddrPort]*fakeServer{addr(a1): looped, addr(a2): good})
		defer r.stop()
		f = r.Forwarder
		r.ProbeLoops()
		time.Sleep(3 * time.Second)
		st := r.Status()
		if st.Upstreams[0].State != "looping" || st.Upstreams[1].State == "looping" {
			t.Fatalf("%+v", st.Upstreams)
		}
		for i := range 3 {
			if res := r.ask(t, question(string(rune('a'+i))+".example.", miekg.TypeA)); res.From != addr(a2) {
				t.Fatalf("%+v", res)
			}
		}
		if f.IsProbe([]byte("\x15p0123456789abcdef0000\x04test\x00")) {
			t.Error("somebody else's probe is taken for ours")
		}
	})
}

func TestConfigureKeepsWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := map[netip.AddrPort]*fakeServer{addr(a1): {udp: answers(nil), delay: time.Millisecond}, addr(a2): {udp: answers(nil)}}
		r := newRig(t, one(a1), servers)
		defer r.stop()
		r.ask(t, question("a.example.", miekg.TypeA))
		c := one(a2, a1)
		c.Groups = append(c.Groups, Group{Name: "lab", Upstreams: []Upstream{{Addr: addr(a1)}}})
		r.Configure(c)
		st := r.Status().Upstreams
		if len(st) != 2 || st[1].Answered != 1 || st[0].State != "unknown" || len(st[1].Groups) != 2 {
			t.Errorf("%+v", st)
		}
		q := question("b.example.", miekg.TypeA)
		q.Group = "lab"
		if res := r.ask(t, q); res.From != addr(a1) {
			t.Errorf("%+v", res)
		}
		q = question("c.example.", miekg.TypeA)
		q.Group = "none"
		if res := r.ask(t, q); res.Failure != NoUpstream {
			t.Errorf("%+v", res)
		}
	})
}

func TestStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, one(a1), map[netip.AddrPort]*fakeServer{addr(a1): {udp: silent}})
		ch := make(chan *Result, 1)
		q := question("a.example.", miekg.TypeA)
		r.Ask(q.Wire, q, func(*Result) {}, func(res *Result) { ch <- res })
		r.stop()
		if res := <-ch; res.Failure == None {
			t.Error("an answer from nobody")
		}
		if res := r.ask(t, q); res.Failure != Stopped {
			t.Error(res.Failure)
		}
	})
}

func TestConfigValidate(t *testing.T) {
	if err := one(a1).Validate(); err != nil {
		t.Error(err)
	}
	for name, f := range map[string]func(*Config){
		"twice":       func(c *Config) { c.Groups[0].Upstreams = append(c.Groups[0].Upstreams, c.Groups[0].Upstreams[0]) },
		"port 0":      func(c *Config) { c.Groups[0].Upstreams[0].Addr = addr("192.0.2.1:0") },
		"unspecified": func(c *Config) { c.Groups[0].Upstreams[0].Addr = addr("0.0.0.0:53") },
		"link-local":  func(c *Config) { c.Groups[0].Upstreams[0].Addr = addr("[fe80::1]:53") },
		"families":    func(c *Config) { c.Groups[0].Upstreams[0].Source.Addr = netip.MustParseAddr("2001:db8::1") },
		"group twice": func(c *Config) { c.Groups = append(c.Groups, Group{}) },
		"no tries":    func(c *Config) { c.Tries = 0 },
		"no budget":   func(c *Config) { c.MaxBytes = 1 },
	} {
		c := one(a1)
		f(&c)
		if c.Validate() == nil {
			t.Error(name, "is valid")
		}
	}
}

// FuzzAccept: of what an upstream sends, only what is wholly readable and of the asked question is taken.
func FuzzAccept(f *testing.F) {
	q := question("www.example.", miekg.TypeA)
	a := asker{rand: func() uint64 { return 1 }, config: &Config{EDNSSize: 1232}}
	query := a.query(nil, 0x1234, q, &upstream{}, true)
	f.Add(answerTo(query, nil))
	f.Add(answerTo(query, func(m *miekg.Msg) {
		m.Rcode, m.Answer = 3, nil
		rr, _ := miekg.NewRR("example. 60 IN SOA ns. mail. 1 2 3 4 5")
		m.Ns = append(m.Ns, rr)
	}))
	f.Add(answerTo(query, func(m *miekg.Msg) {
		rr, _ := miekg.NewRR("www.example. 60 IN HTTPS 1 . alpn=h2 ipv4hint=10.0.0.1")
		m.Answer = append(m.Answer, rr)
	}))
	f.Fuzz(func(t *testing.T, msg []byte) {
		if v := match(msg, 0x1234, q.Wire, false); v != accept {
			return
		}
		was := bytes.Clone(msg)
		cut, _, ok := Accepted(msg)
		if !ok {
			return
		}
		if len(cut) > len(was) || wire.ID(cut) != 0x1234 || wire.Flags(cut)&wire.QR == 0 || wire.Count(cut, 3) != 0 {
			t.Fatal("not the reply that came")
		}
		end, err := wire.Walk(cut, func(r wire.Record) bool {
			if r.Type == wire.TypeOPT {
				t.Fatal("OPT is left")
			}
			return true
		})
		if err != nil || end != len(cut) {
			t.Fatalf("ends at %d of %d: %v", end, len(cut), err)
		}
		var m miekg.Msg
		if err := m.Unpack(cut); err != nil && wire.Flags(cut)&wire.TC == 0 {
			t.Fatal(err)
		}
	})
}
