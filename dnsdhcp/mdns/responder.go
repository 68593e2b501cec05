package mdns

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/miekg/dns"
	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/name"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

// Service is one thing to be found by browsing (RFC 6763).
type Service struct {
	Type     string // _ssh._tcp
	Instance string // what people see in the list, any UTF-8 of at most 63 bytes; empty for the host's name
	Port     uint16
	Text     []string // key=value (RFC 6763 section 6)
}

// SSH is the service that says where to log in.
func SSH(port uint16) Service { return Service{Type: "_ssh._tcp", Port: port} }

// Config is what a Responder is made of.
type Config struct {
	Link     string // for traces
	Name     string // one label
	Services []Service
	// Rand returns a random duration below n, for the delays that keep responders from talking at once; nil for a
	// real one.
	Rand  func(n time.Duration) time.Duration
	Trace trace.Recorder // may be nil
}

// State is what the link is like.
type State struct {
	Up      bool // it can carry packets
	Addrs   []link.Addr
	Machine []netip.Addr // all addresses of this machine: what they say is no conflict, should two links be one
}

// Times of RFC 6762 sections 6, 7.2, 8.1, 8.3 and 9.
const (
	probeWait      = 250 * time.Millisecond // at random before the first probe
	probeInterval  = 250 * time.Millisecond
	probes         = 3
	announceWait   = time.Second
	announcements  = 2
	tiebreakWait   = time.Second
	conflictWindow = 10 * time.Second
	conflictLimit  = 15
	conflictWait   = 5 * time.Second
	multicastGap   = time.Second
	defenceGap     = 250 * time.Millisecond
)

type phase uint8

const (
	down phase = iota
	probing
	running
)

// claim is a name that must be ours alone.
type claim struct {
	base   string // first label, unescaped
	suffix string // ".local." or "._ssh._tcp.local."
	n      int    // 1, and more after conflicts
}

func (c *claim) label() string {
	if c.n < 2 {
		return c.base
	}
	tail := "-" + strconv.Itoa(c.n)
	return cut(c.base, name.MaxLabel-len(tail)) + tail
}

// cut keeps at most n bytes and no part of a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

// fqdn is the name in the one form that the codec gives names in, in lower case.
func (c *claim) fqdn() string { return dns.CanonicalName(escape(c.label()) + c.suffix) }

// escape is a label in presentation form (RFC 1035 section 5.1).
func escape(label string) string {
	var b []byte
	for i := 0; i < len(label); i++ {
		switch c := label[i]; {
		case c < ' ' || c > '~':
			b = fmt.Appendf(b, "\\%03d", c)
		case slices.Contains([]byte(`.";@()\' `), c):
			b = append(b, '\\', c)
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// Responder answers for one link. It is not safe for concurrent use.
type Responder struct {
	c        Config
	claims   []*claim // the host's, then one per service
	up       State
	prefixes []netip.Prefix
	records  []*record

	phase     phase
	step      int           // probes or announcements sent
	at        clock.Instant // of the next one
	conflicts []clock.Instant
	pending   []pending
	unicast   budget
}

// New checks the configuration. The Responder is silent until Link tells it of a link that is up and has addresses.
func New(c Config) (*Responder, error) {
	if !name.Valid(c.Name) {
		return nil, fmt.Errorf("mdns: %q cannot be the name of a host", c.Name)
	}
	if c.Rand == nil {
		c.Rand = func(n time.Duration) time.Duration { return time.Duration(rand.Int64N(int64(n))) }
	}
	r := &Responder{c: c, at: clock.Never}
	r.claims = append(r.claims, &claim{base: c.Name, suffix: ".local.", n: 1})
	for i, s := range c.Services {
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("mdns: service %d: %w", i+1, err)
		}
		instance := s.Instance
		if instance == "" {
			instance = c.Name
		}
		cl := &claim{base: instance, suffix: "." + dns.CanonicalName(s.Type) + "local.", n: 1}
		for _, o := range r.claims {
			if o.fqdn() == cl.fqdn() {
				return nil, fmt.Errorf("mdns: service %d: the same name and type as another", i+1)
			}
		}
		r.claims = append(r.claims, cl)
	}
	return r, nil
}

// Name is the host's name at the moment, with local and the final dot.
func (r *Responder) Name() string { return r.claims[0].fqdn() }

// Ready reports whether the names are ours and are answered for.
func (r *Responder) Ready() bool { return r.phase == running }

// Next is when Wake wants to be called.
func (r *Responder) Next() clock.Instant {
	next := r.at
	for _, p := range r.pending {
		next = min(next, p.due)
	}
	return next
}

// Link takes the state of the link and returns what is to be sent about a change: addresses that are gone are taken
// back. A link that comes up is a new world, in which the names must be asked for again (RFC 6762 section 8).
func (r *Responder) Link(now clock.Instant, s State) []Datagram {
	var prefixes []netip.Prefix
	for _, a := range s.Addrs {
		prefixes = append(prefixes, a.Prefix.Masked())
	}
	r.prefixes = prefixes
	if len(published(s)) == 0 {
		s.Up = false
	}
	was := r.up
	r.up = s
	switch {
	case !s.Up:
		r.phase, r.at, r.pending, r.records = down, clock.Never, nil, nil
		return nil
	case r.phase == down:
		r.rebuild()
		r.begin(now, 0)
		return nil
	case slices.Equal(published(was), published(s)):
		return nil
	}
	old := r.records
	r.rebuild()
	if r.phase == probing {
		return nil
	}
	r.step, r.at = 0, now
	var lost []*record
	for _, o := range old {
		if o.kind == address && !slices.ContainsFunc(r.records, func(n *record) bool { return sameData(o.rr, n.rr) }) {
			lost = append(lost, o)
		}
	}
	return r.goodbye(lost)
}

// Stop returns the goodbyes (RFC 6762 section 10.1). The Responder is silent from then on.
func (r *Responder) Stop() []Datagram {
	var out []Datagram
	if r.phase == running {
		out = r.goodbye(r.records)
	}
	r.phase, r.at, r.pending = down, clock.Never, nil
	return out
}

// Wake does what is due.
func (r *Responder) Wake(now clock.Instant) []Datagram {
	var out []Datagram
	if r.at <= now {
		switch {
		case r.phase == probing && r.step < probes:
			out = r.probe()
			r.step++
			r.at = now.Add(probeInterval)
		case r.phase == probing:
			r.phase, r.step = running, 0
			fallthrough
		case r.phase == running:
			for _, fam := range r.families() {
				out = append(out, r.multicast(now, fam, r.positive(), nil)...)
			}
			if r.step++; r.step < announcements {
				r.at = now.Add(announceWait)
			} else {
				r.at = clock.Never
			}
		}
	}
	return append(out, r.flush(now)...)
}

// begin starts probing all names after a while.
func (r *Responder) begin(now clock.Instant, wait time.Duration) {
	r.phase, r.step, r.pending = probing, 0, nil
	r.at = now.Add(wait + r.c.Rand(probeWait))
}

// lost gives the claim another name and starts again, slower if that happens too often (RFC 6762 section 8.1).
func (r *Responder) lost(now clock.Instant, c *claim) {
	c.n++
	if c.n > 9999 {
		c.n = 2
	}
	r.rebuild()
	r.again(now)
}

func (r *Responder) again(now clock.Instant) {
	r.conflicts = slices.DeleteFunc(r.conflicts, func(t clock.Instant) bool { return now.Sub(t) >= conflictWindow })
	r.conflicts = append(r.conflicts, now)
	wait := time.Duration(0)
	if len(r.conflicts) >= conflictLimit {
		wait = conflictWait
		r.conflicts = r.conflicts[len(r.conflicts)-conflictLimit:]
	}
	r.begin(now, wait)
}

// onLink is RFC 6762 section 11: nobody from elsewhere is listened to.
func (r *Responder) onLink(a netip.Addr) bool {
	if a.IsLinkLocalUnicast() {
		return true
	}
	return slices.ContainsFunc(r.prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
}
