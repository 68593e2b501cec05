package killswitch

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/host/nstest"
)

// capture is a packet socket on the far side of the way out: it sees what really leaves.
type capture struct {
	t  *testing.T
	ns *nstest.NS
	fd int
}

func newCapture(t *testing.T, ns *nstest.NS, device string) *capture {
	t.Helper()
	c := &capture{t: t, ns: ns}
	var err error
	ns.Do(func() {
		var ifi *net.Interface
		if ifi, err = net.InterfaceByName(device); err != nil {
			return
		}
		proto := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
		if c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(proto)); err != nil {
			return
		}
		err = unix.Bind(c.fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: ifi.Index})
	})
	if err != nil {
		t.Skipf("skipped: cannot capture: %v", err)
	}
	t.Cleanup(func() { unix.Close(c.fd) })
	return c
}

// until reads frames up to the one that ends with mark, which was sent last of all, and returns what
// was before it, without what may always leave.
func (c *capture) until(mark string) []string {
	c.t.Helper()
	var out []string
	buf := make([]byte, 2048)
	for end := time.Now().Add(5 * time.Second); ; {
		left := time.Until(end)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}, int(max(left, 0).Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if n == 0 || err != nil {
			c.t.Fatalf("the last packet was not seen (%v); before it: %q", err, out)
		}
		n, from, err := unix.Recvfrom(c.fd, buf, 0)
		if err != nil {
			c.t.Fatal(err)
		}
		if from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		f := decodeFrame(buf[:n])
		if strings.HasSuffix(string(buf[:n]), mark) {
			return out
		}
		if !f.always() {
			out = append(out, f.String())
		}
	}
}

// frame is what a test wants to know of a packet.
type frame struct {
	kind     string // arp, udp, tcp, icmp, icmp6, other
	src, dst netip.Addr
	port     uint16 // destination; of ICMP the type
}

func (f frame) String() string { return fmt.Sprintf("%s %s > %s %d", f.kind, f.src, f.dst, f.port) }

// always is what gives a link its addresses.
func (f frame) always() bool {
	switch f.kind {
	case "arp":
		return true
	case "icmp6":
		return f.port == 133 || f.port == 135 || f.port == 136 || f.port == 131 || f.port == 132 || f.port == 143
	}
	return false
}

func decodeFrame(b []byte) frame {
	if len(b) < 14 {
		return frame{kind: "other"}
	}
	switch typ := binary.BigEndian.Uint16(b[12:]); {
	case typ == unix.ETH_P_ARP:
		return frame{kind: "arp"}
	case typ == unix.ETH_P_IP && len(b) >= 34:
		src, dst := netip.AddrFrom4([4]byte(b[26:30])), netip.AddrFrom4([4]byte(b[30:34]))
		return transport(b[23], b[14+int(b[14]&15)*4:], src, dst)
	case typ == unix.ETH_P_IPV6 && len(b) >= 54:
		src, dst := netip.AddrFrom16([16]byte(b[22:38])), netip.AddrFrom16([16]byte(b[38:54]))
		next, rest := b[20], b[54:]
		if next == 0 && len(rest) >= 8 { // hop-by-hop, of multicast listeners
			next, rest = rest[0], rest[8+int(rest[1])*8:]
		}
		return transport(next, rest, src, dst)
	}
	return frame{kind: "other"}
}

func transport(proto byte, b []byte, src, dst netip.Addr) frame {
	f := frame{kind: "other", src: src, dst: dst, port: uint16(proto)}
	if len(b) < 4 {
		return f
	}
	switch proto {
	case unix.IPPROTO_UDP:
		f.kind, f.port = "udp", binary.BigEndian.Uint16(b[2:])
	case unix.IPPROTO_TCP:
		f.kind, f.port = "tcp", binary.BigEndian.Uint16(b[2:])
	case unix.IPPROTO_ICMP:
		f.kind, f.port = "icmp", uint16(b[0])
	case unix.IPPROTO_ICMPV6:
		f.kind, f.port = "icmp6", uint16(b[0])
	}
	return f
}

// probe is one packet that somebody tries to send.
type probe struct {
	kind  string // udp, tcp, ping, 6in4 (protocol 41)
	to    string
	port  uint16
	mark  int    // SO_MARK
	dev   string // SO_BINDTODEVICE: no routing table can stop it
	text  string
	from  string // source address
	sport uint16 // source port
}

// talk connects, or sends, and waits a moment for who is there.
func (p probe) talk() error {
	d := net.Dialer{Timeout: 300 * time.Millisecond}
	if p.from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(p.from)}
	}
	c, err := d.Dial(p.kind, netip.AddrPortFrom(netip.MustParseAddr(p.to), p.port).String())
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Write([]byte(p.text + "x"))
	return err
}

// send tries; whether the kernel refuses is not the question, but what leaves.
func (p probe) send() error {
	dst := netip.MustParseAddr(p.to)
	domain, typ, proto := unix.AF_INET, unix.SOCK_DGRAM, 0
	if dst.Is6() {
		domain = unix.AF_INET6
	}
	payload := []byte(p.text)
	switch p.kind {
	case "tcp":
		typ = unix.SOCK_STREAM
	case "6in4":
		typ, proto, payload = unix.SOCK_RAW, unix.IPPROTO_IPV6, make([]byte, 40)
	case "ping":
		typ, proto, payload = unix.SOCK_RAW, unix.IPPROTO_ICMP, []byte{8, 0, 0xf7, 0xfd, 0, 1, 0, 1}
		if dst.Is6() {
			proto, payload = unix.IPPROTO_ICMPV6, []byte{128, 0, 0, 0, 0, 1, 0, 1}
		}
	}
	fd, err := unix.Socket(domain, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return err
	}
	defer unix.Close(fd) // a connection that has just begun is forgotten, and does not begin again
	if p.mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, p.mark); err != nil {
			return err
		}
	}
	if p.sport != 0 {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1)
		var at unix.Sockaddr = &unix.SockaddrInet6{Port: int(p.sport)}
		if dst.Is4() {
			at = &unix.SockaddrInet4{Port: int(p.sport)}
		}
		if err := unix.Bind(fd, at); err != nil {
			return err
		}
	}
	if a, err := netip.ParseAddr(p.from); err == nil && dst.Is4() {
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: a.As4()}); err != nil {
			return err
		}
	}
	if p.dev != "" {
		if err := unix.BindToDevice(fd, p.dev); err != nil {
			return err
		}
	}
	var to unix.Sockaddr = &unix.SockaddrInet6{Addr: dst.As16(), Port: int(p.port)}
	if p.kind == "ping" {
		to = &unix.SockaddrInet6{Addr: dst.As16()}
	}
	if dst.Is4() {
		to = &unix.SockaddrInet4{Addr: dst.As4(), Port: int(p.port)}
	}
	if p.kind == "tcp" {
		return unix.Connect(fd, to)
	}
	return unix.Sendto(fd, payload, 0, to)
}
