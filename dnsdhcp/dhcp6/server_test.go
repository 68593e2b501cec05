package dhcp6

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock/clocktest"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/trace"
)

// wire is a Conn whose other end is the test.
type wire struct {
	in     chan Packet
	broke  chan error
	out    chan []byte
	closed chan struct{}
	once   sync.Once
}

func (w *wire) Receive(buf []byte) (Packet, error) {
	select {
	case p := <-w.in:
		p.Data = buf[:copy(buf, p.Data)]
		return p, nil
	case err := <-w.broke:
		return Packet{}, err
	case <-w.closed:
		return Packet{}, net.ErrClosed
	}
}

func (w *wire) Send(b []byte, _ netip.Addr, _ netip.AddrPort) error {
	w.out <- bytes.Clone(b)
	return nil
}

func (w *wire) Close() error { w.once.Do(func() { close(w.closed) }); return nil }

type entries chan trace.Entry

func (e entries) Record(x trace.Entry) { e <- x }

func get[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case x := <-c:
		return x
	case <-time.After(10 * time.Second):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

func TestServer(t *testing.T) {
	clk := clocktest.New()
	rec := make(entries, 100)
	wires := make(chan *wire, 10)
	fail := errors.New("address in use")
	s := New(Options{
		Name: "usb0", DUID: testDUID, Clock: clk, Recorder: rec,
		Listen: func(link.Link) (Conn, error) {
			if err := fail; err != nil {
				fail = nil
				return nil, err
			}
			w := &wire{in: make(chan Packet), broke: make(chan error), out: make(chan []byte, 10), closed: make(chan struct{})}
			wires <- w
			return w, nil
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	s.Update(link.Link{Name: "usb0"})
	s.Configure(testConfig())
	get(t, s.Ready(), "readiness")
	s.Update(testLink())
	if e := get(t, rec, "the failure"); e.Reason != ReasonSocketFailed || e.Proto != "dhcp6" || e.Link != "usb0" {
		t.Errorf("%+v", e)
	}
	open := func() *wire {
		t.Helper()
		for len(wires) == 0 {
			if err := clk.Waiters(ctx, 1); err != nil {
				t.Fatal(err)
			}
			clk.Advance(time.Second)
		}
		return get(t, wires, "the socket")
	}
	w := open()
	w.in <- ask(message(typeInformationRequest, opt(optClientID, clientID...), oro(23)))
	if e := get(t, rec, "an entry"); e.Reply != "REPLY" || e.Reason != ReasonAnswered || e.HW != string(clientID[4:]) || e.Addr != "fe80::9" {
		t.Errorf("%+v", e)
	}
	if b := get(t, w.out, "a reply"); b[0] != typeReply {
		t.Errorf("%x", b)
	}
	w.in <- ask(message(typeSolicit))
	if e := get(t, rec, "an entry"); e.Reply != "" || e.Reason != ReasonStateful || e.What != "SOLICIT" {
		t.Errorf("%+v", e)
	}
	w.in <- ask(bytes.Repeat(message(typeInformationRequest), 1000))
	if e := get(t, rec, "an entry"); e.Reason != ReasonLong {
		t.Errorf("%+v", e)
	}
	// A socket that breaks is made anew, and so is one whose link was.
	w.broke <- errors.New("network is down")
	get(t, rec, "the failure")
	<-w.closed
	w = open()
	l := testLink()
	l.Index = 8
	s.Update(l)
	again := get(t, wires, "the other link's socket")
	<-w.closed
	cancel()
	if err := get(t, ended, "the end"); err != nil {
		t.Error(err)
	}
	<-again.closed
}
