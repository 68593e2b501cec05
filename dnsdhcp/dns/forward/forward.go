// Package forward asks upstream servers: the quickest that lives, a second one when it takes long, over TCP when UDP
// does not suffice; one question at a time for all who ask the same, within a budget of memory.
package forward

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// Question is what is asked.
type Question struct {
	Wire   []byte // the question in lower-case wire form
	DO, CD bool
	Group  string
}

// Failure is why there is no answer.
type Failure uint8

const (
	None       Failure = iota
	NoUpstream         // the group has none, or is not there
	Dead               // all upstreams are in their back-off
	Timeout            // nobody answered in time
	Network            // nobody could be reached
	Garbage            // only answers that cannot be read
	Rejected           // upstreams answer with an error: Result.Rcode says which
	Looping            // all upstreams send our questions back to us
	Stopped            // the forwarder is being shut down
	Forbidden          // never by the forwarder: for whoever settles results
	Unlearnt           // likewise: whoever has to know of the answer first could not be told
)

var failures = [...]string{"", "no-upstream", "upstreams-dead", "upstream-timeout", "upstream-unreachable", "upstream-garbage", "upstream-error", "upstream-loop", "stopped", "forbidden", "not-learnt"}

// String is a stable word.
func (f Failure) String() string { return failures[f] }

// Result is what came of a question. It is shared by all who asked: read only.
type Result struct {
	// Msg is the answer without its additional section: whole, readable, of the question that was asked in whatever case.
	// nil if Failure is not None.
	Msg     []byte
	Rcode   int
	Failure Failure
	From    netip.AddrPort // of the answer
	Took    time.Duration
}

// Admission is what Ask did with a question.
type Admission uint8

const (
	Asked   Admission = iota // a new question is on its way
	Joined                   // the same question was on its way already
	NoRoom                   // the budget for questions in flight is used up
	Crowded                  // too many wait for the same question
)

// Forwarder asks. Make it with New and have it Run before Ask.
type Forwarder struct {
	asker  asker
	log    *slog.Logger
	inList func(list string, a netip.Addr) bool

	state  atomic.Pointer[state]
	token  uint64 // marks our loop probes
	serial atomic.Uint32

	mu      sync.Mutex
	ctx     context.Context
	flights map[string]*flight
	bytes   int
	waiters int
	peak    int
	refused uint64
	wg      sync.WaitGroup
}

type state struct {
	config Config
	groups map[string]*group
	ups    []*upstream
}

type flight struct {
	key     string
	q       Question
	settle  func(*Result)
	waiters []func(*Result)
}

// Options are a Forwarder's surroundings. Rand must be unpredictable (RFC 5452 section 9.2); nil is the runtime's
// ChaCha8 generator. Log may be nil.
type Options struct {
	Dialer Dialer
	Clock  clock.Clock
	Rand   func() uint64
	Log    *slog.Logger
	// InList says whether an address is in a list, for Group.Near; nil: none is in any.
	InList func(list string, a netip.Addr) bool
}

// New makes a forwarder for a valid configuration.
func New(c Config, o Options) *Forwarder {
	if o.Rand == nil {
		o.Rand = rand.Uint64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := &Forwarder{log: o.Log, inList: o.InList, flights: map[string]*flight{}}
	f.asker = asker{dialer: o.Dialer, clock: o.Clock, rand: o.Rand}
	f.token = o.Rand()
	f.Configure(c)
	return f
}

// Configure swaps the upstreams. What is known about those that stay is kept; questions in flight end as they began.
func (f *Forwarder) Configure(c Config) {
	old := f.state.Load()
	known := map[Upstream]*upstream{}
	if old != nil {
		for _, u := range old.ups {
			known[u.Upstream] = u
		}
	}
	s := &state{config: c, groups: map[string]*group{}}
	used := map[Upstream]*upstream{}
	var fresh []*upstream
	for _, g := range c.Groups {
		r := &group{name: g.Name, near: g.Near, list: g.List}
		for _, cu := range g.Upstreams {
			u := used[cu]
			if u == nil {
				if u = known[cu]; u == nil {
					u = &upstream{Upstream: cu, serial: uint16(f.serial.Add(1)), probed: -clock.Instant(probeHold)}
					fresh = append(fresh, u)
				}
				used[cu] = u
				s.ups = append(s.ups, u)
			}
			r.ups = append(r.ups, u)
		}
		s.groups[g.Name] = r
	}
	f.state.Store(s)
	for cu, u := range known {
		if used[cu] == nil {
			u.conns.closeAll()
		}
	}
	f.probeLoops(fresh)
}

// Run keeps the forwarder alive until ctx ends, and returns when the last question has.
func (f *Forwarder) Run(ctx context.Context) error {
	f.mu.Lock()
	f.ctx = ctx
	f.mu.Unlock()
	f.ProbeLoops()
	<-ctx.Done()
	f.mu.Lock()
	f.ctx = nil
	f.mu.Unlock()
	f.wg.Wait()
	for _, u := range f.state.Load().ups {
		u.conns.closeAll()
	}
	return nil
}

// LinkChanged is for when addresses or routes have changed: what was learnt about upstreams does not hold any more.
func (f *Forwarder) LinkChanged() {
	for _, u := range f.state.Load().ups {
		u.renew()
	}
	f.ProbeLoops()
}

// Ask has a question asked, unless it is being asked already; key tells questions apart. settle is called once for the
// question, before anybody is told, and may change the result; it is not for those that join. done, if not nil, once for each asker. Both are called
// on another goroutine, and only if the admission is Asked or Joined. key and q are copied.
func (f *Forwarder) Ask(key []byte, q Question, settle, done func(*Result)) Admission {
	s := f.state.Load()
	f.mu.Lock()
	defer f.mu.Unlock()
	need := 0
	if done != nil {
		need = WaiterBytes
	}
	if fl := f.flights[string(key)]; fl != nil {
		switch {
		case done == nil:
			return Joined
		case len(fl.waiters) >= s.config.MaxWaiters:
			f.refused++
			return Crowded
		case f.bytes+need > s.config.MaxBytes:
			f.refused++
			return NoRoom
		}
		fl.waiters = append(fl.waiters, done)
		f.bytes += need
		f.waiters++
		f.peak = max(f.peak, f.bytes)
		return Joined
	}
	need += FlightBytes
	if f.bytes+need > s.config.MaxBytes {
		f.refused++
		return NoRoom
	}
	q.Wire = append([]byte(nil), q.Wire...)
	fl := &flight{key: string(key), q: q, settle: settle}
	if done != nil {
		fl.waiters = append(fl.waiters, done)
		f.waiters++
	}
	f.flights[fl.key] = fl
	f.bytes += need
	f.peak = max(f.peak, f.bytes)
	ctx := f.ctx
	if ctx == nil { // not running: Run may be waiting for the last question, so none may be added
		go f.land(fl, &Result{Failure: Stopped})
		return Asked
	}
	f.wg.Go(func() { f.land(fl, f.fly(ctx, s, fl.q)) })
	return Asked
}

// land tells everybody. The question stays in flight until its answer has been settled, so that whoever asks in
// between finds either the one or the other.
func (f *Forwarder) land(fl *flight, r *Result) {
	fl.settle(r)
	f.mu.Lock()
	delete(f.flights, fl.key)
	n := len(fl.waiters)
	f.bytes -= FlightBytes + n*WaiterBytes
	f.waiters -= n
	f.mu.Unlock()
	for _, done := range fl.waiters {
		done(r)
	}
}
