package dns

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	miekg "github.com/miekg/dns"

	"github.com/provision-net/provision/dnsdhcp/dns/wire"
)

// memConn is a PacketConn without a kernel.
type memConn struct {
	in     chan []Datagram
	out    chan Datagram
	closed chan struct{}
	once   sync.Once
}

func newMemConn() *memConn {
	return &memConn{in: make(chan []Datagram), out: make(chan Datagram, 100), closed: make(chan struct{})}
}

func (c *memConn) ReadBatch(d []Datagram) (int, error) {
	select {
	case in := <-c.in:
		for i, x := range in {
			n := copy(d[i].Buf, x.Buf)
			x.Cut = n < len(x.Buf)
			x.Buf = d[i].Buf[:n]
			d[i] = x
		}
		return len(in), nil
	case <-c.closed:
		return 0, net.ErrClosed
	}
}

func (c *memConn) WriteBatch(d []Datagram) (int, error) {
	for _, x := range d {
		x.Buf = slices.Clone(x.Buf)
		c.out <- x
	}
	return len(d), nil
}

func (c *memConn) Close() error { c.once.Do(func() { close(c.closed) }); return nil }

func TestServeUDP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, testConfig(t), someRecords)
		defer r.stop()
		r.up.set(func() { r.up.delay = 10 * time.Millisecond })
		conn := newMemConn()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.ServeUDP(ctx, "usb0", 7, conn) }()
		local := netip.MustParseAddr("10.0.7.1")
		from := func(port uint16, ifindex int, q []byte) Datagram {
			return Datagram{Buf: q, Peer: netip.AddrPortFrom(client.Addr(), port), Local: local, IfIndex: ifindex}
		}
		conn.in <- []Datagram{
			from(1, 7, query("world.example.", miekg.TypeA, nil)), // waits for the upstream
			from(2, 7, query("pc.lab.lan.", miekg.TypeA, nil)),
			from(3, 8, query("pc.lab.lan.", miekg.TypeA, nil)),             // another interface
			from(4, 7, []byte("ga\xffbage that is no query")),              // a response
			from(5, 7, append(query("a.", 1, nil), make([]byte, 3000)...)), // longer than the buffer
			from(6, 7, query("nobody.lab.lan.", miekg.TypeA, nil)),
		}
		got := map[uint16]int{}
		for range 3 {
			d := <-conn.out
			if d.Local != local || d.IfIndex != 7 {
				t.Errorf("reply from %v on %d", d.Local, d.IfIndex)
			}
			got[d.Peer.Port()] = int(wire.Flags(d.Buf) & 15)
		}
		if len(got) != 3 || got[1] != 0 || got[2] != 0 || got[6] != 3 {
			t.Errorf("%v", got)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		select {
		case d := <-conn.out:
			t.Errorf("one more to %v", d.Peer)
		default:
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

type memListener struct {
	conns  chan Stream
	closed chan struct{}
	once   sync.Once
}

func (l *memListener) Accept() (Stream, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return Stream{}, net.ErrClosed
	}
}

func (l *memListener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

func (l *memListener) dial(from string) net.Conn {
	ours, theirs := net.Pipe()
	l.conns <- Stream{Conn: theirs, Peer: netip.MustParseAddrPort(from), Local: netip.MustParseAddr("10.0.7.1"), IfIndex: 7}
	return ours
}

func send(c net.Conn, q []byte) error {
	_, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...))
	return err
}

func serveTCP(t *testing.T, c Config, f func(*miekg.Msg, bool) *miekg.Msg, test func(t *testing.T, r *rig, l *memListener)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, c, f)
		defer r.stop()
		l := &memListener{conns: make(chan Stream), closed: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.ServeTCP(ctx, "usb0", l) }()
		test(t, r, l)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := r.Status().Connections; n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

func TestServeTCPPipelined(t *testing.T) {
	serveTCP(t, testConfig(t), someRecords, func(t *testing.T, r *rig, l *memListener) {
		r.up.set(func() { r.up.delay = 50 * time.Millisecond })
		c := l.dial("10.0.7.20:4000")
		defer c.Close()
		slow, quick := query("world.example.", miekg.TypeA, nil), query("pc.lab.lan.", miekg.TypeA, nil)
		// Both in one segment, and one byte apart from its frame.
		var both []byte
		for _, q := range [][]byte{slow, quick} {
			both = append(binary.BigEndian.AppendUint16(both, uint16(len(q))), q...)
		}
		c.Write(both[:1])
		c.Write(both[1:])
		for _, want := range [][]byte{quick, slow} { // out of order
			b, err := readFrame(c)
			if err != nil || wire.ID(b) != wire.ID(want) {
				t.Fatalf("%v %x", err, b)
			}
		}
		start := time.Now()
		if _, err := readFrame(c); err == nil || time.Since(start) < 9*time.Second || time.Since(start) > 16*time.Second {
			t.Errorf("closed after %v: %v", time.Since(start), err)
		}
	})
}

func TestServeTCPLimits(t *testing.T) {
	c := testConfig(t)
	c.TCP.PerClient, c.TCP.Total, c.TCP.Pipeline = 2, 3, 4
	serveTCP(t, c, func(*miekg.Msg, bool) *miekg.Msg { return nil }, func(t *testing.T, r *rig, l *memListener) {
		alive := func(c net.Conn) bool {
			c.SetDeadline(time.Now().Add(time.Second))
			if send(c, query("pc.lab.lan.", miekg.TypeA, nil)) != nil {
				return false
			}
			_, err := readFrame(c)
			return err == nil
		}
		a, b := l.dial("10.0.7.20:1"), l.dial("10.0.7.20:2")
		third := l.dial("10.0.7.20:3")
		if !alive(a) || !alive(b) || alive(third) || r.notes.last().Reason != ReasonConns {
			t.Error("connections of a client")
		}
		if other := l.dial("203.0.113.9:1"); alive(other) || r.notes.last().Reason != ReasonOffLink {
			t.Error("a stranger is served")
		}
		d, e := l.dial("10.0.7.21:1"), l.dial("10.0.7.22:1")
		if !alive(d) || alive(e) {
			t.Error("connections in all")
		}
		a.Close()
		synctest.Wait()
		if f := l.dial("10.0.7.22:2"); !alive(f) {
			t.Error("the place of a closed connection is not given on")
		}
		// More questions than may be in work: the rest waits, and all are answered in the end.
		b.SetDeadline(time.Now().Add(time.Minute))
		go func() {
			for i := range 6 {
				q := query("x.example.", miekg.TypeA, nil)
				q[13] = 'a' + byte(i)
				send(b, q)
			}
		}()
		for i := range 6 {
			if m, err := readFrame(b); err != nil || wire.Flags(m)&15 != 2 {
				t.Fatalf("reply %d: %v %x", i, err, m)
			}
		}
		// What is no query ends the connection.
		bad := query("pc.lab.lan.", miekg.TypeA, nil)
		bad[2] |= 0x80
		send(d, bad)
		if _, err := readFrame(d); err == nil {
			t.Error("a reply to a response")
		}
	})
}

// TestClientThatDoesNotRead does not hold up the others, nor for ever itself.
func TestClientThatDoesNotRead(t *testing.T) {
	serveTCP(t, testConfig(t), someRecords, func(t *testing.T, r *rig, l *memListener) {
		r.up.set(func() { r.up.delay = 50 * time.Millisecond })
		deaf, good := l.dial("10.0.7.20:1"), l.dial("10.0.7.21:1")
		defer deaf.Close()
		defer good.Close()
		send(deaf, query("world.example.", miekg.TypeA, nil))
		send(good, query("world.example.", miekg.TypeA, nil))
		start := time.Now()
		if _, err := readFrame(good); err != nil || time.Since(start) > 100*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		time.Sleep(time.Minute)
		if n := r.Status().Connections; n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}
