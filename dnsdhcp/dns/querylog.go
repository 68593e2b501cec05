package dns

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/dns/wire"
)

// Logged is a question of the query log.
type Logged struct {
	At      clock.Instant
	Link    string
	Client  netip.AddrPort
	TCP     bool
	Name    string // in presentation form, escaped for zone files: not for terminals
	Type    string
	Rcode   string // empty if nothing was answered yet
	Outcome Outcome
}

// queryLog is a ring that costs nothing while it is off.
type queryLog struct {
	on   atomic.Bool
	mu   sync.Mutex
	ring []logged
	next uint64
}

type logged struct {
	at      clock.Instant
	link    string
	client  netip.AddrPort
	qtype   uint16
	rcode   int16
	outcome Outcome
	tcp     bool
	nameLen uint8
	name    [wire.MaxName]byte
}

// set turns the log on with room for n questions, or off, which forgets them.
func (l *queryLog) set(on bool, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !on:
		l.ring = nil
	case len(l.ring) != n:
		l.ring = make([]logged, n)
		l.next = 0
	}
	l.on.Store(on)
}

func (l *queryLog) add(q *wire.Query, p Peer, now clock.Instant, o Outcome, rcode int) {
	if !l.on.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ring) == 0 {
		return
	}
	e := &l.ring[l.next%uint64(len(l.ring))]
	l.next++
	e.at, e.client, e.tcp, e.qtype, e.rcode, e.outcome = now, p.Addr, p.TCP, q.Type, int16(rcode), o
	e.link = p.Link.Name
	e.nameLen = uint8(copy(e.name[:], q.Name))
}

// read returns what is in the log, oldest first.
func (l *queryLog) read() []Logged {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := uint64(len(l.ring))
	if n == 0 {
		return nil
	}
	var out []Logged
	for i := l.next - min(l.next, n); i < l.next; i++ {
		e := &l.ring[i%n]
		g := Logged{At: e.at, Link: e.link, Client: e.client, TCP: e.tcp, Name: wire.Text(e.name[:e.nameLen]), Type: wire.TypeName(e.qtype), Outcome: e.outcome}
		if e.rcode >= 0 {
			g.Rcode = wire.RcodeName(int(e.rcode))
		}
		out = append(out, g)
	}
	return out
}
