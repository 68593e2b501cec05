package socket

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/ipv6"

	"github.com/provision-net/provision/dnsdhcp/dhcp6"
	"github.com/provision-net/provision/dnsdhcp/dns"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/mdns"
	"github.com/provision-net/provision/dnsdhcp/ra"
)

// solicitation is a router solicitation without options.
var solicitation = []byte{133, 0, 0, 0, 0, 0, 0, 0}

// zoned writes the interface's index into an address: names are looked up in another namespace by package net.
func zoned(s string, l link.Link) string {
	return strings.ReplaceAll(s, "%eth0", fmt.Sprintf("%%%d", l.Index))
}

func unzoned(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().WithZone(""), a.Port())
}

func TestRA(t *testing.T) {
	w := newWorld(t)
	c := in(t, w.server, func() (*RA, error) { return ListenRA(w.usb0) })
	host := in(t, w.host, func() (*RA, error) { return ListenRA(w.eth0) })
	lan := in(t, w.lan, func() (*RA, error) { return ListenRA(w.lan0) })
	if err := lan.Send(solicitation, ip("fe80::2"), allRouters); err != nil {
		t.Fatal(err)
	}
	// Another type is kept out, and a forged hop limit is reported.
	forged := in(t, w.host, func() (net.PacketConn, error) {
		return net.ListenPacket("ip6:ipv6-icmp", zoned("fe80::2%eth0", w.eth0))
	})
	p := ipv6.NewPacketConn(forged)
	if err := p.SetMulticastLoopback(false); err != nil {
		t.Fatal(err)
	}
	if err := p.SetMulticastHopLimit(64); err != nil {
		t.Fatal(err)
	}
	eth0 := &net.Interface{Index: w.eth0.Index, Name: "eth0"}
	if err := p.SetMulticastInterface(eth0); err != nil {
		t.Fatal(err)
	}
	for _, m := range [][]byte{{128, 0, 0, 0, 0, 0, 0, 0}, solicitation} {
		if _, err := p.WriteTo(m, nil, &net.IPAddr{IP: net.ParseIP("ff02::2"), Zone: fmt.Sprint(w.eth0.Index)}); err != nil {
			t.Fatal(err)
		}
	}
	receive := func(c *RA) (ra.Packet, error) {
		for {
			p, err := c.Receive(make([]byte, 1500))
			if err == nil && p.Data[0] == icmpRS && len(p.Data) > len(solicitation) {
				continue // a kernel's own
			}
			return p, err
		}
	}
	got, err := receive(c)
	if err != nil || got.HopLimit != 64 || !bytes.Equal(got.Data[:2], solicitation[:2]) {
		t.Fatalf("%+v, %v", got, err)
	}
	if err := host.Send(solicitation, ip("fe80::2"), allRouters); err != nil {
		t.Fatal(err)
	}
	got, err = receive(c)
	if err != nil || got.HopLimit != 255 || got.Src != ip("fe80::2") || got.Dst != allRouters || got.Index != w.usb0.Index || len(got.Data) != 8 {
		t.Fatalf("%+v, %v", got, err)
	}
	ad := make([]byte, 16)
	ad[0] = 134
	for _, dst := range []netip.Addr{allNodes, ip("fe80::2")} {
		if err := c.Send(ad, ip("fe80::1"), dst); err != nil {
			t.Fatal(err)
		}
		got, err := receive(host)
		if err != nil || got.HopLimit != 255 || got.Src != ip("fe80::1") || got.Dst != dst || got.Data[0] != 134 {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if c.Foreign() != 0 {
		t.Errorf("%d foreign", c.Foreign())
	}
}

func TestDHCP6(t *testing.T) {
	w := newWorld(t)
	c := in(t, w.server, func() (*DHCP6, error) { return ListenDHCP6(w.usb0) })
	for _, x := range []struct {
		client *net.UDPConn
		link   link.Link
		text   string
	}{{udp(t, w.lan, "udp6", zoned("[fe80::2%eth0]:546", w.lan0)), w.lan0, "not for us"}, {udp(t, w.host, "udp6", zoned("[fe80::2%eth0]:546", w.eth0)), w.eth0, "request"}} {
		if _, err := x.client.WriteToUDPAddrPort([]byte(x.text), ap(zoned("[ff02::1:2%eth0]:547", x.link))); err != nil {
			t.Fatal(err)
		}
		if x.text == "not for us" {
			continue
		}
		buf := make([]byte, 100)
		got, err := c.Receive(buf)
		want := dhcp6.Packet{Data: []byte("request"), Src: ap("[fe80::2]:546"), Dst: agents, Index: w.usb0.Index}
		if err != nil || string(got.Data) != "request" || got.Src != want.Src || got.Dst != want.Dst || got.Index != want.Index {
			t.Errorf("%+v, %v", got, err)
		}
		if err := c.Send([]byte("reply"), ip("fe80::1"), got.Src); err != nil {
			t.Fatal(err)
		}
		n, from, err := x.client.ReadFromUDPAddrPort(buf)
		if err != nil || string(buf[:n]) != "reply" || unzoned(from) != ap("[fe80::1]:547") {
			t.Errorf("%q of %v, %v", buf[:n], from, err)
		}
	}
}

func TestDNS(t *testing.T) {
	w := newWorld(t)
	w.server.Sh("ip addr add 10.0.0.2/24 dev usb0\nip addr add 2001:db8::1/64 dev usb0 nodad")
	w.host.Sh("ip addr add 10.0.0.9/24 dev eth0\nip addr add 2001:db8::9/64 dev eth0 nodad")
	w.lan.Sh("ip addr add 10.1.0.9/24 dev eth0\nip route add 10.0.0.0/24 via 10.1.0.1")
	var conns []*DNS
	var err error
	for _, a := range []string{"10.0.0.1", "10.0.0.2", "2001:db8::1", "fe80::1"} {
		var two []*DNS
		w.server.Do(func() { two, err = ListenDNS(w.usb0, netip.MustParseAddr(a), 2) })
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, two...)
	}
	echo := make(chan error, len(conns))
	for _, c := range conns {
		go func() { echo <- echoDNS(c, w.usb0.Index) }()
	}
	// The other link asks usb0's address: the kernel takes it in, the socket does not.
	stranger := udp(t, w.lan, "udp4", "10.1.0.9:0")
	if _, err := stranger.WriteToUDPAddrPort([]byte("not for us"), ap("10.0.0.1:53")); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ network, local, server string }{
		{"udp4", "10.0.0.9:0", "10.0.0.1:53"},
		{"udp4", "10.0.0.9:0", "10.0.0.2:53"}, // the second address answers itself
		{"udp6", "[2001:db8::9]:0", "[2001:db8::1]:53"},
		{"udp6", "[fe80::2%eth0]:0", "[fe80::1%eth0]:53"},
	} {
		c := udp(t, w.host, x.network, zoned(x.local, w.eth0))
		server := ap(zoned(x.server, w.eth0))
		if _, err := c.WriteToUDPAddrPort([]byte("question"), server); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 100)
		n, from, err := c.ReadFromUDPAddrPort(b)
		if err != nil || string(b[:n]) != "question" || unzoned(from) != unzoned(server) {
			t.Errorf("%s: %q of %v, %v", x.server, b[:n], from, err)
		}
	}
	_ = stranger.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := stranger.Read(make([]byte, 10)); err == nil {
		t.Errorf("%d bytes on wlan0", n)
	}
	for _, c := range conns {
		_ = c.Close()
		if err := <-echo; err != nil {
			t.Error(err)
		}
	}

	for _, server := range []string{"10.0.0.2:53", "[fe80::1%eth0]:53"} {
		l := in(t, w.server, func() (*DNSListener, error) { return ListenDNSTCP(w.usb0, ap(server).Addr().WithZone("")) })
		var c net.Conn
		w.host.Do(func() { c, err = net.DialTimeout("tcp", zoned(server, w.eth0), 5*time.Second) })
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil || s.Local != ap(server).Addr().WithZone("") || s.IfIndex != w.usb0.Index || s.Peer.Port() == 0 || s.Peer.Addr().Zone() != "" {
			t.Errorf("%+v, %v", s, err)
		}
		_, _ = c.Close(), s.Close()
	}
	w.lan.Do(func() { _, err = net.DialTimeout("tcp", "10.0.0.2:53", time.Second) })
	if err == nil {
		t.Error("TCP from wlan0")
	}
}

// echoDNS answers until it is closed.
func echoDNS(c *DNS, index int) error {
	d := make([]dns.Datagram, 4)
	bufs := make([]byte, 4*512)
	for {
		for i := range d {
			d[i].Buf = bufs[i*512 : i*512+512]
		}
		n, err := c.ReadBatch(d)
		if err != nil {
			return nil
		}
		for _, x := range d[:n] {
			if x.IfIndex != index || x.Cut || x.Peer.Addr().Zone() != "" {
				return &net.AddrError{Err: "wrong link", Addr: x.Peer.String()}
			}
		}
		if sent, err := c.WriteBatch(d[:n]); sent != n || err != nil {
			return err
		}
	}
}

// One that cannot be sent does not keep the following back.
func TestWriteBatchGoesOn(t *testing.T) {
	w := newWorld(t)
	w.host.Sh("ip addr add 10.0.0.9/24 dev eth0")
	var conns []*DNS
	w.server.Do(func() { conns, _ = ListenDNSAddr(ap("10.0.0.1:5300"), 1) })
	if len(conns) != 1 {
		t.Fatal("no socket")
	}
	defer conns[0].Close()
	c := udp(t, w.host, "udp4", "10.0.0.9:7")
	good := dns.Datagram{Buf: []byte("good"), Peer: ap("10.0.0.9:7")}
	bad := dns.Datagram{Buf: []byte("bad"), Peer: ap("10.0.0.9:7"), Local: ip("10.99.0.1")}
	var batch []dns.Datagram
	for range 40 {
		batch = append(batch, bad, good)
	}
	if n, err := conns[0].WriteBatch(batch); n != 40 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
	for range 40 {
		b := make([]byte, 10)
		if n, err := c.Read(b); err != nil || string(b[:n]) != "good" {
			t.Errorf("%q, %v", b[:n], err)
		}
	}
}

func TestMDNS(t *testing.T) {
	w := newWorld(t)
	w.host.Sh("ip addr add 10.0.0.9/24 dev eth0")
	w.lan.Sh("ip addr add 10.1.0.9/24 dev eth0")
	c := in(t, w.server, func() (*MDNS, error) { return ListenMDNS(w.usb0) })
	beside := in(t, w.server, func() (*MDNS, error) { return ListenMDNS(w.wlan0) })
	host := in(t, w.host, func() (*MDNS, error) { return ListenMDNS(w.eth0) })
	lan := in(t, w.lan, func() (*MDNS, error) { return ListenMDNS(w.lan0) })
	groups := []netip.AddrPort{mdns.Group4, mdns.Group6}
	for _, g := range groups {
		if err := lan.Send([]mdns.Datagram{{Data: []byte("lan"), Peer: g}}); err != nil {
			t.Fatal(err)
		}
	}
	receive := func(c *MDNS, want string, from netip.Addr) mdns.Datagram {
		t.Helper()
		for {
			d := make([]mdns.Datagram, 1)
			if _, err := c.Receive(d); err != nil {
				t.Fatal(err)
			}
			if d[0].Peer.Addr() != from && string(d[0].Data) == "own" {
				continue
			}
			if string(d[0].Data) != want || d[0].Peer != netip.AddrPortFrom(from, mdns.Port) {
				t.Errorf("%+v", d[0])
			}
			return d[0]
		}
	}
	onHost := sniff(t, w.host, w.eth0)
	for i, from := range []netip.Addr{ip("10.0.0.9"), ip("fe80::2")} {
		if err := host.Send([]mdns.Datagram{{Data: []byte("host"), Peer: groups[i], Local: from}}); err != nil {
			t.Fatal(err)
		}
		if d := receive(c, "host", from); d.Local != groups[i].Addr() {
			t.Errorf("%+v", d)
		}
	}
	// Unicast and multicast alike with 255 hops.
	for _, to := range []netip.AddrPort{mdns.Group4, ap("10.0.0.9:5353"), mdns.Group6, ap("[fe80::2]:5353")} {
		if err := c.Send([]mdns.Datagram{{Data: []byte("server"), Peer: to}}); err != nil {
			t.Fatal(err)
		}
		frame := onHost.next(5*time.Second, func(b []byte) bool { return bytes.HasSuffix(b, []byte("server")) })
		if frame == nil {
			t.Fatalf("nothing for %v", to)
		}
		hops := frame[14+8]
		if to.Addr().Is6() {
			hops = frame[14+7]
		}
		if hops != 255 {
			t.Errorf("%v: %d hops", to, hops)
		}
	}
	receive(beside, "lan", ip("10.1.0.9"))
}
