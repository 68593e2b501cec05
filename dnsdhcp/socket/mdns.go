package socket

import (
	"errors"
	"net/netip"

	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/mdns"
)

// MDNS is a mdns.Conn.
type MDNS struct {
	conn
	index int
}

// mdnsSize is the longest mDNS message (RFC 6762 section 17).
const mdnsSize = 9000

// ListenMDNS opens port 5353 of a link for both families, beside other responders.
func ListenMDNS(l link.Link) (*MDNS, error) {
	s, err := listenUDP(l, udpOptions{
		purpose: "mDNS", port: mdns.Port, family: familyBoth, shared: true, reusePort: true,
		groups: []netip.Addr{mdns.Group4.Addr(), mdns.Group6.Addr()}, hops: 255,
	})
	if err != nil {
		return nil, err
	}
	return &MDNS{conn{s}, l.Index}, nil
}

// Receive is that of mdns.Conn.
func (c *MDNS) Receive(in []mdns.Datagram) (int, error) {
	room := func(i int) []byte {
		if cap(in[i].Data) == 0 {
			in[i].Data = make([]byte, mdnsSize)
		}
		return in[i].Data[:cap(in[i].Data)]
	}
	return c.s.readBatch(len(in), room, func(to, i int, m message) {
		in[to].Data, in[i].Data = in[i].Data, in[to].Data
		in[to].Data = in[to].Data[:m.size]
		in[to].Peer, in[to].Local = m.peer, m.local
	})
}

// Send is that of mdns.Conn.
func (c *MDNS) Send(out []mdns.Datagram) error {
	s := c.s
	s.writeLock.Lock()
	defer s.writeLock.Unlock()
	var errs []error
	for _, d := range out {
		s.put(0, outgoing{data: d.Data, to: d.Peer, from: d.Local, index: c.index})
		if _, err := s.write(1); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

var _ mdns.Conn = (*MDNS)(nil)
