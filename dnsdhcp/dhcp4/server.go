package dhcp4

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

// Table is the lease table as Server uses it.
type Table interface {
	Leases
	Written(lease.Record)
	Advance(now clock.Instant) []lease.Lease
	Next() (clock.Instant, bool)
}

// Committer makes records durable; *journal.Journal is one.
type Committer interface {
	// Commit calls done with nil once all records are on stable storage, in the order of the calls.
	Commit(recs []lease.Record, done func(error))
	// Degraded is why nothing can be written at the moment.
	Degraded() error
}

// Options of a Server. Prober may be nil: nothing is probed. Trace and Log may be nil.
type Options struct {
	Table  Table
	Commit Committer
	Prober Prober
	Clock  clock.Waker
	Trace  trace.Recorder
	Log    *slog.Logger
}

// Server is the DHCPv4 server of all links.
type Server struct {
	Options
	rules    atomic.Pointer[Rules]
	waiting  atomic.Int64 // replies that wait for Commit
	advanced atomic.Int64 // when Advance was last called
}

// maxWaiting bounds how many replies wait for stable storage. At 300 syncs a second, each for all that came in
// meanwhile, that is far from what a server is asked for.
const maxWaiting = 8192

// NewServer returns a server. It serves the links that are given to Link, while those run.
func NewServer(o Options, r *Rules) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Trace == nil {
		o.Trace = nowhere{}
	}
	s := &Server{Options: o}
	s.rules.Store(r)
	return s
}

type nowhere struct{}

func (nowhere) Record(trace.Entry) {}

// Reload changes the rules, from the next packet on. The table must know the networks already.
func (s *Server) Reload(r *Rules) { s.rules.Store(r) }

// Explain says what a client on that link would be answered now; t is a copy of the table, see Explain.
func (s *Server) Explain(l *link.Link, t Leases, q Query) (Answer, error) {
	return Explain(s.rules.Load(), s.env(), l, t, q)
}

func (s *Server) env() Env { return Env{Now: s.Clock.Now(), ReadOnly: s.Commit.Degraded() != nil} }

// Run lets leases and offers run out, until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	for {
		now := s.Clock.Now()
		s.advance(now)
		// A new lease may end before the one that was next when we looked, but no lease is that short. While packets come in
		// each batch looks after this as well.
		at := now.Add(30 * time.Second)
		if next, ok := s.Table.Next(); ok && next < at {
			at = max(next, now.Add(time.Second))
		}
		due, stop := s.Clock.After(at)
		select {
		case <-ctx.Done():
			stop()
			return nil
		case <-due:
			stop()
		}
	}
}

// advance gives back what has run out, at most once a second.
func (s *Server) advance(now clock.Instant) {
	last := s.advanced.Load()
	if last != 0 && now.Sub(clock.Instant(last)) < time.Second || !s.advanced.CompareAndSwap(last, int64(now)) {
		return
	}
	gone := s.Table.Advance(now)
	if len(gone) == 0 {
		return
	}
	recs := make([]lease.Record, 0, len(gone))
	for _, l := range gone {
		if l.State != lease.Offered {
			recs = append(recs, l.Record(now))
		}
		s.Trace.Record(trace.Entry{
			At: now, Proto: "dhcp4", What: "EXPIRE", HW: l.HW.Addr, Name: l.Hostname, Addr: l.Addr.String(), Reason: "expired",
		})
	}
	if len(recs) > 0 {
		s.Commit.Commit(recs, func(error) {})
	}
}

// quarantine returns how long an address of a network rests.
func (r *Rules) quarantine(name string) time.Duration {
	for i := range r.networks {
		if r.networks[i].Name == name {
			return r.networks[i].Quarantine
		}
	}
	return DefaultQuarantine
}
