package dhcp4

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/provision-net/provision/dnsdhcp/lease"
)

var benchOpts = opts(12, "client", 61, "\x01\x52\x54\x00\x00\x00\x01")

// The whole way from packet to reply, beside what the library needs to read the packet and write the reply only.
func BenchmarkOffer(b *testing.B) {
	m := message{kind: discover, hw: ether(1), opts: with(benchOpts, 50, a100), list: usual}
	b.Run("ours", func(b *testing.B) { benchHandle(b, m) })
	b.Run("library", func(b *testing.B) { benchLibrary(b, m.packet(), dhcpv4.MessageTypeOffer) })
}

func BenchmarkAck(b *testing.B) {
	m := message{kind: request, hw: ether(1), opts: benchOpts, ci: a100, to: self, list: usual}
	b.Run("ours", func(b *testing.B) { benchHandle(b, m) })
	b.Run("library", func(b *testing.B) { benchLibrary(b, m.packet(), dhcpv4.MessageTypeAck) })
}

func benchHandle(b *testing.B, m message) {
	b.ReportAllocs()
	n := lab()
	n.Flood = 1 << 30
	w := newWorld(b, n)
	w.lease(m.hw, benchOpts)
	raw := m.packet()
	in := Arrival{Link: &w.link, From: netip.AddrPortFrom(a100, 68), To: m.to, Again: true}
	for b.Loop() {
		w.h.Handle(w.rules, w.env(), in, raw, &w.out)
		if len(w.out.Reply) == 0 {
			b.Fatal(w.out.Entry.Reason)
		}
	}
}

func benchLibrary(b *testing.B, raw []byte, kind dhcpv4.MessageType) {
	b.ReportAllocs()
	ip := net.IP{10, 0, 0, 1}
	for b.Loop() {
		req, err := dhcpv4.FromBytes(raw)
		if err != nil {
			b.Fatal(err)
		}
		r, err := dhcpv4.NewReplyFromRequest(req, dhcpv4.WithMessageType(kind), dhcpv4.WithServerIP(ip), dhcpv4.WithYourIP(net.IP{10, 0, 0, 100}),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(ip)), dhcpv4.WithLeaseTime(3600), dhcpv4.WithNetmask(net.IPMask{255, 255, 255, 0}),
			dhcpv4.WithRouter(ip), dhcpv4.WithDNS(ip), dhcpv4.WithOption(dhcpv4.OptDomainName("lan")),
			dhcpv4.WithOption(dhcpv4.OptBroadcastAddress(net.IP{10, 0, 0, 255})), dhcpv4.WithOption(dhcpv4.OptHostName("client")))
		if err != nil {
			b.Fatal(err)
		}
		_ = r.ToBytes()
	}
}

// A packet of somebody unknown when there is no room for offers any more: what a flood costs.
func BenchmarkFlood(b *testing.B) {
	b.ReportAllocs()
	w := newWorld(b, lab())
	for i := range maxOffers {
		w.h.offers.hold(w.clk.Now(), lease.Key(fmt.Sprint(i)), DefaultOffer)
	}
	raw := message{kind: discover, hw: ether(1 << 20), list: usual}.packet()
	in := Arrival{Link: &w.link, To: everybody}
	for b.Loop() {
		w.h.Handle(w.rules, w.env(), in, raw, &w.out)
		raw[31]++
		if w.out.Entry.Reply != "" {
			b.Fatal(w.out.Entry.Reason)
		}
	}
}
