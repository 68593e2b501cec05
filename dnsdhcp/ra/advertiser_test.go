package ra

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

func newWire() *wire {
	return &wire{in: make(chan Packet), broke: make(chan error), out: make(chan []byte, 100), closed: make(chan struct{})}
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

func (w *wire) Send(b []byte, _, dst netip.Addr) error {
	w.out <- append(bytes.Clone(b), dst.AsSlice()...)
	return nil
}

func (w *wire) Close() error { w.once.Do(func() { close(w.closed) }); return nil }

type recorder struct {
	mu sync.Mutex
	m  map[string]int
	c  chan trace.Entry
}

func (r *recorder) Record(e trace.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.m[e.Reason]++
	select {
	case r.c <- e:
	default:
	}
}

type memory struct {
	mu   sync.Mutex
	m    map[string][]byte
	fail error
}

func (m *memory) Load(key string) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.m[key]
	return b, ok
}

func (m *memory) Save(key string, b []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.m[key] = bytes.Clone(b)
	return nil
}

func (m *memory) set(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// get waits for something, but not for ever.
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

func sentMessage(t *testing.T, w *wire) (Message, netip.Addr) {
	t.Helper()
	b := get(t, w.out, "an advertisement")
	m, reason := Advertisement(Packet{Data: b[:len(b)-16], Src: ip("fe80::1"), HopLimit: 255})
	if reason != "" {
		t.Fatal(reason)
	}
	return m, netip.AddrFrom16([16]byte(b[len(b)-16:]))
}

func TestAdvertiser(t *testing.T) {
	clk := clocktest.New()
	rec := &recorder{m: map[string]int{}, c: make(chan trace.Entry, 1000)}
	mem := &memory{m: map[string][]byte{}, fail: errors.New("disk full")}
	wires := make(chan *wire, 10)
	var failing error = errors.New("no such device")
	opened := make(chan error, 10)
	a := New(Options{
		Name: "usb0", Clock: clk, Recorder: rec, Memory: mem,
		Random: func(d time.Duration) time.Duration { return d / 2 },
		Listen: func(link.Link) (Conn, error) {
			err := failing // written before the clock moves on
			failing = nil
			opened <- err
			if err != nil {
				return nil, err
			}
			w := newWire()
			wires <- w
			return w, nil
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()

	a.Configure(Default())
	a.SetUplink(Uplink{true, true})
	a.Update(link.Link{Name: "usb0"})
	get(t, a.Ready(), "readiness")
	a.Update(usb0(static))
	if err := get(t, opened, "the socket"); err == nil {
		t.Fatal("opened")
	}
	wait, done := context.WithTimeout(ctx, 10*time.Second)
	defer done()
	sleep := func(d time.Duration) {
		t.Helper()
		if err := clk.Waiters(wait, 1); err != nil {
			t.Fatal(err)
		}
		clk.Advance(d)
	}
	for len(opened) == 0 { // it tries again after a second, whenever it has gone to sleep
		sleep(time.Second)
	}
	w := get(t, wires, "the socket")
	m, to := sentMessage(t, w)
	if to != allNodes || m.RouterLifetime != 30*time.Minute || len(m.Prefixes) != 1 {
		t.Errorf("%v: %+v", to, m)
	}
	if _, ok := mem.Load("ra/usb0"); ok {
		t.Error("the disk is full and takes it")
	}

	// Somebody asks; others make no sense.
	for _, p := range []Packet{
		{Data: []byte{133, 0, 0, 0, 0, 0, 0, 0}, Src: ip("fe80::9"), HopLimit: 64, Index: 7},
		{Data: []byte{133, 0, 0, 0, 0, 0, 0, 0}, Src: ip("fe80::9"), HopLimit: 255, Index: 8},
		{Data: []byte{134}, Src: ip("fe80::9"), HopLimit: 255, Index: 7},
		{Data: []byte{134}, Src: ip("fe80::1"), HopLimit: 255, Index: 7}, // our own
		{Data: make([]byte, 3000), Src: ip("fe80::9"), HopLimit: 255, Index: 7},
		{Data: []byte{133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 9}, Src: ip("fe80::9"), HopLimit: 255, Index: 7},
	} {
		select {
		case w.in <- p:
		case <-wait.Done():
			t.Fatal("it does not read")
		}
	}
	var e trace.Entry
	for e.Reply != "RA" || e.What != "RS" {
		e = get(t, rec.c, "the solicitation's entry")
	}
	if e.Reason != ReasonUnicast || e.HW != "\x02\x00\x00\x00\x00\x09" || e.Link != "usb0" || e.Proto != "ra" || e.Addr != "fe80::9" {
		t.Errorf("%+v", e)
	}
	for to = allNodes; to == allNodes; { // its own turns may have come as well
		for len(w.out) == 0 {
			sleep(50 * time.Millisecond)
		}
		m, to = sentMessage(t, w)
	}
	if to != ip("fe80::9") || len(m.Prefixes) != 1 {
		t.Errorf("%v: %+v", to, m)
	}
	rec.mu.Lock()
	for reason, want := range map[string]int{ReasonHopLimit: 1, ReasonWrongLink: 1, ReasonShort: 1, ReasonType: 1, ReasonSocketFailed: 1, ReasonSaveFailed: 1} {
		if rec.m[reason] != want {
			t.Errorf("%s: %d times, want %d", reason, rec.m[reason], want)
		}
	}
	rec.mu.Unlock()

	// The disk has room again.
	mem.set(nil)
	for {
		if b, ok := mem.Load("ra/usb0"); ok {
			if !bytes.Contains(b, []byte(`"prefix":"fd00:0:0:1::/64"`)) {
				t.Errorf("%s", b)
			}
			break
		}
		sleep(10 * time.Second)
	}

	// The socket breaks and is made anew.
	select {
	case w.broke <- errors.New("network is down"):
	case <-wait.Done():
		t.Fatal("it does not read")
	}
	for len(wires) == 0 {
		sleep(time.Second)
	}
	w = get(t, wires, "the second socket")
	for len(w.out) == 0 { // three seconds after the last one
		sleep(time.Second)
	}
	sentMessage(t, w)

	// The end, and what it says, in less than a second of its clock.
	for len(w.out) > 0 {
		<-w.out
	}
	cancel()
	wait, done = context.WithTimeout(context.Background(), 10*time.Second)
	defer done()
	start := clk.Now()
	first, _ := sentMessage(t, w) // at once
	finals := []Message{first}
	for running := true; running; {
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
			running = false
		case b := <-w.out:
			m, _ := Advertisement(Packet{Data: b[:len(b)-16], Src: ip("fe80::1"), HopLimit: 255})
			finals = append(finals, m)
		default:
			if next, ok := clk.Next(); ok && next > clk.Now() {
				clk.Advance(next.Sub(clk.Now()))
			}
		}
	}
	for len(w.out) > 0 {
		b := <-w.out
		m, _ := Advertisement(Packet{Data: b[:len(b)-16], Src: ip("fe80::1"), HopLimit: 255})
		finals = append(finals, m)
	}
	if d := clk.Now().Sub(start); len(finals) != 3 || d > time.Second {
		t.Errorf("%d last advertisements in %v", len(finals), d)
	}
	for _, m := range finals {
		if m.RouterLifetime != 0 {
			t.Errorf("%+v", m)
		}
	}
	select {
	case <-w.closed:
	default:
		t.Error("the socket is open")
	}
}
