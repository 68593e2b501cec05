package socket

import (
	"net/netip"

	"github.com/provision-net/provision/dnsdhcp/dhcp4"
	"github.com/provision-net/provision/dnsdhcp/link"
)

// DHCP4 is a dhcp4.Conn.
type DHCP4 struct {
	conn
	direct *framer // nil where the link has no Ethernet addresses
	index  int
}

// ListenDHCP4 opens port 67 of a link, for packets to any address. Other servers may have the port on other links.
func ListenDHCP4(l link.Link) (*DHCP4, error) {
	s, err := listenUDP(l, udpOptions{
		purpose: "DHCPv4", port: dhcp4.ServerPort, family: family4, shared: true, broadcast: true, buffer: 1 << 20,
	})
	if err != nil {
		return nil, err
	}
	c := &DHCP4{conn: conn{s}, index: l.Index}
	if l.Type == ethernet && len(l.MAC) == 6 {
		if c.direct, err = openFramer(l); err != nil {
			s.close(err)
			return nil, err
		}
	}
	return c, nil
}

// ReadBatch is that of dhcp4.Conn.
func (c *DHCP4) ReadBatch(ds []dhcp4.Datagram) (int, error) {
	return c.s.readBatch(len(ds), func(i int) []byte { return ds[i].Payload[:cap(ds[i].Payload)] }, func(to, i int, m message) {
		ds[to].Payload, ds[i].Payload = ds[i].Payload, ds[to].Payload
		ds[to].Payload = ds[to].Payload[:m.size]
		ds[to].From, ds[to].To, ds[to].IfIndex = m.peer, m.local, m.index
	})
}

var broadcast4 = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// Send is that of dhcp4.Conn. A full send buffer is an error.
func (c *DHCP4) Send(to dhcp4.Dest, payload []byte) error {
	if to.IfIndex != 0 && to.IfIndex != c.index {
		return errOtherLink
	}
	if to.Path == dhcp4.Direct && c.direct != nil && len(to.HW.Addr) == 6 && to.HW.Type == 1 {
		from := netip.AddrPortFrom(to.From, dhcp4.ServerPort)
		return c.direct.send(from, to.To, to.HW.Addr, payload)
	}
	dst := to.To
	if to.Path != dhcp4.Unicast {
		port := dst.Port()
		if port == 0 {
			port = dhcp4.ClientPort
		}
		dst = netip.AddrPortFrom(broadcast4, port)
	}
	return c.s.writeOne(outgoing{data: payload, to: dst, from: to.From, index: c.index})
}

// Close ends a ReadBatch that waits.
func (c *DHCP4) Close() error {
	if c.direct != nil {
		c.direct.close()
	}
	return c.conn.Close()
}

// Gone closes the socket because its link does not exist any more.
func (c *DHCP4) Gone() {
	if c.direct != nil {
		c.direct.close()
	}
	c.conn.Gone()
}

var _ dhcp4.Conn = (*DHCP4)(nil)
