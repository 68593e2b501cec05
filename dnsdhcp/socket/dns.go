package socket

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"

	"github.com/provision-net/provision/dnsdhcp/dns"
	"github.com/provision-net/provision/dnsdhcp/link"
)

const dnsPort = 53

// DNS is a dns.PacketConn.
type DNS struct{ conn }

// ListenDNS opens UDP port 53 of one address of a link, as many sockets as there are workers: the kernel deals the
// clients out (SO_REUSEPORT). Replies are never sent in fragments. For one address and not for all, because
// systemd-resolved's 127.0.0.54, which is bound to no device, keeps wildcard sockets of port 53 out.
func ListenDNS(l link.Link, addr netip.Addr, workers int) ([]*DNS, error) {
	return listenDNS(l, netip.AddrPortFrom(onLink(l, addr), dnsPort), workers)
}

// onLink is the address with its scope (RFC 4007), if it needs one.
func onLink(l link.Link, addr netip.Addr) netip.Addr {
	if addr.Is6() && addr.IsLinkLocalUnicast() {
		return addr.WithZone(l.Name)
	}
	return addr
}

// ListenDNSAddr opens UDP sockets on one address and port, whatever link it is of: for loopback addresses.
func ListenDNSAddr(addr netip.AddrPort, workers int) ([]*DNS, error) {
	return listenDNS(link.Link{}, addr, workers)
}

func listenDNS(l link.Link, addr netip.AddrPort, workers int) ([]*DNS, error) {
	o := udpOptions{purpose: "DNS", addr: addr.Addr(), port: addr.Port(), buffer: 1 << 20}
	var out []*DNS
	for i := range max(workers, 1) {
		// The first socket is bound without SO_REUSEPORT, or another server that has set it would share the port with us.
		o.reusePort, o.letReuse = i > 0, i == 0 && workers > 1
		s, err := listenUDP(l, o)
		if err != nil {
			for _, c := range out {
				_ = c.Close()
			}
			return nil, err
		}
		out = append(out, &DNS{conn{s}})
	}
	return out, nil
}

// ReadBatch is that of dns.PacketConn.
func (c *DNS) ReadBatch(d []dns.Datagram) (int, error) {
	return c.s.readBatch(len(d), func(i int) []byte { return d[i].Buf }, func(to, i int, m message) {
		d[to].Buf, d[i].Buf = d[i].Buf, d[to].Buf
		d[to].Buf = d[to].Buf[:m.size]
		d[to].Peer, d[to].Local, d[to].IfIndex, d[to].Cut = m.peer, m.local, m.index, m.cut
	})
}

// WriteBatch is that of dns.PacketConn.
func (c *DNS) WriteBatch(d []dns.Datagram) (int, error) {
	s := c.s
	s.writeLock.Lock()
	defer s.writeLock.Unlock()
	sent := 0
	var last error
	for len(d) > 0 {
		n := min(len(d), maxBatch)
		for i := range d[:n] {
			s.put(i, outgoing{data: d[i].Buf, to: d[i].Peer, from: d[i].Local, index: d[i].IfIndex})
		}
		ok, err := s.write(n)
		sent += ok
		if err != nil {
			last = err
		}
		d = d[n:]
	}
	return sent, last
}

// DNSListener is a dns.Listener.
type DNSListener struct {
	tcp   net.Listener
	index int
	gone  atomic.Bool
}

// ListenDNSTCP opens TCP port 53 of one address of a link.
func ListenDNSTCP(l link.Link, addr netip.Addr) (*DNSListener, error) {
	return listenTCP(l, netip.AddrPortFrom(onLink(l, addr), dnsPort))
}

// ListenDNSTCPAddr opens a TCP socket on one address and port, whatever link it is of.
func ListenDNSTCPAddr(addr netip.AddrPort) (*DNSListener, error) {
	return listenTCP(link.Link{}, addr)
}

func listenTCP(l link.Link, addr netip.AddrPort) (*DNSListener, error) {
	cfg := net.ListenConfig{Control: bindTo(l.Name, l.Index), KeepAlive: -1}
	cfg.SetMultipathTCP(false) // clients of a stub have no use for it
	host := ""
	if addr.Addr().IsValid() {
		host = addr.Addr().String()
	}
	if addr.Addr().Zone() != "" && l.Index != 0 {
		// Package net remembers the index of a name for a minute, and a USB link that is made anew has another one.
		host = addr.Addr().WithZone(strconv.Itoa(l.Index)).String()
	}
	tcp, err := cfg.Listen(context.Background(), "tcp", net.JoinHostPort(host, fmt.Sprint(addr.Port())))
	if err != nil {
		return nil, explain(err, failure{purpose: "DNS over TCP", link: l.Name, addr: addr.Addr(), proto: "tcp", port: addr.Port()})
	}
	return &DNSListener{tcp: tcp, index: l.Index}, nil
}

// Accept is that of dns.Listener.
func (l *DNSListener) Accept() (dns.Stream, error) {
	c, err := l.tcp.Accept()
	if err != nil {
		if l.gone.Load() {
			return dns.Stream{}, fmt.Errorf("%w: %w", ErrLinkGone, net.ErrClosed)
		}
		return dns.Stream{}, err
	}
	peer, local := addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())
	return dns.Stream{Conn: c, Peer: peer, Local: local.Addr(), IfIndex: l.index}, nil
}

func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// Close ends an Accept that waits; connections live on.
func (l *DNSListener) Close() error { return l.tcp.Close() }

// Gone closes the socket because its link does not exist any more: Accept ends with ErrLinkGone, and net.ErrClosed.
func (l *DNSListener) Gone() {
	l.gone.Store(true)
	_ = l.tcp.Close()
}

// Addr is where it listens.
func (l *DNSListener) Addr() net.Addr { return l.tcp.Addr() }

// Dialer makes connections to upstream servers. Ports are the kernel's random ones.
type Dialer struct {
	Device string     // leave by this interface whatever the routes say; empty for the routing table's choice
	Source netip.Addr // use this address; the zero Addr for the kernel's choice
}

// DialContext connects as net.Dialer does; network is udp or tcp. A deleted interface is an error of the next call.
func (d Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	nd := net.Dialer{Control: bindTo(d.Device, 0)}
	nd.SetMultipathTCP(false)
	if d.Source.IsValid() {
		ap := netip.AddrPortFrom(d.Source, 0)
		if network == "udp" || network == "udp4" || network == "udp6" {
			nd.LocalAddr = net.UDPAddrFromAddrPort(ap)
		} else {
			nd.LocalAddr = net.TCPAddrFromAddrPort(ap)
		}
	}
	return nd.DialContext(ctx, network, address)
}

var (
	_ dns.PacketConn = (*DNS)(nil)
	_ dns.Listener   = (*DNSListener)(nil)
)
