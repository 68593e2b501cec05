package forward

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// fakeNet is a world of upstreams made of pipes. Inside a synctest bubble its time is the bubble's.
type fakeNet struct {
	mu      sync.Mutex
	servers map[netip.AddrPort]*fakeServer
	sources []Source
}

// fakeServer answers by a function: some messages for one, each sent after the delay. A nil function refuses connections.
type fakeServer struct {
	delay    time.Duration
	udp, tcp func(query []byte) [][]byte
	closeTCP int // close a connection after that many answers; 0: never

	mu         sync.Mutex
	asked      int
	askedTCP   int
	dialledTCP int
	when       []time.Time
}

func (s *fakeServer) counts() (udp, tcp, dialled int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked, s.askedTCP, s.dialledTCP
}

func (n *fakeNet) server(to netip.AddrPort) *fakeServer {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.servers[to]
}

func (n *fakeNet) DialUDP(_ context.Context, from Source, to netip.AddrPort) (net.Conn, error) {
	s := n.server(to)
	n.mu.Lock()
	n.sources = append(n.sources, from)
	n.mu.Unlock()
	if s == nil {
		return nil, syscall.ENETUNREACH
	}
	s.mu.Lock()
	f := s.udp
	s.mu.Unlock()
	if f == nil {
		return nil, syscall.ECONNREFUSED
	}
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		buf := make([]byte, 4096)
		for {
			k, err := theirs.Read(buf)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.asked++
			s.when = append(s.when, time.Now())
			delay := s.delay
			s.mu.Unlock()
			time.Sleep(delay)
			for _, r := range f(buf[:k]) {
				theirs.Write(r)
			}
		}
	}()
	return ours, nil
}

func (n *fakeNet) DialTCP(_ context.Context, _ Source, to netip.AddrPort) (net.Conn, error) {
	s := n.server(to)
	if s == nil || s.tcp == nil {
		return nil, syscall.ECONNREFUSED
	}
	s.mu.Lock()
	s.dialledTCP++
	s.mu.Unlock()
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		var write sync.Mutex
		for i := 1; ; i++ {
			var head [2]byte
			if _, err := io.ReadFull(theirs, head[:]); err != nil {
				return
			}
			query := make([]byte, binary.BigEndian.Uint16(head[:]))
			if _, err := io.ReadFull(theirs, query); err != nil {
				return
			}
			s.mu.Lock()
			s.askedTCP++
			s.mu.Unlock()
			answer := func() {
				time.Sleep(s.delay)
				write.Lock()
				defer write.Unlock()
				for _, r := range s.tcp(query) {
					theirs.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(r))), r...))
				}
			}
			if s.closeTCP > 0 && i == s.closeTCP {
				answer()
				return
			}
			go answer()
		}
	}()
	return ours, nil
}

// bubbleClock is the time of a synctest bubble, or the real one.
type bubbleClock struct{ zero time.Time }

func (c bubbleClock) Now() clock.Instant {
	return clock.Instant(time.Since(c.zero)) + clock.Instant(time.Hour)
}
func (c bubbleClock) Read() clock.Reading { return clock.Reading{Boot: c.Now(), Wall: time.Now()} }

// answerTo builds a reply to a query; change may alter it before it is packed.
func answerTo(query []byte, change func(*miekg.Msg)) []byte {
	var q, m miekg.Msg
	if q.Unpack(query) != nil {
		return nil
	}
	m.SetReply(&q)
	m.RecursionAvailable = true
	if len(q.Question) == 1 {
		rr, _ := miekg.NewRR(q.Question[0].Name + " 300 IN A 192.0.2.1")
		if q.Question[0].Qtype == miekg.TypeA {
			m.Answer = append(m.Answer, rr)
		}
	}
	if o := q.IsEdns0(); o != nil {
		m.SetEdns0(1232, o.Do())
	}
	if change != nil {
		change(&m)
	}
	b, _ := m.Pack()
	return b
}

func answers(change func(*miekg.Msg)) func([]byte) [][]byte {
	return func(q []byte) [][]byte { return [][]byte{answerTo(q, change)} }
}

func silent([]byte) [][]byte { return nil }

func rcode(n int) func([]byte) [][]byte {
	return answers(func(m *miekg.Msg) { m.Rcode, m.Answer = n, nil })
}

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// question in wire form.
func question(name string, qtype uint16) Question {
	b := make([]byte, 300)
	n, err := miekg.PackDomainName(name, b, 0, nil, false)
	if err != nil {
		panic(err)
	}
	return Question{Wire: append(b[:n], byte(qtype>>8), byte(qtype), 0, 1)}
}

// rig is a forwarder that runs until the test ends.
type rig struct {
	*Forwarder
	net  *fakeNet
	stop func()
}

func newRig(t *testing.T, c Config, servers map[netip.AddrPort]*fakeServer) *rig {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	n := &fakeNet{servers: servers}
	f := New(c, Options{Dialer: n, Clock: bubbleClock{time.Now()}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	f.mu.Lock()
	f.ctx = ctx
	f.mu.Unlock()
	go func() { <-ctx.Done(); done <- f.Run(ctx) }()
	return &rig{Forwarder: f, net: n, stop: func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute) // of the bubble: servers that were slow notice that nobody listens any more
	}}
}

func (r *rig) ask(t *testing.T, q Question) *Result {
	t.Helper()
	ch := make(chan *Result, 1)
	if a := r.Ask(q.Wire, q, func(*Result) {}, func(res *Result) { ch <- res }); a > Joined {
		t.Fatalf("admission %d", a)
	}
	return <-ch
}

func one(ups ...string) Config {
	c := Defaults()
	g := Group{}
	for _, u := range ups {
		g.Upstreams = append(g.Upstreams, Upstream{Addr: addr(u)})
	}
	c.Groups = []Group{g}
	return c
}
