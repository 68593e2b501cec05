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
