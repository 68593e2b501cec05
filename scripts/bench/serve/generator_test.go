//go:build lab && linux

package serve

import (
	wire "encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/serve/bed"
)

// TestNewLeasesAtOnce is TestNewLeases with a window of clients that are always waiting, by a generator that costs much less
// than a server does: perfdhcp alone takes more than one of two processors at 5,000 leases a second.
func TestNewLeasesAtOnce(t *testing.T) {
	const live, window = 5000, 256
	rate, cpu := newFigures("durable new leases with 5,000 live ones, 256 clients always waiting", "per second (Kea does not sync)", true), newFigures("the server's CPU time for it", "ms per lease", false)
	inTurn(t, *rounds, servers(t, bed.Dnsmasq{Usual: true}, bed.Kea{}), func(t *testing.T, kind bed.Server) {
		s := bed.NewSegment(t)
		dir := t.TempDir()
		if kind.Name() == "dnsmasq" {
			if err := os.WriteFile(filepath.Join(dir, "leases"), dnsmasqLeases(live), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r := s.StartIn(t, kind, dhcp(), dir)
		from := station(t, s, "10.57.0.20/16")
		if _, err := from.Exec("ip", "route", "add", "10.55.0.0/16", "dev", "eth0"); err != nil {
			t.Fatal(err)
		}
		g, err := newGenerator(from, netip.MustParseAddr("10.57.0.20"), netip.MustParseAddr("10.55.0.1"), window)
		if err != nil {
			t.Fatal(err)
		}
		defer g.conn.Close()
		if kind.Name() != "dnsmasq" {
			if n, err := g.run(live, time.Minute); err != nil || n < live {
				t.Fatalf("%d of %d leases, %v", n, live, err)
			}
		}
		before, begin := cpuTime(r.PID()), time.Now()
		n, err := g.run(1<<30, 4*time.Second)
		if err != nil || n == 0 {
			t.Fatalf("%d leases, %v", n, err)
		}
		rate.add(kind.Name(), float64(n)/time.Since(begin).Seconds())
		cpu.add(kind.Name(), (cpuTime(r.PID())-before).Seconds()*1000/float64(n))
	})
	rate.print()
	cpu.print()
}

// generator is a relay agent with many clients behind it, of which so many are always waiting for an answer.
type generator struct {
	conn   *net.UDPConn
	batch  *ipv4.PacketConn
	server net.Addr
	relay  netip.Addr
	slots  []client
}

// client is the exchange that a slot is at.
type client struct {
	number uint32 // also its transaction and in its hardware address; modulo the number of slots it is the slot's
	packet []byte // sent last
}

func newGenerator(ns *lab.NetNS, relay, server netip.Addr, window int) (*generator, error) {
	g := &generator{server: net.UDPAddrFromAddrPort(netip.AddrPortFrom(server, 67)), relay: relay, slots: make([]client, window)}
	err := ns.Do(func() (err error) {
		g.conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(relay, 67)))
		return err
	})
	if err != nil {
		return nil, err
	}
	_ = g.conn.SetReadBuffer(4 << 20)
	g.batch = ipv4.NewPacketConn(g.conn)
	for i := range g.slots {
		g.slots[i].number = uint32(i)
	}
	return g, nil
}

// message is a DISCOVER, or with an offer the REQUEST for it, padded to the 300 bytes of BOOTP.
func (g *generator) message(to []byte, number uint32, offered, serverID []byte) []byte {
	p := append(to[:0], make([]byte, 300)...)
	p[0], p[1], p[2], p[3] = 1, 1, 6, 1
	wire.BigEndian.PutUint32(p[4:], number)
	copy(p[24:], g.relay.AsSlice())
	p[28], p[29] = 2, 0xbc
	wire.BigEndian.PutUint32(p[30:], number)
	copy(p[236:], []byte{99, 130, 83, 99, 53, 1, 1, 55, 4, 1, 3, 6, 51})
	if offered == nil {
		p[249] = 255
		return p
	}
	p[242] = 3
	copy(p[249:], []byte{50, 4})
	copy(p[251:], offered)
	copy(p[255:], []byte{54, 4})
	copy(p[257:], serverID)
	p[261] = 255
	return p
}

// run gets want leases, or as many as there is time for, and returns how many.
func (g *generator) run(want int, d time.Duration) (int, error) {
	deadline := time.Now().Add(d)
	var out []ipv4.Message
	send := func(c *client) { out = append(out, ipv4.Message{Buffers: [][]byte{c.packet}, Addr: g.server}) }
	begin := func(c *client) {
		c.number += uint32(len(g.slots))
		c.packet = g.message(c.packet, c.number, nil, nil)
		send(c)
	}
	for i := range g.slots {
		begin(&g.slots[i])
	}
	in := make([]ipv4.Message, 64)
	for i := range in {
		in[i].Buffers = [][]byte{make([]byte, 1500)}
	}
	got := 0
	for got < want && time.Now().Before(deadline) {
		for sent := 0; sent < len(out); {
			n, err := g.batch.WriteBatch(out[sent:], 0)
			if err != nil {
				return got, err
			}
			sent += n
		}
		out = out[:0]
		_ = g.conn.SetReadDeadline(time.Now().Add(time.Second))
		n, err := g.batch.ReadBatch(in, 0)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			for i := range g.slots { // lost somewhere: ask again, as clients do
				send(&g.slots[i])
			}
			continue
		}
		if err != nil {
			return got, err
		}
		for _, m := range in[:n] {
			b := m.Buffers[0][:m.N]
			if len(b) < 240 {
				return got, fmt.Errorf("a reply of %d bytes", len(b))
			}
			number := wire.BigEndian.Uint32(b[4:])
			c := &g.slots[int(number)%len(g.slots)]
			if c.number != number {
				continue // the answer to what was asked twice
			}
			switch kind, id := replyKind(b[240:]); {
			case kind == 2 && c.packet[242] == 1:
				c.packet = g.message(c.packet, number, b[16:20], id)
				send(c)
			case kind == 5 && c.packet[242] == 3:
				got++
				begin(c)
			}
		}
	}
	return got, nil
}

// replyKind finds the message type (option 53) and the server identifier (54).
func replyKind(o []byte) (kind byte, id []byte) {
	for len(o) >= 2 && o[0] != 255 {
		if o[0] == 0 {
			o = o[1:]
			continue
		}
		n := int(o[1])
		if len(o) < 2+n {
			break
		}
		switch {
		case o[0] == 53 && n == 1:
			kind = o[2]
		case o[0] == 54 && n == 4:
			id = append([]byte(nil), o[2:6]...)
		}
		o = o[2+n:]
	}
	return kind, id
}
