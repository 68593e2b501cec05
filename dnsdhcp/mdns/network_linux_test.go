package mdns_test

import (
	"context"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/mdns"
	"github.com/provision-net/provision/dnsdhcp/socket"
	"github.com/provision-net/provision/provision/host/nstest"
)

// machine is a responder in a namespace of its own.
type machine struct {
	ns      *nstest.NS
	dev     string
	link    link.Link
	updates chan mdns.State
	stop    func()
}

func prepare(ns *nstest.NS, dev string, addrs ...string) *machine {
	m := &machine{ns: ns, dev: dev}
	for _, a := range addrs {
		ns.Sh("ip addr add " + a + " dev " + dev + " " + map[bool]string{true: "nodad"}[strings.Contains(a, ":")])
		m.link.Addrs = append(m.link.Addrs, link.Addr{Prefix: netip.MustParsePrefix(a)})
	}
	ns.Sh("ip route add 224.0.0.0/4 dev " + dev)
	return m
}

func (m *machine) serve(t *testing.T, name string) {
	t.Helper()
	var err error
	var ifi *net.Interface
	var conn *socket.MDNS
	m.ns.Do(func() {
		if ifi, err = net.InterfaceByName(m.dev); err != nil {
			return
		}
		m.link.Name, m.link.Index, m.link.MTU, m.link.Up, m.link.Carrier, m.link.MAC = ifi.Name, ifi.Index, ifi.MTU, true, true, ifi.HardwareAddr
		conn, err = socket.ListenMDNS(m.link)
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := mdns.New(mdns.Config{Link: m.dev, Name: name, Services: []mdns.Service{mdns.SSH(22)}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	m.updates = make(chan mdns.State)
	go func() { done <- mdns.Serve(ctx, r, conn, clock.System(), m.updates, nil) }()
	m.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	s := mdns.State{Up: true, Addrs: m.link.Addrs}
	for _, a := range m.link.Addrs {
		s.Machine = append(s.Machine, a.Prefix.Addr())
	}
	m.updates <- s
}

// overhear joins the group in a namespace and hands over every message.
func overhear(t *testing.T, ns *nstest.NS, dev string) <-chan *dns.Msg {
	t.Helper()
	var conn *net.UDPConn
	var err error
	ns.Do(func() {
		var ifi *net.Interface
		if ifi, err = net.InterfaceByName(dev); err == nil {
			conn, err = net.ListenMulticastUDP("udp4", ifi, net.UDPAddrFromAddrPort(mdns.Group4))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	out := make(chan *dns.Msg, 100)
	go func() {
		defer close(out)
		buf := make([]byte, 9000)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			m := new(dns.Msg)
			if m.Unpack(buf[:n]) == nil {
				out <- m
			}
		}
	}()
	t.Cleanup(func() { conn.Close() })
	return out
}

// until waits for a response with such a record.
func until(t *testing.T, in <-chan *dns.Msg, what string, ttlZero bool) {
	t.Helper()
	deadline := time.After(15 * time.Second)
	for {
		select {
		case m := <-in:
			if m == nil {
				t.Fatal("closed")
			}
			for _, rr := range m.Answer {
				if m.Response && strings.Contains(rr.String(), what) && (rr.Header().Ttl == 0) == ttlZero {
					return
				}
			}
		case <-deadline:
			t.Fatalf("nobody said %q", what)
		}
	}
}

// legacy asks a group from a port of its own, as a resolver without multicast DNS does.
func legacy(t *testing.T, ns *nstest.NS, network string, group netip.Addr, want string) {
	t.Helper()
	var conn *net.UDPConn
	var err error
	ns.Do(func() {
		// A zone is looked up by name, in the namespace of whoever does it.
		to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(group, mdns.Port))
		if conn, err = net.ListenUDP(network, nil); err == nil {
			var wire []byte
			wire, err = new(dns.Msg).SetQuestion("pi.local.", dns.TypeA).Pack()
			if err == nil {
				_, err = conn.WriteToUDP(wire, to)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 9000)
	n, peer, err := conn.ReadFromUDPAddrPort(buf)
	if err != nil {
		t.Fatal(network, err)
	}
	var m dns.Msg
	if err := m.Unpack(buf[:n]); err != nil || len(m.Answer) != 1 || len(m.Question) != 1 || m.Answer[0].Header().Ttl > 10 || m.Answer[0].Header().Class != dns.ClassINET {
		t.Errorf("%s: %v %s", network, err, &m)
	}
	got := peer.Addr().Unmap()
	if got.WithZone("") != netip.MustParseAddr(want).WithZone("") || peer.Port() != mdns.Port {
		t.Errorf("%s: the answer comes from %s", network, peer)
	}
}

func TestNetwork(t *testing.T) {
	one, two := nstest.New(t), nstest.New(t)
	one.Pair("usb0", two, "eth0")
	a := prepare(one, "usb0", "10.77.0.1/24", "fe80::77:1/64")
	b := prepare(two, "eth0", "10.77.0.2/24", "fe80::77:2/64")
	heard := overhear(t, two, "eth0")
	a.serve(t, "pi")
	until(t, heard, "10.77.0.1", false)

	t.Run("dig", func(t *testing.T) {
		if _, err := exec.LookPath("dig"); err != nil {
			t.Skip("skipped: no dig; install bind9-dnsutils")
		}
		// Of our address: since 9.18 dig takes answers only from the address that it has asked, so never from a group.
		for args, want := range map[string]string{
			"pi.local A":                       "10.77.0.1",
			"PI.local AAAA":                    "fe80::77:1",
			"-x 10.77.0.1":                     "pi.local.",
			"_ssh._tcp.local PTR":              "pi._ssh._tcp.local.",
			"pi._ssh._tcp.local SRV":           "0 0 22 pi.local.",
			"pi._ssh._tcp.local TXT":           `""`,
			"_services._dns-sd._udp.local PTR": "_ssh._tcp.local.",
			"pi.local MX":                      "",
		} {
			out, err := two.Try("dig +short +tries=2 +time=2 -p 5353 @10.77.0.1 " + args)
			if got := strings.TrimSpace(out); err != nil || got != want {
				t.Errorf("dig %s: %q, want %q: %v", args, got, want, err)
			}
		}
	})
	t.Run("legacy", func(t *testing.T) {
		legacy(t, two, "udp4", mdns.Group4.Addr(), "10.77.0.1")
		legacy(t, two, "udp6", mdns.Group6.Addr().WithZone("eth0"), "fe80::77:1%eth0")
	})

	// The second machine with that name finds it taken.
	b.serve(t, "pi")
	until(t, heard, "pi-2.local.", false)
	b.stop()
	a.stop()
	until(t, heard, "10.77.0.1", true)
}
