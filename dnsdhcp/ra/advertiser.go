package ra

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

// Further reasons of entries of package trace.
const (
	ReasonSendFailed   = "send-failed"   // the kernel would not send an advertisement
	ReasonSocketFailed = "socket-failed" // the link's socket could not be opened, or broke
	ReasonSaveFailed   = "save-failed"   // stable storage would not take the announced prefixes
)

// Options is what an Advertiser works with.
type Options struct {
	Name     string      // of the link; also under what its prefixes are remembered
	Clock    clock.Waker //
	Listen   func(link.Link) (Conn, error)
	Memory   Memory         // nil: nothing outlives the process
	Recorder trace.Recorder // nil: nobody asks
	Log      *slog.Logger   // nil: discard
	Random   Random         // nil: a good one
}

// Advertiser advertises on one link, which may come and go. It does nothing until it has a configuration; Run may be
// called once.
type Advertiser struct {
	o     Options
	kick  chan struct{}
	ready chan struct{}

	mu     sync.Mutex
	inbox  inbox
	status Status
}

// inbox holds what has changed since the loop looked last; only the newest of each counts.
type inbox struct {
	link   *link.Link
	config *Config
	uplink *Uplink
}

// Status is what an Advertiser is doing.
type Status struct {
	Source  netip.Addr // not valid: nothing is advertised, the link or its address is not there
	Message Message    // what would be said now
	Sent    uint64     // advertisements, all kinds
	Last    clock.Instant
	Next    clock.Instant
}

// New returns an Advertiser for one link.
func New(o Options) *Advertiser {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Random == nil {
		o.Random = func(limit time.Duration) time.Duration { return rand.N(max(0, limit) + 1) }
	}
	return &Advertiser{o: o, kick: make(chan struct{}, 1), ready: make(chan struct{})}
}

// Update tells of the link as it is now. It does not block.
func (a *Advertiser) Update(l link.Link) { a.post(func(i *inbox) { i.link = &l }) }

// Configure changes what is advertised; c must be valid. It does not block.
func (a *Advertiser) Configure(c Config) { a.post(func(i *inbox) { i.config = &c }) }

// SetUplink tells what hosts may expect of us as a router. Without it we are none. It does not block.
func (a *Advertiser) SetUplink(u Uplink) { a.post(func(i *inbox) { i.uplink = &u }) }

// Ready is closed when Run has looked at its first configuration and link. A link that is not there is no reason to
// wait.
func (a *Advertiser) Ready() <-chan struct{} { return a.ready }

// Status returns what it does at the moment.
func (a *Advertiser) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status
}

func (a *Advertiser) post(f func(*inbox)) {
	a.mu.Lock()
	f(&a.inbox)
	a.mu.Unlock()
	select {
	case a.kick <- struct{}{}:
	default: // it has not looked yet
	}
}

// stopWithin bounds the farewell: three advertisements in twice finalGap, and a little for a slow machine.
const stopWithin = 2 * time.Second

// Run advertises until ctx ends, then says so to the link, which takes 0.8 s, and returns nil.
func (a *Advertiser) Run(ctx context.Context) error {
	l := loop{a: a, o: a.o, m: NewMachine(a.o.Random), packets: make(chan received)}
	defer l.shut()
	l.load()
	ending := ctx.Done()
	for {
		now := l.o.Clock.Now()
		l.take(now)
		l.flush(now)
		if l.m.Done() || l.stopBy != 0 && now >= l.stopBy {
			return nil
		}
		due, stop := l.o.Clock.After(l.wake())
		select {
		case <-ending:
			ending = nil
			now = l.o.Clock.Now()
			l.stopBy = now.Add(stopWithin)
			l.m.Stop(now)
		case <-a.kick:
		case <-due:
		case r := <-l.packets:
			l.receive(r)
		}
		stop()
	}
}
