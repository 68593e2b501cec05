//go:build lab && linux

package routing

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/scripts/lab"
)

// capture keeps what the box sends out by an interface, as its other end sees it.
type capture struct {
	mu   sync.Mutex
	all  []frame
	more chan struct{}
}

// frame is what a test wants to know of a packet.
type frame struct {
	at       time.Time // by the kernel
	kind     string    // arp, udp, tcp, icmp, icmp6, other
	src, dst netip.Addr
	port     uint16 // destination; of ICMP the type
	text     string // of UDP
}

func (f frame) String() string { return fmt.Sprintf("%s %s > %s %d", f.kind, f.src, f.dst, f.port) }

// newCapture opens a packet socket (packet(7)) for an interface of a namespace.
func newCapture(t *testing.T, ns *lab.NetNS, dev string) *capture {
	t.Helper()
	fd := -1
	err := ns.Do(func() error {
		ifi, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		proto := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(proto)); err != nil {
			return err
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20)
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
			return err
		}
		_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: ifi.Index})
	})
	if err != nil {
		t.Fatalf("cannot capture on %s: %v", dev, err)
	}
	c := &capture{more: make(chan struct{})}
	stop := make(chan struct{})
	ended := make(chan struct{})
	t.Cleanup(func() { close(stop); <-ended; unix.Close(fd) })
	go func() {
		defer close(ended)
		buf, oob := make([]byte, 4096), make([]byte, 256)
		for {
			n, on, _, from, err := unix.Recvmsg(fd, buf, oob, 0)
			select {
			case <-stop:
				return
			default:
			}
			ll, ok := from.(*unix.SockaddrLinklayer)
			if err != nil || !ok || ll.Pkttype == unix.PACKET_OUTGOING {
				continue // the time to look at stop, or the device is down
			}
			f := decode(buf[:n])
			f.at = stamp(oob[:on])
			c.mu.Lock()
			c.all = append(c.all, f)
			close(c.more)
			c.more = make(chan struct{})
			c.mu.Unlock()
		}
	}()
	return c
}

// stamp is when the kernel took the packet (socket(7), SO_TIMESTAMPNS).
func stamp(oob []byte) time.Time {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err == nil {
		for _, m := range msgs {
			if m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16 {
				return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
			}
		}
	}
	return time.Now()
}

func (c *capture) mark() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

// since are the frames after a mark.
func (c *capture) since(mark int) []frame {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]frame(nil), c.all[mark:]...)
}

// await waits for a frame with this text: all that was sent before it has been seen then.
func (c *capture) await(t *testing.T, mark int, text string) {
	t.Helper()
	for deadline := time.After(10 * time.Second); ; {
		c.mu.Lock()
		for ; mark < len(c.all); mark++ {
			if c.all[mark].text == text {
				c.mu.Unlock()
				return
			}
		}
		more := c.more
		c.mu.Unlock()
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("%q did not leave", text)
		}
	}
}

func decode(b []byte) frame {
	if len(b) < 14 {
		return frame{kind: "other"}
	}
	switch typ := binary.BigEndian.Uint16(b[12:]); {
	case typ == unix.ETH_P_ARP:
		return frame{kind: "arp"}
	case typ == unix.ETH_P_IP && len(b) >= 34:
		return transport(b[23], b[14+int(b[14]&15)*4:], netip.AddrFrom4([4]byte(b[26:30])), netip.AddrFrom4([4]byte(b[30:34])))
	case typ == unix.ETH_P_IPV6 && len(b) >= 54:
		next, rest := b[20], b[54:]
		if next == 0 && len(rest) >= 8 { // hop-by-hop, of multicast listeners
			next, rest = rest[0], rest[min(len(rest), 8+int(rest[1])*8):]
		}
		return transport(next, rest, netip.AddrFrom16([16]byte(b[22:38])), netip.AddrFrom16([16]byte(b[38:54])))
	}
	return frame{kind: "other"}
}

func transport(proto byte, b []byte, src, dst netip.Addr) frame {
	f := frame{kind: "other", src: src, dst: dst, port: uint16(proto)}
	if len(b) < 8 {
		return f
	}
	switch proto {
	case unix.IPPROTO_UDP:
		f.kind, f.port, f.text = "udp", binary.BigEndian.Uint16(b[2:]), strings.TrimRight(string(b[8:]), "\x00")
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
	kind string // udp, tcp, ping
	to   string
	port uint16
	mark int    // SO_MARK
	dev  string // SO_BINDTODEVICE: no routing table can stop it
	text string
}

// send tries; whether the kernel refuses is not the question, but what leaves.
func (p probe) send() error {
	dst := netip.MustParseAddr(p.to)
	domain, typ, proto, payload := unix.AF_INET, unix.SOCK_DGRAM, 0, []byte(p.text)
	if dst.Is6() {
		domain = unix.AF_INET6
	}
	switch p.kind {
	case "tcp":
		typ = unix.SOCK_STREAM
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
	defer unix.Close(fd)
	if p.mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, p.mark); err != nil {
			return err
		}
	}
	if p.dev != "" {
		if err := unix.BindToDevice(fd, p.dev); err != nil {
			return err
		}
	}
	port := int(p.port)
	if p.kind == "ping" {
		port = 0
	}
	var to unix.Sockaddr = &unix.SockaddrInet6{Addr: dst.As16(), Port: port}
	if dst.Is4() {
		to = &unix.SockaddrInet4{Addr: dst.As4(), Port: port}
	}
	if p.kind == "tcp" {
		return unix.Connect(fd, to)
	}
	return unix.Sendto(fd, payload, 0, to)
}
