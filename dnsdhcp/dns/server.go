package dns

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/dns/forward"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

// Server moves messages between sockets and a Handler. Sockets come and go with their links: ServeUDP and ServeTCP
// are called for each and return when it is closed.
type Server struct {
	*Handler
	clock   clock.Clock
	log     *slog.Logger
	forward *forward.Forwarder
	tcp     connTable
}

// Options are a Server's surroundings. Recorder, Log and Rand may be nil, see forward.Options.
type Options struct {
	Clock    clock.Clock
	Dialer   forward.Dialer
	Recorder trace.Recorder
	Log      *slog.Logger
	Rand     func() uint64
	// Learner is told of addresses before anybody else; nil: nobody is.
	Learner Learner
	// InList says whether an address is in a list, for groups with another one near; nil: none is.
	InList func(list string, a netip.Addr) bool
}

// New makes a server for a valid configuration.
func New(c Config, o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f := forward.New(c.Forward, forward.Options{Dialer: o.Dialer, Clock: o.Clock, Rand: o.Rand, Log: o.Log, InList: o.InList})
	h := NewHandler(c, f, o.Recorder)
	h.learner, h.logger = o.Learner, o.Log
	return &Server{Handler: h, clock: o.Clock, log: o.Log, forward: f}
}

// Run asks upstreams until ctx ends. Before it runs local names and nothing else are answered.
func (s *Server) Run(ctx context.Context) error { return s.forward.Run(ctx) }

// batch is how many datagrams are read and written at once.
const batch = 32

// queryRoom is the longest query that is read: RFC 6891 leaves it open, what is longer than what we announce is none
// of a client's needs.
const queryRoom = 2048

// ServeUDP answers what comes in on conn, which is bound to the interface of that name and index, until ctx ends or
// conn is closed. It closes conn.
func (s *Server) ServeUDP(ctx context.Context, link string, ifindex int, conn PacketConn) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	in, out := make([]Datagram, batch), make([]Datagram, batch)
	room := make([]byte, batch*queryRoom)
	replies := make([][]byte, batch)
	var w Scratch
	for {
		for i := range in {
			in[i] = Datagram{Buf: room[i*queryRoom : (i+1)*queryRoom : (i+1)*queryRoom]}
		}
		n, err := conn.ReadBatch(in)
		if err != nil && n == 0 {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		now, l := s.clock.Now(), s.Link(link)
		ready := 0
		for i := range in[:n] {
			d := &in[i]
			from := Peer{Addr: d.Peer, Link: l}
			if d.IfIndex != 0 && d.IfIndex != ifindex {
				from.Link = nil // it came in on another interface than it was meant for
			}
			if d.Cut {
				s.drop(from, now, ReasonCut, nil)
				continue
			}
			if replies[ready] == nil { // most are never used: few clients ask at the same moment
				replies[ready] = make([]byte, 0, 4096)
			}
			reply, miss := s.Serve(&w, d.Buf, from, now, replies[ready][:0])
			if len(reply) > 0 {
				replies[ready] = reply
				out[ready] = Datagram{Buf: reply, Peer: d.Peer, Local: d.Local, IfIndex: d.IfIndex}
				ready++
			}
			if miss != nil {
				back := Datagram{Peer: d.Peer, Local: d.Local, IfIndex: d.IfIndex}
				s.Resolve(miss, s.clock, func(reply []byte) {
					back.Buf = reply
					conn.WriteBatch([]Datagram{back}) // a reply that cannot be sent is a lost datagram: the client asks again
				})
			}
		}
		if ready > 0 {
			if _, err := conn.WriteBatch(out[:ready]); err != nil && ctx.Err() == nil {
				s.log.Debug("cannot send replies", "link", link, "err", err)
			}
		}
	}
}

// passing is how long Accept rests after an error that will pass.
const passing = 50 * time.Millisecond

// ServeTCP accepts connections until ctx ends or l is closed. It closes l and returns when all connections have ended.
func (s *Server) ServeTCP(ctx context.Context, link string, l Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	defer l.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			s.log.Debug("cannot accept", "link", link, "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(passing):
			}
			continue
		}
		from := Peer{Addr: c.Peer, TCP: true, Link: s.Link(link)}
		limits := s.state.Load().TCP
		reason := ""
		switch {
		case from.Link == nil:
			reason = ReasonNoLink
		case !from.Link.near(c.Peer.Addr()):
			reason = ReasonOffLink
		case !s.tcp.add(c.Peer.Addr(), limits):
			reason = ReasonConns
		}
		if reason != "" {
			s.drop(from, s.clock.Now(), reason, nil)
			c.Close()
			continue
		}
		wg.Go(func() {
			defer s.tcp.remove(c.Peer.Addr())
			s.converse(ctx, link, c, limits)
		})
	}
}
