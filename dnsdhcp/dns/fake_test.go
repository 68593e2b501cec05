package dns

import (
	"context"
	"encoding/binary"
	"io"
	"maps"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/dns/forward"
	"github.com/provision-net/provision/dnsdhcp/dns/zone"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

// upstream is one server of the world, by a function; nil as reply is silence. Its time is the bubble's.
type upstream struct {
	mu    sync.Mutex
	f     func(q *miekg.Msg, tcp bool) *miekg.Msg
	delay time.Duration
	dead  bool // refuses connections
	asked int
	last  *miekg.Msg
}

func (u *upstream) set(change func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	change()
}

func (u *upstream) count() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.asked
}

func (u *upstream) answer(query []byte, tcp bool) []byte {
	q := new(miekg.Msg)
	if q.Unpack(query) != nil {
		return nil
	}
	u.mu.Lock()
	u.asked++
	u.last = q
	f, delay := u.f, u.delay
	u.mu.Unlock()
	time.Sleep(delay)
	r := f(q, tcp)
	if r == nil {
		return nil
	}
	b, err := r.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

type world map[netip.AddrPort]*upstream

func (w world) DialUDP(_ context.Context, _ forward.Source, to netip.AddrPort) (net.Conn, error) {
	return w.dial(to, func(u *upstream, c net.Conn) {
		buf := make([]byte, 4096)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if r := u.answer(buf[:n], false); r != nil {
				c.Write(r)
			}
		}
	})
}

func (w world) DialTCP(_ context.Context, _ forward.Source, to netip.AddrPort) (net.Conn, error) {
	return w.dial(to, func(u *upstream, c net.Conn) {
		for {
			b, err := readFrame(c)
			if err != nil {
				return
			}
			if r := u.answer(b, true); r != nil {
				c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(r))), r...))
			}
		}
	})
}

func (w world) dial(to netip.AddrPort, serve func(*upstream, net.Conn)) (net.Conn, error) {
	u := w[to]
	if u == nil {
		return nil, syscall.ENETUNREACH
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.dead {
		return nil, syscall.ECONNREFUSED
	}
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		serve(u, theirs)
	}()
	return ours, nil
}

func readFrame(c io.Reader) ([]byte, error) {
	var head [2]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(head[:]))
	_, err := io.ReadFull(c, b)
	return b, err
}

// records answers with those of rrs that the question asks for.
func records(rrs ...string) func(*miekg.Msg, bool) *miekg.Msg {
	return func(q *miekg.Msg, _ bool) *miekg.Msg {
		r := new(miekg.Msg)
		r.SetReply(q)
		r.RecursionAvailable, r.Compress = true, true
		known := false
		for _, s := range rrs {
			rr := mustRR(s)
			if miekg.CanonicalName(rr.Header().Name) != miekg.CanonicalName(q.Question[0].Name) {
				continue
			}
			known = true
			if rr.Header().Rrtype == q.Question[0].Qtype {
				rr.Header().Name = q.Question[0].Name
				r.Answer = append(r.Answer, rr)
			}
		}
		if len(r.Answer) == 0 {
			r.Ns = append(r.Ns, mustRR("example. 900 IN SOA ns.example. mail.example. 1 2 3 4 60"))
			if !known {
				r.Rcode = miekg.RcodeNameError
			}
		}
		if o := q.IsEdns0(); o != nil {
			r.SetEdns0(1232, o.Do())
		}
		return r
	}
}

func mustRR(s string) miekg.RR {
	rr, err := miekg.NewRR(s)
	if err != nil {
		panic(err)
	}
	return rr
}

type bubbleClock struct{ zero time.Time }

func (c bubbleClock) Now() clock.Instant {
	return clock.Instant(time.Since(c.zero)) + clock.Instant(time.Hour)
}
func (c bubbleClock) Read() clock.Reading { return clock.Reading{Boot: c.Now(), Wall: time.Now()} }

// notes keeps what was recorded.
type notes struct {
	mu      sync.Mutex
	entries []trace.Entry
}

func (n *notes) Record(e trace.Entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.entries = append(n.entries, e)
}

func (n *notes) last() trace.Entry {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.entries) == 0 {
		return trace.Entry{}
	}
	return n.entries[len(n.entries)-1]
}

var (
	up1    = netip.MustParseAddrPort("192.0.2.53:53")
	client = netip.MustParseAddrPort("10.0.7.20:4000")
)

// rig is a server with one link, one upstream and a zone lab.lan.
type rig struct {
	*Server
	t     testing.TB
	up    *upstream
	notes *notes
	stop  func()
	w     Scratch
}

func testZone(t testing.TB, change func(*zone.Config)) *zone.Zone {
	t.Helper()
	c := zone.Config{
		Domains: []zone.Domain{{Name: "lab.lan"}}, Names: []string{"gw"},
		Records: []miekg.RR{mustRR("pc.lab.lan. 60 IN A 10.0.7.20"), mustRR("www.lab.lan. 60 IN CNAME world.example."),
			mustRR("20.7.0.10.in-addr.arpa. 60 IN PTR pc.lab.lan.")},
		Networks: []netip.Prefix{netip.MustParsePrefix("10.0.7.0/24")}, DomainNeeded: true, BogusPriv: true,
		TTL: 60, SourceTTL: 60, NegativeTTL: 5,
	}
	if change != nil {
		change(&c)
	}
	z, err := zone.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func testConfig(t testing.TB) Config {
	c := Defaults()
	c.Links = []Link{{Name: "usb0", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.0.7.0/24")}, Own: []netip.Addr{netip.MustParseAddr("10.0.7.1")}}}
	c.Forward.Groups = []forward.Group{{Upstreams: []forward.Upstream{{Addr: up1}}}}
	c.Local = testZone(t, nil)
	c.Rebind = &zone.Rebind{}
	return c
}

func newRig(t testing.TB, c Config, f func(*miekg.Msg, bool) *miekg.Msg, more ...world) *rig {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, up: &upstream{f: f}, notes: &notes{}}
	w := world{up1: r.up}
	for _, m := range more {
		maps.Copy(w, m)
	}
	r.Server = New(c, Options{Clock: bubbleClock{time.Now()}, Dialer: w, Recorder: r.notes})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	time.Sleep(3 * time.Second) // of the bubble: the loop probe is over
	r.up.set(func() { r.up.asked = 0 })
	r.stop = func() {
		cancel()
		<-done
		time.Sleep(time.Minute)
	}
	return r
}

func (r *rig) peer() Peer { return Peer{Addr: client, Link: r.Link("usb0")} }

// raw serves a query to the end. The reply is nil for silence.
func (r *rig) raw(query []byte, from Peer) []byte {
	r.t.Helper()
	reply, miss := r.Serve(&r.w, query, from, r.clock.Now(), nil)
	ch := make(chan []byte, 1)
	if miss != nil {
		r.Resolve(miss, r.clock, func(b []byte) { ch <- b })
		if len(reply) == 0 {
			reply = <-ch
		}
	}
	return reply
}

func query(name string, qtype uint16, change func(*miekg.Msg)) []byte {
	m := new(miekg.Msg)
	m.SetQuestion(name, qtype)
	if change != nil {
		change(m)
	}
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

func (r *rig) ask(name string, qtype uint16, change func(*miekg.Msg)) *miekg.Msg {
	r.t.Helper()
	return r.asked(query(name, qtype, change), r.peer())
}

func (r *rig) asked(q []byte, from Peer) *miekg.Msg {
	r.t.Helper()
	b := r.raw(q, from)
	if b == nil {
		return nil
	}
	m := new(miekg.Msg)
	if err := m.Unpack(b); err != nil {
		r.t.Fatalf("%v: %x", err, b)
	}
	return m
}

func edns(size uint16, do bool) func(*miekg.Msg) {
	return func(m *miekg.Msg) { m.SetEdns0(size, do) }
}

func ede(m *miekg.Msg) int {
	if o := m.IsEdns0(); o != nil {
		for _, opt := range o.Option {
			if e, ok := opt.(*miekg.EDNS0_EDE); ok {
				return int(e.InfoCode)
			}
		}
	}
	return -1
}
