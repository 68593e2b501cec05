package dhcp6

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

// Further reasons of entries of package trace.
const (
	ReasonSendFailed   = "send-failed"   // the kernel would not send the reply
	ReasonSocketFailed = "socket-failed" // the link's socket could not be opened, or broke
)

// Options is what a Server works with.
type Options struct {
	Name     string // of the link
	DUID     []byte // see DUID
	Clock    clock.Waker
	Listen   func(link.Link) (Conn, error)
	Recorder trace.Recorder // nil: nobody asks
	Log      *slog.Logger   // nil: discard
}

// Server answers on one link, which may come and go. It does nothing until it has a configuration; Run may be called
// once.
type Server struct {
	o     Options
	kick  chan struct{}
	ready chan struct{}

	mu         sync.RWMutex
	link       link.Link
	config     Config
	configured bool
}

// New returns a Server for one link.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{o: o, kick: make(chan struct{}, 1), ready: make(chan struct{})}
}

// Update tells of the link as it is now. It does not block.
func (s *Server) Update(l link.Link) { s.post(func() { s.link = l }) }

// Configure changes what is answered; c must be valid. It does not block.
func (s *Server) Configure(c Config) { s.post(func() { s.config, s.configured = c, true }) }

// Ready is closed when Run has looked at its first configuration. A link that is not there is no reason to wait.
func (s *Server) Ready() <-chan struct{} { return s.ready }

func (s *Server) post(f func()) {
	s.mu.Lock()
	f()
	s.mu.Unlock()
	select {
	case s.kick <- struct{}{}:
	default: // it has not looked yet
	}
}

func (s *Server) state() (link.Link, Config, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.link, s.config, s.configured
}

// Run serves until ctx ends, and returns nil.
func (s *Server) Run(ctx context.Context) error {
	var conn Conn
	var index int // of the interface that conn is of
	var up bool
	broken := make(chan error, 1) // of the reader of conn
	var retry clock.Instant       // when to open again
	var backoff time.Duration
	shut := func() {
		if conn != nil {
			if err := conn.Close(); err != nil {
				s.o.Log.Debug("cannot close a socket", "link", s.o.Name, "err", err)
			}
			conn, broken = nil, make(chan error, 1) // what the old reader says is of no interest
		}
	}
	defer shut()
	failed := func(now clock.Instant, err error) {
		backoff = min(max(time.Second, 2*backoff), 30*time.Second)
		retry = now.Add(backoff)
		s.o.Log.Warn("cannot serve DHCPv6", "link", s.o.Name, "err", err, "again in", backoff)
		s.record(trace.Entry{At: now, What: "socket", Reason: ReasonSocketFailed, Detail: err.Error()})
	}
	began := false
	for {
		now := s.o.Clock.Now()
		l, _, configured := s.state()
		if configured && !began {
			began = true
			close(s.ready)
		}
		if l.Index != index || l.Up != up {
			shut()
			index, up, retry, backoff = l.Index, l.Up, now, 0
		}
		wake := clock.Never
		if conn == nil && configured && index != 0 && up {
			if now >= retry {
				if c, err := s.o.Listen(l); err != nil {
					failed(now, err)
				} else {
					conn = c
					go s.serve(c, broken)
				}
			}
			if conn == nil {
				wake = retry
			}
		}
		due, stop := s.o.Clock.After(wake)
		select {
		case <-ctx.Done():
			stop()
			return nil
		case <-s.kick:
		case <-due:
		case err := <-broken:
			shut()
			failed(s.o.Clock.Now(), err)
		}
		stop()
	}
}

// serve answers what comes in on one socket until it breaks or is closed.
func (s *Server) serve(conn Conn, broken chan<- error) {
	buf := make([]byte, maxMessage+1) // one more, so that what was cut off is seen to be too long
	for {
		p, err := conn.Receive(buf)
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				broken <- err
			}
			return
		}
		l, c, _ := s.state()
		o := Answer(&c, &l, s.o.DUID, p)
		e := trace.Entry{At: s.o.Clock.Now(), What: o.What, HW: string(o.MAC), Addr: p.Src.Addr().String(), Reason: o.Reason}
		if o.Reply != nil {
			if err := conn.Send(o.Reply, o.From, o.To); err != nil {
				e.Reason, e.Detail = ReasonSendFailed, err.Error()
			} else {
				e.Reply = "REPLY"
			}
		}
		s.record(e)
	}
}

func (s *Server) record(e trace.Entry) {
	if s.o.Recorder == nil {
		return
	}
	e.Link, e.Proto = s.o.Name, "dhcp6"
	s.o.Recorder.Record(e)
}
