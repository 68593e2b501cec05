package mdns

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/provision-net/provision/dnsdhcp/clock/clocktest"
)

// pipe is a Conn of two channels.
type pipe struct {
	in     chan Datagram
	out    chan Datagram
	closed chan struct{}
}

func (p *pipe) Receive(in []Datagram) (int, error) {
	select {
	case d, ok := <-p.in:
		if !ok {
			return 0, errors.New("broken")
		}
		in[0].Data = append(in[0].Data[:0], d.Data...)
		in[0].Peer, in[0].Local = d.Peer, d.Local
		return 1, nil
	case <-p.closed:
		return 0, net.ErrClosed
	}
}

func (p *pipe) Send(out []Datagram) error {
	for _, d := range out {
		p.out <- d
	}
	return errors.New("one of them did not work") // must not matter
}

func (p *pipe) Close() error {
	close(p.closed)
	return nil
}

func TestServe(t *testing.T) {
	clk := clocktest.New()
	r, err := New(Config{Name: "pi", Rand: func(time.Duration) time.Duration { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	p := &pipe{make(chan Datagram), make(chan Datagram, 10), make(chan struct{})}
	deadline, end := context.WithTimeout(t.Context(), 20*time.Second)
	defer end()
	ctx, cancel := context.WithCancel(deadline)
	updates := make(chan State)
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, r, p, clk, updates, nil) }()
	next := func() string {
		t.Helper()
		select {
		case d := <-p.out:
			return text(t, d)
		case <-deadline.Done():
			t.Fatal("nothing was sent")
		}
		return ""
	}
	updates <- state("10.0.0.1/24")
	for range probes {
		if s := next(); !strings.Contains(s, "[pi.local. ANY?]") {
			t.Fatal(s)
		}
		if err := clk.Waiters(deadline, 1); err != nil {
			t.Fatal(err)
		}
		clk.Advance(probeInterval)
	}
	if s := next(); !strings.Contains(s, " an "+hostA) {
		t.Fatal(s)
	}
	p.in <- packet(t, new(dns.Msg).SetQuestion("pi.local.", dns.TypeA), from("10.0.0.9:999"))
	if s := next(); !strings.Contains(s, "an {pi.local. A 10 10.0.0.1}") {
		t.Fatal(s)
	}
	cancel()
	if s := next(); !strings.Contains(s, "{pi.local. A 0 10.0.0.1}") {
		t.Fatal(s)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	<-p.closed
	if at, waiting := clk.Next(); waiting {
		t.Errorf("a timer for %v is left", at)
	}
}

func TestServeBroken(t *testing.T) {
	r, err := New(Config{Name: "pi", Link: "usb0"})
	if err != nil {
		t.Fatal(err)
	}
	p := &pipe{make(chan Datagram), make(chan Datagram, 10), make(chan struct{})}
	close(p.in)
	if err := Serve(t.Context(), r, p, clocktest.New(), nil, nil); err == nil || !strings.Contains(err.Error(), "usb0") {
		t.Error(err)
	}
	<-p.closed
}

// FuzzReceive: whatever comes in, in whichever phase, what goes out is little, well formed, and only on the link.
func FuzzReceive(f *testing.F) {
	add := func(m *dns.Msg, opts ...option) { f.Add(packet(f, m, opts...).Data, uint16(5353), true, uint8(1)) }
	add(new(dns.Msg).SetQuestion("pi.local.", dns.TypeANY), knows(f, "pi.local. 120 IN A 10.0.0.1"))
	add(new(dns.Msg).SetQuestion("_ssh._tcp.local.", dns.TypePTR), truncated)
	add(new(dns.Msg).SetQuestion("pi.local.", dns.TypeANY), wants(f, "pi.local. 120 IN A 10.0.0.9"), qu)
	add(&dns.Msg{MsgHdr: dns.MsgHdr{Response: true}, Answer: []dns.RR{rr(f, "pi.local. 120 IN A 10.0.0.9")}})
	m := new(dns.Msg)
	for range 100 {
		m.Question = append(m.Question, dns.Question{Name: "pi.local.", Qtype: dns.TypeANY, Qclass: dns.ClassINET})
	}
	add(m)
	f.Fuzz(func(t *testing.T, wire []byte, port uint16, multicast bool, wait uint8) {
		b := newBench(t)
		b.Link(b.now, state("10.0.0.1/24", "fe80::1/64"))
		for _, phase := range []time.Duration{0, 300 * time.Millisecond, 10 * time.Second} {
			b.pass(phase)
			d := packet(t, new(dns.Msg))
			d.Data = wire
			d.Peer = netAddrPort("10.0.0.9", port)
			if !multicast {
				d.Local = netAddrPort("10.0.0.1", 0).Addr()
			}
			for range 3 {
				out := b.Receive(b.now, d)
				if len(out) > 4 {
					t.Fatalf("%d packets for one", len(out))
				}
				for _, o := range out {
					if len(o.Data) > maxMessage+dns.MinMsgSize {
						t.Fatalf("%d bytes", len(o.Data))
					}
					if o.Peer != Group4 && o.Peer != Group6 && o.Peer != d.Peer {
						t.Fatalf("sent to %s", o.Peer)
					}
					text(t, o)
				}
				b.pass(time.Duration(wait) * time.Millisecond)
			}
			if len(b.pending) > maxPending || len(b.conflicts) > conflictLimit {
				t.Fatal(len(b.pending), len(b.conflicts))
			}
			for _, c := range b.claims {
				if len(c.label()) > 63 {
					t.Fatal(c.label())
				}
			}
		}
	})
}

func BenchmarkReceive(b *testing.B) {
	w := up(b)
	notOurs := packet(b, new(dns.Msg).SetQuestion("printer._ipp._tcp.local.", dns.TypeSRV))
	w.c.Trace = nil
	b.ReportAllocs()
	for b.Loop() {
		if out := w.Receive(w.now, notOurs); out != nil {
			b.Fatal(out)
		}
	}
}
