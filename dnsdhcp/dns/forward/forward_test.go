package forward

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	miekg "github.com/miekg/dns"
)

const (
	a1 = "192.0.2.53:53"
	a2 = "192.0.2.54:53"
	a3 = "192.0.2.55:53"
)

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
