package pd

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	p56    = netip.MustParsePrefix("2001:db8:100::/56")
	other  = netip.MustParsePrefix("2001:db8:200::/56")
	birth  = time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	server = []byte("server one")
)

// sim is a client on a link with servers, on a clock of its own.
type sim struct {
	c     *Client
	now   time.Time
	serve func(m Message) []Message
	log   []string // seconds and type of what was sent
}

func newSim(lease Lease, serve func(Message) []Message) *sim {
	n := byte(0)
	s := &sim{now: birth, serve: serve, c: &Client{DUID: []byte("client"), IAID: 7, Rand: func() float64 { return 0 }, XID: func() [3]byte { n++; return [3]byte{9, 9, n} }}}
	s.c.Start(s.now, lease)
	return s
}

// run lets time pass.
func (s *sim) run(d time.Duration) {
	end := s.now.Add(d)
	for range 100000 {
		at := s.c.Wake()
		if at.IsZero() || at.After(end) {
			break
		}
		if at.After(s.now) {
			s.now = at
		}
		s.exchange(s.c.Step(s.now))
	}
	s.now = end
}

func (s *sim) exchange(m *Message) {
	for m != nil {
		s.log = append(s.log, fmt.Sprintf("%.0f %d", s.now.Sub(birth).Seconds(), m.Type))
		answers := s.serve(*m)
		m = nil
		for _, a := range answers {
			if out := s.c.Receive(a, s.now); out != nil {
				m = out
			}
		}
	}
}

func (s *sim) said() string {
	out := strings.Join(s.log, ", ")
	s.log = nil
	return out
}

func (s *sim) prefixes() string {
	var out []string
	for _, p := range s.c.Lease().Prefixes {
		out = append(out, p.Prefix.String())
	}
	return strings.Join(out, " ")
}

// gives is a server that delegates p for an hour.
func gives(p ...netip.Prefix) func(Message) []Message {
	return func(m Message) []Message {
		a := Message{XID: m.XID, Client: m.Client, Server: server, IAID: 7, HasIA: true, T1: 1000 * time.Second, T2: 1600 * time.Second, Type: Reply}
		if m.Type == Solicit {
			a.Type = Advertise
		}
		for _, p := range p {
			a.Prefix = append(a.Prefix, Prefix{p, 2000 * time.Second, 3600 * time.Second})
		}
		return []Message{a}
	}
}

func silent(Message) []Message { return nil }

func TestLife(t *testing.T) {
	s := newSim(Lease{}, silent)
	s.run(20 * time.Second)
	// Delay, then 1 s doubled.
	if got := s.said(); got != "0 1, 2 1, 4 1, 8 1, 16 1" {
		t.Errorf("nobody answers: %s", got)
	}
	s.serve = gives(p56)
	s.run(20 * time.Second)
	if got := s.said(); got != "32 1, 32 3" || s.prefixes() != p56.String() {
		t.Errorf("a server comes: %s, %s", got, s.prefixes())
	}
	s.run(1200 * time.Second)
	if got := s.said(); got != "1032 5" {
		t.Errorf("renewed: %s", got)
	}
	// The server falls silent: renewal until T2, then everybody, then it ends.
	s.serve = silent
	s.run(3 * time.Hour)
	if got := s.said(); !strings.HasPrefix(got, "2032 5, 2042 5, 2062 5, 2102 5, 2182 5, 2342 5, 2632 6, 2642 6") || s.prefixes() != "" {
		t.Errorf("lost: %s, %s", got, s.prefixes())
	}
	s.serve = gives(other)
	s.run(2 * time.Hour)
	if s.prefixes() != other.String() {
		t.Errorf("another prefix: %s", s.prefixes())
	}
}

// All servers of the first second are heard, and the one with the higher preference is asked.
func TestChoice(t *testing.T) {
	two := func(prefA, prefB uint8) func(Message) []Message {
		return func(m Message) []Message {
			a, b := gives(p56)(m)[0], gives(other)(m)[0]
			b.Server = []byte("server two")
			a.Pref, b.Pref = prefA, prefB
			if m.Type == Solicit {
				return []Message{a, b}
			}
			if bytes.Equal(m.Server, b.Server) {
				return []Message{b}
			}
			return []Message{a}
		}
	}
	s := newSim(Lease{}, two(0, 3))
	s.run(10 * time.Second)
	if got := s.said(); got != "0 1, 2 3" || s.prefixes() != other.String() {
		t.Errorf("%s %s", got, s.prefixes())
	}
	s = newSim(Lease{}, two(255, 0))
	s.run(10 * time.Second)
	if got := s.said(); got != "0 1, 0 3" || s.prefixes() != p56.String() {
		t.Errorf("the best at once: %s %s", got, s.prefixes())
	}
}

func TestAnswers(t *testing.T) {
	change := func(f func(m Message, a *Message)) func(Message) []Message {
		return func(m Message) []Message {
			a := gives(p56)(m)[0]
			f(m, &a)
			return []Message{a}
		}
	}
	for _, tc := range []struct {
		name  string
		serve func(Message) []Message
		want  string // prefixes after a minute
	}{
		{"as it should be", gives(p56), p56.String()},
		{"two prefixes", gives(p56, other), p56.String() + " " + other.String()},
		{"another exchange", change(func(_ Message, a *Message) { a.XID = [3]byte{1, 2, 3} }), ""},
		{"another client", change(func(_ Message, a *Message) { a.Client = []byte("x") }), ""},
		{"no server", change(func(_ Message, a *Message) { a.Server = nil }), ""},
		{"no IA", change(func(_ Message, a *Message) { a.HasIA = false }), ""},
		{"T1 after T2", change(func(_ Message, a *Message) { a.T1 = 2 * time.Hour }), ""},
		{"preferred beyond valid", change(func(_ Message, a *Message) { a.Prefix[0].Preferred = 2 * time.Hour }), ""},
		{"host bits", change(func(_ Message, a *Message) { a.Prefix[0].Prefix = netip.MustParsePrefix("2001:db8::1/56") }), ""},
		{"link-local", change(func(_ Message, a *Message) { a.Prefix[0].Prefix = netip.MustParsePrefix("fe80::/56") }), ""},
		{"too long", change(func(_ Message, a *Message) { a.Prefix[0].Prefix = netip.MustParsePrefix("2001:db8::/80") }), ""},
		{"nothing left", change(func(_ Message, a *Message) { a.IA, a.Prefix = NoPrefixAvail, nil }), ""},
		{"a reply to a solicit", change(func(_ Message, a *Message) { a.Type = Reply }), ""},
		{"withdrawn at once", change(func(m Message, a *Message) {
			if m.Type != Solicit {
				a.Prefix[0].Valid, a.Prefix[0].Preferred = 0, 0
			}
		}), ""},
	} {
		s := newSim(Lease{}, tc.serve)
		s.run(time.Minute)
		if got := s.prefixes(); got != tc.want || len(s.log) > 20 {
			t.Errorf("%s: %q, want %q, after %v", tc.name, got, tc.want, s.log)
		}
	}
}

// What a server changes at a renewal is changed here: another prefix beside a withdrawn one.
func TestRenumbered(t *testing.T) {
	s := newSim(Lease{}, gives(p56))
	s.run(time.Minute)
	s.serve = func(m Message) []Message {
		a := gives(p56, other)(m)[0]
		a.Prefix[0].Preferred, a.Prefix[0].Valid = 0, 0
		return []Message{a}
	}
	s.run(time.Hour)
	if s.prefixes() != other.String() {
		t.Errorf("%s", s.prefixes())
	}
	// A server that has lost its memory is asked for the same again.
	s.said()
	s.serve = func(m Message) []Message {
		a := gives(other)(m)[0]
		if m.Type == Renew {
			a.IA, a.Prefix = NoBinding, nil
		} else if len(m.Prefix) != 1 || m.Prefix[0].Prefix != other {
			t.Errorf("asked for %v", m.Prefix)
		}
		return []Message{a}
	}
	s.run(1000 * time.Second)
	if got := s.said(); !strings.Contains(got, " 5, ") || !strings.Contains(got, " 3") || s.prefixes() != other.String() {
		t.Errorf("%s, %s", got, s.prefixes())
	}
}

// After a start the lease of before is confirmed; where nobody answers it goes on, where another
// network is it ends.
func TestConfirm(t *testing.T) {
	s := newSim(Lease{}, gives(p56))
	s.run(time.Minute)
	lease := s.c.Lease()
	again := func(serve func(Message) []Message) *sim {
		s := newSim(lease, serve)
		s.run(5 * time.Second)
		return s
	}
	if s := again(gives(p56)); s.said() != "0 6" || s.prefixes() != p56.String() {
		t.Errorf("%s", s.prefixes())
	}
	s = again(silent)
	s.run(20 * time.Second)
	if got := s.said(); got != "0 6, 1 6, 3 6, 7 6" || s.prefixes() != p56.String() {
		t.Errorf("nobody: %s %s", got, s.prefixes())
	}
	s.run(1000 * time.Second)
	if got := s.said(); !strings.HasPrefix(got, "1002 5") {
		t.Errorf("and is renewed: %s", got)
	}
	lease.Prefixes[0].Valid = birth.Add(-time.Second)
	if s := again(gives(other)); s.prefixes() != other.String() {
		t.Errorf("ended meanwhile: %s", s.prefixes())
	}
}

// FuzzReceive: whatever comes, the client goes on, keeps no prefix beyond its life, and sends little.
func FuzzReceive(f *testing.F) {
	f.Add([]byte{2, 0, 7, 0, 0, 10, 20, 30, 7, 0, 7, 0, 0, 10, 20, 30})
	f.Add(bytes.Repeat([]byte{7, 3, 1, 3, 6, 1, 2, 0}, 8))
	f.Fuzz(func(t *testing.T, b []byte) {
		i := 0
		next := func() byte {
			if i++; i > len(b) {
				return 0
			}
			return b[i-1]
		}
		s := newSim(Lease{}, func(m Message) []Message {
			if i >= len(b) {
				return nil
			}
			a := gives(p56, other)(m)[0]
			a.Type = Type(next() % 12)
			a.IA, a.Status = int(next()%8), int(next()%8)
			a.T1, a.T2 = time.Duration(next())*time.Minute, time.Duration(next())*time.Minute
			for j := range a.Prefix {
				a.Prefix[j].Preferred, a.Prefix[j].Valid = time.Duration(next())*time.Minute, time.Duration(next())*time.Minute
			}
			a.MaxRT = time.Duration(next()) * time.Hour
			return []Message{a}
		})
		for range 50 {
			s.run(10 * time.Minute)
			for _, p := range s.c.Lease().Prefixes {
				if !p.Valid.IsZero() && !p.Valid.After(s.now) && !s.c.Wake().Before(s.now) {
					t.Fatalf("%v lives beyond %v", p, p.Valid)
				}
			}
		}
		// 500 minutes: a message in five seconds at the very most.
		if len(s.log) > 6000 || slices.Contains(s.log, "") {
			t.Errorf("%d messages", len(s.log))
		}
	})
}
