package dhcp6_test

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/dhcp6"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/ra"
	"github.com/provision-net/provision/dnsdhcp/socket"
	"github.com/provision-net/provision/provision/host/nstest"
)

// serve makes a server and a client machine, joined by lan0 and eth0.
func serve(t *testing.T) (client *nstest.NS) {
	t.Helper()
	server, client := nstest.New(t), nstest.New(t)
	for _, ns := range []*nstest.NS{server, client} {
		ns.Sh("sysctl -qw net.ipv6.conf.default.accept_dad=0")
	}
	server.Pair("lan0", client, "eth0")
	server.Sh("ip addr add fd00::1/64 dev lan0")
	clk := clock.System()
	var w *link.Watcher
	var err error
	server.Do(func() { w, err = link.Watch(link.Config{Clock: clk}) })
	if err != nil {
		t.Fatal(err)
	}
	s := dhcp6.New(dhcp6.Options{
		Name: "lan0", DUID: []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 1}, Clock: clk,
		Listen: func(l link.Link) (conn dhcp6.Conn, err error) {
			server.Do(func() { conn, err = socket.ListenDHCP6(l) })
			return conn, err
		},
	})
	s.Configure(dhcp6.Config{
		DNSSelf: true, DNS: []netip.Addr{netip.MustParseAddr("2001:db8::53")}, Search: []string{"lab.example", "home.arpa"},
		NTPSelf: true, Refresh: time.Hour,
	})
	ctx, cancel := context.WithCancel(context.Background())
	known := make(chan struct{}) // the server knows its addresses
	once := sync.OnceFunc(func() { close(known) })
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	wg.Go(func() {
		if err := w.Run(ctx); err != nil {
			t.Errorf("watcher: %v", err)
		}
	})
	wg.Go(func() {
		sub := w.Subscribe(false)
		defer sub.Close()
		for {
			select {
			case <-ctx.Done():
				return
			case <-sub.C():
				for _, c := range sub.Next().Links {
					if c.Link.Name == "lan0" {
						s.Update(c.Link)
						if ra.Self(c.Link) == netip.MustParseAddr("fd00::1") && c.Link.LinkLocal().IsValid() {
							once()
						}
					}
				}
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	select {
	case <-known:
	case <-time.After(10 * time.Second):
		t.Fatal("the server does not learn its addresses")
	}
	return client
}

// TestLibraryAsClient asks over the wire as the library does.
func TestLibraryAsClient(t *testing.T) {
	client := serve(t)
	q, err := dhcpv6.NewMessage()
	if err != nil {
		t.Fatal(err)
	}
	q.MessageType = dhcpv6.MessageTypeInformationRequest
	q.AddOption(dhcpv6.OptClientID(&dhcpv6.DUIDLL{HWType: 1, LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9}}))
	q.AddOption(dhcpv6.OptRequestedOption(dhcpv6.OptionDNSRecursiveNameServer, dhcpv6.OptionDomainSearchList, dhcpv6.OptionNTPServer, dhcpv6.OptionInformationRefreshTime))
	var conn *net.UDPConn
	client.Do(func() {
		conn, err = net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6unspecified, Port: dhcp6.ClientPort})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var index int
	client.Do(func() {
		var ifi *net.Interface
		if ifi, err = net.InterfaceByName("eth0"); err == nil {
			index = ifi.Index
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	zone := netip.MustParseAddr("ff02::1:2").WithZone(strconv.Itoa(index))
	buf := make([]byte, 2048)
	for try := 0; ; try++ { // the server may still be opening its socket
		if _, err := conn.WriteToUDPAddrPort(q.ToBytes(), netip.AddrPortFrom(zone, dhcp6.ServerPort)); err != nil && try > 20 {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if try > 20 {
				t.Fatal("no answer")
			}
			continue
		}
		m, err := dhcpv6.MessageFromBytes(buf[:n])
		if err != nil {
			t.Fatal(err)
		}
		if from.Port() != dhcp6.ServerPort || !from.Addr().IsLinkLocalUnicast() || m.TransactionID != q.TransactionID {
			t.Errorf("from %v: %v", from, m)
		}
		if d := m.Options.DNS(); len(d) != 2 || d[0].String() != "fd00::1" || d[1].String() != "2001:db8::53" {
			t.Errorf("%v", d)
		}
		if n := m.Options.NTPServers(); len(n) != 1 || n[0].String() != "fd00::1" {
			t.Errorf("%v", n)
		}
		if s := m.Options.DomainSearchList(); s == nil || strings.Join(s.Labels, " ") != "lab.example home.arpa" {
			t.Errorf("%v", s)
		}
		return
	}
}
