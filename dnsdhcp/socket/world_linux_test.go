package socket

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/provision/host/nstest"
)

// world is a machine with two links, and a machine at the other end of each.
type world struct {
	server, host, lan *nstest.NS
	usb0, wlan0       link.Link
	eth0, lan0        link.Link // the peers
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{server: nstest.New(t), host: nstest.New(t), lan: nstest.New(t)}
	w.server.Pair("usb0", w.host, "eth0")
	w.server.Pair("wlan0", w.lan, "eth0")
	w.server.Sh("ip addr add 10.0.0.1/24 dev usb0\nip addr add 10.1.0.1/24 dev wlan0\n" +
		"ip addr add fe80::1/64 dev usb0 nodad\nip addr add fe80::1/64 dev wlan0 nodad")
	w.host.Sh("ip addr add fe80::2/64 dev eth0 nodad")
	w.lan.Sh("ip addr add fe80::2/64 dev eth0 nodad")
	w.usb0, w.wlan0 = look(t, w.server, "usb0"), look(t, w.server, "wlan0")
	w.eth0, w.lan0 = look(t, w.host, "eth0"), look(t, w.lan, "eth0")
	return w
}

func look(t *testing.T, ns *nstest.NS, name string) link.Link {
	t.Helper()
	var i *net.Interface
	var err error
	ns.Do(func() { i, err = net.InterfaceByName(name) })
	if err != nil {
		t.Fatal(err)
	}
	return link.Link{Name: name, Index: i.Index, MAC: i.HardwareAddr, MTU: i.MTU, Up: true, Carrier: true, Type: ethernet, Multicast: true}
}

// in opens something in a namespace, closed with the test.
func in[T interface{ Close() error }](t *testing.T, ns *nstest.NS, open func() (T, error)) T {
	t.Helper()
	var v T
	var err error
	ns.Do(func() { v, err = open() })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

// udp is a plain socket of a client.
func udp(t *testing.T, ns *nstest.NS, network, addr string) *net.UDPConn {
	t.Helper()
	c := in(t, ns, func() (net.PacketConn, error) { return net.ListenPacket(network, addr) })
	_ = c.(*net.UDPConn).SetDeadline(time.Now().Add(5 * time.Second))
	return c.(*net.UDPConn)
}

// sniffer is a packet socket that sees all frames of a link, the outgoing ones too.
type sniffer struct {
	f *os.File
	t *testing.T
}

func sniff(t *testing.T, ns *nstest.NS, l link.Link) *sniffer {
	t.Helper()
	f := in(t, ns, func() (*os.File, error) {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return nil, err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20); err != nil {
			return nil, err
		}
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: network16(unix.ETH_P_ALL), Ifindex: l.Index})
		return os.NewFile(uintptr(fd), "sniffer"), err
	})
	return &sniffer{f, t}
}

// next returns the next frame that is wanted, nil when there is none for this long.
func (s *sniffer) next(wait time.Duration, want func(frame []byte) bool) []byte {
	_ = s.f.SetReadDeadline(time.Now().Add(wait))
	for {
		b := make([]byte, 2048)
		n, err := s.f.Read(b)
		if err != nil {
			return nil
		}
		if want(b[:n]) {
			return b[:n]
		}
	}
}

// isUDP picks IPv4 datagrams from a port.
func isUDP(from uint16) func([]byte) bool {
	return func(b []byte) bool {
		return len(b) >= 42 && binary.BigEndian.Uint16(b[12:]) == unix.ETH_P_IP && b[23] == 17 && binary.BigEndian.Uint16(b[34:]) == from
	}
}

// checksums verifies both checksums of an Ethernet frame in the way of RFC 1071: all words add up to 0xffff.
func checksums(b []byte) (ip, udp bool) {
	ones := func(parts ...[]byte) bool {
		var s uint64
		for _, p := range parts {
			for i, c := range p {
				if i%2 == 0 {
					s += uint64(c) << 8
				} else {
					s += uint64(c)
				}
			}
		}
		return s%0xffff == 0
	}
	h := b[14:34]
	d := b[34 : 14+int(binary.BigEndian.Uint16(b[16:]))]
	pseudo := append(append([]byte{}, h[12:20]...), 0, 17, byte(len(d)>>8), byte(len(d)))
	return ones(h), ones(pseudo, d) && binary.BigEndian.Uint16(d[6:]) != 0
}

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
func ip(s string) netip.Addr     { return netip.MustParseAddr(s) }
