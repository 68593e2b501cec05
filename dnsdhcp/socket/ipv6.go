package socket

import (
	"net/netip"

	"github.com/provision-net/provision/dnsdhcp/dhcp6"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/ra"
)

// one reads one datagram.
func (c conn) one(buf []byte) (message, error) {
	s := c.s
	s.readLock.Lock()
	defer s.readLock.Unlock()
	for {
		s.buffer(0, buf)
		if _, err := s.read(1); err != nil {
			return message{}, err
		}
		if m, ok := s.message(0); ok {
			return m, nil
		}
	}
}

// RA is a ra.Conn.
type RA struct {
	conn
	index int
}

var (
	allNodes   = netip.MustParseAddr("ff02::1")
	allRouters = netip.MustParseAddr("ff02::2")
	agents     = netip.MustParseAddr("ff02::1:2") // All_DHCP_Relay_Agents_and_Servers
	servers    = netip.MustParseAddr("ff05::1:3") // All_DHCP_Servers
)

// ListenRA opens the raw ICMPv6 socket of a link. Messages of any hop limit get through; who reads them judges it, so that
// a forged one has its entry and its counter. Sent are all with 255.
func ListenRA(l link.Link) (*RA, error) {
	s, err := listenICMPv6(l)
	if err != nil {
		return nil, err
	}
	return &RA{conn{s}, l.Index}, nil
}

// Receive is that of ra.Conn.
func (c *RA) Receive(buf []byte) (ra.Packet, error) {
	m, err := c.one(buf)
	if err != nil {
		return ra.Packet{}, err
	}
	return ra.Packet{Data: buf[:m.size], Src: m.peer.Addr(), Dst: m.local, HopLimit: m.hop, Index: m.index}, nil
}

// Send is that of ra.Conn.
func (c *RA) Send(data []byte, src, dst netip.Addr) error {
	return c.s.writeOne(outgoing{data: data, to: netip.AddrPortFrom(dst, 0), from: src, index: c.index})
}

// DHCP6 is a dhcp6.Conn.
type DHCP6 struct {
	conn
	index int
}

// ListenDHCP6 opens port 547 of a link.
func ListenDHCP6(l link.Link) (*DHCP6, error) {
	s, err := listenUDP(l, udpOptions{
		purpose: "DHCPv6", port: 547, family: family6, shared: true, groups: []netip.Addr{agents, servers}, hops: 64,
	})
	if err != nil {
		return nil, err
	}
	return &DHCP6{conn{s}, l.Index}, nil
}

// Receive is that of dhcp6.Conn.
func (c *DHCP6) Receive(buf []byte) (dhcp6.Packet, error) {
	m, err := c.one(buf)
	if err != nil {
		return dhcp6.Packet{}, err
	}
	return dhcp6.Packet{Data: buf[:m.size], Src: m.peer, Dst: m.local, Index: m.index}, nil
}

// Send is that of dhcp6.Conn.
func (c *DHCP6) Send(data []byte, src netip.Addr, dst netip.AddrPort) error {
	return c.s.writeOne(outgoing{data: data, to: dst, from: src, index: c.index})
}

var (
	_ ra.Conn    = (*RA)(nil)
	_ dhcp6.Conn = (*DHCP6)(nil)
)
