package guard

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/facts/fib"
	"github.com/provision-net/provision/provision/host/nstest"
)

// TestMain lets the cases wait beside each other: they need time, not processors.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// world is a machine with one NIC and a neighbour that is router to a far address;
// a real TCP session between them plays the SSH session.
type world struct {
	machine, peer *nstest.NS
	session       Session
	server        net.Conn // on the machine
	client        net.Conn
}

// newWorld joins the session between the machine and the peer's address.
func newWorld(t *testing.T, local, peer string) *world {
	t.Helper()
	w := &world{machine: nstest.New(t), peer: nstest.New(t)}
	w.machine.Sh("sysctl -qw net.ipv6.conf.default.accept_dad=0")
	w.peer.Sh("sysctl -qw net.ipv6.conf.default.accept_dad=0")
	w.machine.Pair("eth0", w.peer, "p0")
	w.machine.Sh(`ip addr add 10.0.2.15/24 dev eth0
		ip -6 addr add 2001:db8:2::15/64 dev eth0 nodad
		ip route add default via 10.0.2.2
		ip -6 route add default via 2001:db8:2::2`)
	w.peer.Sh(`ip addr add 10.0.2.2/24 dev p0
		ip addr add 10.0.2.3/24 dev p0
		ip addr add 203.0.113.5/32 dev lo
		ip -6 addr add 2001:db8:2::2/64 dev p0 nodad
		ip -6 addr add 2001:db8:f::5/128 dev lo nodad`)

	l := addr(local)
	var ln net.Listener
	var err error
	w.machine.Do(func() { ln, err = net.Listen("tcp", netip.AddrPortFrom(l, 0).String()) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	port := ln.Addr().(*net.TCPAddr).Port
	w.peer.Do(func() {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: addr(peer).AsSlice()}, Timeout: 5 * time.Second}
		w.client, err = d.Dial("tcp", fmt.Sprintf("[%s]:%d", local, port))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.client.Close() })
	if w.server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.server.Close() })
	go func() { _, _ = io.Copy(io.Discard, w.client) }()
	w.session = Session{Kind: fib.Unicast, Session: facts.Session{
		Local:  w.server.LocalAddr().(*net.TCPAddr).AddrPort(),
		Remote: w.server.RemoteAddr().(*net.TCPAddr).AddrPort(),
	}}
	return w
}

func (w *world) watch(t *testing.T) *Watch {
	t.Helper()
	var g *Watch
	var err error
	w.machine.Do(func() { g, err = New(Options{Sessions: []Session{w.session}}) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// run asks the guard as the engine does, for at most d; with talk the machine writes
// each 50 ms.
func (w *world) run(g *Watch, d time.Duration, talk bool) (time.Duration, error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	begun := time.Now()
	for time.Since(begun) < d {
		var err error
		w.machine.Do(func() { err = g.Check(context.Background()) })
		if err != nil {
			return time.Since(begun), err
		}
		if talk {
			_ = w.server.SetWriteDeadline(time.Now().Add(time.Millisecond))
			_, _ = w.server.Write([]byte("8 bytes."))
		}
		<-tick.C
	}
	return time.Since(begun), nil
}

const (
	onLink4 = "10.0.2.3"
	routed4 = "203.0.113.5"
	onLink6 = "2001:db8:2::2"
	routed6 = "2001:db8:f::5"
	local4  = "10.0.2.15"
	local6  = "2001:db8:2::15"
)

func TestLossIsToldInTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, local, peer string
		cutPeer, cut      string
		talk              bool
		text              string
	}{
		{"link down, idle", local4, onLink4, "ip link set p0 down", "", false, "has not answered ARP"},
		{"link down, talking", local4, onLink4, "ip link set p0 down", "", true, "unacknowledged segments"},
		{"link down, idle, IPv6", local6, onLink6, "ip link set p0 down", "", false, "has not answered ND"},
		{"link down, talking, IPv6", local6, onLink6, "ip link set p0 down", "", true, "unacknowledged segments"},
		{"router gone, idle", local4, routed4, "ip addr flush dev p0", "", false, "the next hop 10.0.2.2 on eth0 has not answered ARP"},
		{"router gone, idle, IPv6", local6, routed6, "ip -6 addr flush dev p0", "", false, "the next hop 2001:db8:2::2 on eth0 has not answered ND"},
		{"router drops, talking", local4, routed4, "ip addr del 203.0.113.5/32 dev lo", "", true, "TCP has had"},
		{"route gone", local4, routed4, "", "ip route del default", false, "no route to 203.0.113.5"},
		{"route gone, IPv6", local6, routed6, "", "ip -6 route del default", false, "no route to 2001:db8:f::5"},
		{"route to a dead gateway", local4, routed4, "", "ip route replace default via 10.0.2.77", false, "the next hop 10.0.2.77"},
		{"address gone", local4, onLink4, "", "ip addr del 10.0.2.15/24 dev eth0", false, "its address 10.0.2.15 on this machine is gone"},
		{"address gone, IPv6", local6, onLink6, "", "ip -6 addr del 2001:db8:2::15/64 dev eth0", false, "its address 2001:db8:2::15 on this machine is gone"},
		{"own link down", local4, onLink4, "", "ip link set eth0 down", false, "lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.local, c.peer)
			g := w.watch(t)
			if _, err := w.run(g, 700*time.Millisecond, c.talk); err != nil {
				t.Fatal("before the cut: ", err)
			}
			w.peer.Sh(c.cutPeer)
			w.machine.Sh(c.cut)
			after, err := w.run(g, 8*time.Second, c.talk)
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("got %v, want %q", err, c.text)
			}
			if after > 3500*time.Millisecond {
				t.Errorf("told only after %v", after)
			}
			t.Logf("after %v: %v", after.Round(time.Millisecond), err)
		})
	}
}

func TestNoFalseAlarm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, local, peer string
		before, during    func(w *world)
		talk              bool
		evidence          string
	}{
		{"idle", local4, onLink4, nil, nil, false, "idle, its next hop 10.0.2.3 on eth0 answers ARP"},
		{"idle, IPv6", local6, routed6, nil, nil, false, "idle, its next hop 2001:db8:2::2 on eth0 answers ND"},
		{"talking", local4, routed4, nil, nil, true, "TCP makes progress"},
		{"deaf neighbour, talking", local4, onLink4, ignoreARP, nil, true, "TCP makes progress"},
		{"deaf neighbour, idle", local4, onLink4, ignoreARP, nil, false, "only its route and address are watched"},
		{"neighbour becomes deaf, TCP flows", local4, onLink4, nil, ignoreARP, true, "TCP makes progress"},
		{"dead before", local4, onLink4, func(w *world) { w.peer.Sh("ip link set p0 down") }, nil, false, "next hop cannot be asked"},
		{"stuck before", local4, onLink4, stick, nil, false, "was dead before"},
		{"short gap", local4, routed4, nil, func(w *world) {
			w.machine.Sh("ip route del default")
			time.AfterFunc(time.Second, func() { w.machine.Sh("ip route add default via 10.0.2.2") })
		}, false, "answers ARP"},
		{"session ends", local4, onLink4, nil, func(w *world) {
			w.server.Close()
			w.client.Close()
			w.peer.Sh("ip link set p0 down")
		}, false, "closed by itself"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.local, c.peer)
			if c.before != nil {
				c.before(w)
			}
			g := w.watch(t)
			if _, err := w.run(g, 300*time.Millisecond, c.talk); err != nil {
				t.Fatal(err)
			}
			if c.during != nil {
				c.during(w)
			}
			if after, err := w.run(g, 5*time.Second, c.talk); err != nil {
				t.Errorf("after %v: %v", after, err)
			}
			if got := strings.Join(g.Report(), ""); !strings.Contains(got, c.evidence) {
				t.Errorf("evidence: %s", got)
			}
		})
	}
}

// ignoreARP makes the peer deaf and gives the machine a static entry, as for a
// neighbour behind proxy devices that answer nothing.
func ignoreARP(w *world) {
	mac := func(ns *nstest.NS, dev string) string {
		w := strings.Fields(ns.Sh("ip -o link show dev " + dev))
		return w[slices.Index(w, "link/ether")+1]
	}
	w.machine.Sh("ip neigh replace 10.0.2.3 lladdr " + mac(w.peer, "p0") + " nud permanent dev eth0")
	w.peer.Sh("ip neigh replace 10.0.2.15 lladdr " + mac(w.machine, "eth0") + " nud permanent dev p0\nsysctl -qw net.ipv4.conf.p0.arp_ignore=8")
}

// stick cuts the path and waits until the session retransmits.
func stick(w *world) {
	w.peer.Sh("ip link set p0 down")
	_, _ = w.server.Write([]byte("lost"))
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 250 {
		var f *flow
		w.machine.Do(func() { f, _ = tcpInfo(w.session.Local, w.session.Remote) })
		if f != nil && f.Retransmits > 0 {
			return
		}
		<-tick.C
	}
}

func TestNoSessions(t *testing.T) {
	g, err := New(Options{Sessions: []Session{{Kind: fib.Local}}})
	if err != nil || g.Span() != 0 {
		t.Fatal(err, g.Span())
	}
	defer g.Close()
	if err := g.Check(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestSeldomChecksNeverAlarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, local4, onLink4)
	g := w.watch(t)
	later := time.Now()
	g.now = func() time.Time { later = later.Add(10 * time.Second); return later }
	for range 20 {
		var err error
		w.machine.Do(func() { err = g.Check(context.Background()) })
		if err != nil {
			t.Fatal(err)
		}
		// The answer to the last question comes at once; it is read by the next look.
		w.machine.Do(func() { answered(g) })
	}
}

// answered waits until the prober's socket has something to read.
func answered(g *Watch) {
	for _, p := range g.eye.(*kernel).probers {
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}, 1000)
	}
}
