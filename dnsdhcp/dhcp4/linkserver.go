package dhcp4

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

const (
	batch      = 32
	bufferSize = 2048 // no client sends more than its MTU; Ethernet's fits
)

// LinkServer serves one incarnation of a link.
type LinkServer struct {
	s    *Server
	conn Conn
	link atomic.Pointer[link.Link]

	mu      sync.Mutex // of what follows; held while a packet is decided about, not while it is sent
	closed  bool
	h       *Handler
	out     Outcome
	probes  map[probeKey]*probe
	free    recent
	pending sync.Pool // of *commit
}

// Link returns the server for a link with its socket, which it closes at the end of Run.
func (s *Server) Link(l link.Link, conn Conn) *LinkServer {
	ls := &LinkServer{s: s, conn: conn, h: NewHandler(s.Table), probes: map[probeKey]*probe{}}
	ls.link.Store(&l)
	ls.pending.New = func() any { return newCommit(ls) }
	return ls
}

// Update tells of new addresses or another state of the link; its index stays.
func (ls *LinkServer) Update(l link.Link) { ls.link.Store(&l) }

// Run answers until ctx ends, which is no error, or the socket fails.
func (ls *LinkServer) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = ls.conn.Close() })
	defer func() {
		if stop() {
			_ = ls.conn.Close()
		}
		ls.close()
	}()
	ds := make([]Datagram, batch)
	buf := make([]byte, batch*bufferSize)
	for {
		for i := range ds {
			ds[i] = Datagram{Payload: buf[i*bufferSize : i*bufferSize : (i+1)*bufferSize]}
		}
		n, err := ls.conn.ReadBatch(ds)
		if n > 0 {
			ls.handle(ds[:n])
		}
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("cannot read DHCP packets of %s: %w", ls.link.Load().Name, err)
		}
	}
}

func (ls *LinkServer) close() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.closed = true
	for _, p := range ls.probes {
		p.cancel()
	}
	clear(ls.probes)
}

// handle looks at the packets of one batch.
func (ls *LinkServer) handle(ds []Datagram) {
	env := ls.s.env()
	ls.s.advance(env.Now)
	r, l := ls.s.rules.Load(), ls.link.Load()
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for i := range ds {
		d := &ds[i]
		if d.IfIndex != l.Index {
			ls.s.Trace.Record(trace.Entry{
				At: env.Now, Link: l.Name, Proto: "dhcp4", What: "DHCP", Reason: ReasonWrongLink, Detail: fmt.Sprintf("interface %d", d.IfIndex),
			})
			continue
		}
		ls.one(r, env, Arrival{Link: l, From: d.From, To: d.To}, d.Payload, env.Now)
	}
}

// finish records, commits and sends what was decided.
func (ls *LinkServer) finish() {
	o := &ls.out
	for _, e := range o.Events {
		ls.s.Trace.Record(e)
		ls.s.Log.Warn("two machines with one client identifier", "link", e.Link, "what", e.Detail)
	}
	if !o.Wait {
		ls.send(&o.Entry, o.Dest, o.Reply)
		if len(o.Records) == 0 {
			return
		}
	}
	if ls.s.waiting.Add(1) > maxWaiting {
		ls.s.waiting.Add(-1)
		if o.Wait {
			o.Entry.Reply, o.Entry.Reason = "", ReasonBusy
			ls.s.Trace.Record(o.Entry)
		}
		return
	}
	c := ls.pending.Get().(*commit)
	c.recs, c.wait = append(c.recs[:0], o.Records...), o.Wait
	c.reply = append(c.reply[:0], o.Reply...)
	c.dest, c.entry = o.Dest, o.Entry
	ls.s.Commit.Commit(c.recs, c.done)
}

// send sends, if there is anything to be sent, and records.
func (ls *LinkServer) send(e *trace.Entry, to Dest, reply []byte) {
	if len(reply) > 0 {
		if err := ls.conn.Send(to, reply); err != nil {
			e.Reply, e.Reason, e.Detail = "", ReasonSend, err.Error()
		}
	}
	ls.s.Trace.Record(*e)
}

// commit is a reply that waits for its records to be durable.
type commit struct {
	ls    *LinkServer
	recs  []lease.Record
	wait  bool
	reply []byte
	dest  Dest
	entry trace.Entry
	done  func(error)
}

func newCommit(ls *LinkServer) *commit {
	c := &commit{ls: ls}
	c.done = c.durable
	return c
}

func (c *commit) durable(err error) {
	ls := c.ls
	ls.s.waiting.Add(-1)
	switch {
	case err != nil && c.wait:
		// Nothing was promised. The client asks again, and again gets a record made.
		c.entry.Reply, c.entry.Reason, c.entry.Detail = "", ReasonNotCommitted, err.Error()
		ls.s.Trace.Record(c.entry)
	case err == nil:
		for i := range c.recs {
			ls.s.Table.Written(c.recs[i])
		}
		if c.wait {
			ls.send(&c.entry, c.dest, c.reply)
		}
	}
	ls.pending.Put(c)
}
