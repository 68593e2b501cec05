package dhcp4

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

// pipe is a Conn whose other end is the test.
type pipe struct {
	in     chan Datagram
	out    chan sent
	closed chan struct{}
	once   sync.Once
	fail   error // of Send
}

type sent struct {
	to  Dest
	raw []byte
}

func newPipe() *pipe {
	return &pipe{in: make(chan Datagram, 64), out: make(chan sent, 64), closed: make(chan struct{})}
}

func (p *pipe) ReadBatch(ds []Datagram) (int, error) {
	select {
	case d := <-p.in:
		n := 0
		for {
			ds[n].Payload = append(ds[n].Payload[:0], d.Payload...)
			ds[n].From, ds[n].To, ds[n].IfIndex = d.From, d.To, d.IfIndex
			if n++; n == len(ds) {
				return n, nil
			}
			select {
			case d = <-p.in:
			default:
				return n, nil
			}
		}
	case <-p.closed:
		return 0, net.ErrClosed
	}
}

func (p *pipe) Send(to Dest, raw []byte) error {
	if p.fail != nil {
		return p.fail
	}
	p.out <- sent{to, append([]byte(nil), raw...)}
	return nil
}

func (p *pipe) Close() error { p.once.Do(func() { close(p.closed) }); return nil }

// disk is a Committer that the test lets write.
type disk struct {
	mu       sync.Mutex
	hold     bool
	queue    []func(error)
	queued   chan struct{}
	written  int
	degraded error
}

func (d *disk) Commit(recs []lease.Record, done func(error)) {
	d.mu.Lock()
	d.written += len(recs)
	if d.hold {
		d.queue = append(d.queue, done)
		d.mu.Unlock()
		d.queued <- struct{}{}
		return
	}
	d.mu.Unlock()
	done(nil)
}

func (d *disk) flush(err error) {
	d.mu.Lock()
	q := d.queue
	d.queue = nil
	d.mu.Unlock()
	for _, f := range q {
		f(err)
	}
}

func (d *disk) Degraded() error { d.mu.Lock(); defer d.mu.Unlock(); return d.degraded }

// prober hands the probes to the test.
type prober chan asked

type asked struct {
	addr netip.Addr
	done func(bool, lease.HW)
	ctx  context.Context
}

func (p prober) Probe(ctx context.Context, ifindex int, a netip.Addr, done func(bool, lease.HW)) {
	p <- asked{a, done, ctx}
}

type recorder struct {
	mu      sync.Mutex
	entries []trace.Entry
	added   chan trace.Entry
}

func (r *recorder) Record(e trace.Entry) {
	r.mu.Lock()
	r.entries = append(r.entries, e)
	r.mu.Unlock()
	r.added <- e
}

type served struct {
	*world
	s     *Server
	ls    *LinkServer
	pipe  *pipe
	disk  *disk
	probe prober
	rec   *recorder
}

func serve(t *testing.T, n Network) *served {
	w := newWorld(t, n)
	v := &served{world: w, pipe: newPipe(), disk: &disk{queued: make(chan struct{}, 64)}, probe: make(prober, 1024), rec: &recorder{added: make(chan trace.Entry, 4096)}}
	v.s = NewServer(Options{Table: w.table, Commit: v.disk, Prober: v.probe, Clock: w.clk, Trace: v.rec}, w.rules)
	v.ls = v.s.Link(w.link, v.pipe)
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error)
	go func() { end <- v.ls.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-end; err != nil {
			t.Error(err)
		}
	})
	return v
}

func (v *served) send(m message) {
	to := m.to
	if !to.IsValid() {
		to = everybody
	}
	from := m.ci
	if !from.IsValid() {
		from = netip.IPv4Unspecified()
	}
	v.pipe.in <- Datagram{Payload: m.packet(), From: netip.AddrPortFrom(from, 68), To: to, IfIndex: 3}
}

func within[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(10 * time.Second):
		t.Fatalf("no %s", what)
	}
	panic("not reached")
}

func (v *served) reply(what string) (Dest, wire.Packet) {
	v.t.Helper()
	s := within(v.t.(*testing.T), v.pipe.out, what)
	var p wire.Packet
	if err := p.Decode(s.raw); err != nil {
		v.t.Fatal(err)
	}
	return s.to, p
}

// reason waits for the next entry of that kind.
func (v *served) reason(want string) trace.Entry {
	v.t.Helper()
	for {
		if e := within(v.t.(*testing.T), v.rec.added, "entry "+want); e.Reason == want {
			return e
		}
	}
}
