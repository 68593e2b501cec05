package bed

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/scripts/lab"
)

// Capture keeps all frames that pass an interface while the test runs.
type Capture struct {
	sock *os.File
	on   func(Packet) // called with each, before it is kept

	mu   sync.Mutex
	all  []Packet
	more chan struct{} // closed and renewed with each packet
}

// NewCapture begins a capture in a namespace.
func NewCapture(t testing.TB, ns *lab.NetNS, ifname string) *Capture {
	t.Helper()
	sock, err := packetSocket(ns, ifname)
	if err != nil {
		t.Fatal(err)
	}
	c := &Capture{sock: sock, more: make(chan struct{})}
	t.Cleanup(func() { sock.Close() })
	go c.run()
	return c
}

// Capture begins a capture of all that passes between the segment and its server.
func (s *Segment) Capture(t testing.TB) *Capture {
	t.Helper()
	return NewCapture(t, s.Wire, ServerPort)
}

func (c *Capture) run() {
	raw, err := c.sock.SyscallConn()
	if err != nil {
		return
	}
	buf := make([]byte, 1<<16)
	for {
		var n int
		var from unix.Sockaddr
		var rerr error
		if err := raw.Read(func(fd uintptr) bool {
			n, from, rerr = unix.Recvfrom(int(fd), buf, 0)
			return rerr != unix.EAGAIN
		}); err != nil {
			return
		}
		if rerr != nil {
			if rerr == unix.ENETDOWN || rerr == unix.EINTR {
				continue
			}
			return
		}
		p := decode(buf[:n])
		if ll, ok := from.(*unix.SockaddrLinklayer); ok {
			p.Out = ll.Pkttype == unix.PACKET_OUTGOING
		}
		if c.on != nil {
			c.on(p)
		}
		c.mu.Lock()
		p.N = len(c.all)
		c.all = append(c.all, p)
		close(c.more)
		c.more = make(chan struct{})
		c.mu.Unlock()
	}
}

// Mark is the number of packets so far: where to look from.
func (c *Capture) Mark() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

// Forget drops what was captured so far; marks of before are void.
func (c *Capture) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = nil
}

// Since returns the packets after a mark for which want holds.
func (c *Capture) Since(mark int, want func(Packet) bool) []Packet {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []Packet
	for _, p := range c.all[mark:] {
		if want(p) {
			out = append(out, p)
		}
	}
	return out
}

// Await waits for the first packet after a mark for which want holds; without one the test fails with all DHCP traffic there was.
func (c *Capture) Await(t testing.TB, d time.Duration, mark int, what string, want func(Packet) bool) Packet {
	t.Helper()
	p, ok := c.Find(d, mark, want)
	if !ok {
		t.Fatalf("after %v the wire has not seen %s; it has seen:\n%s", d, what, c.Text(mark))
	}
	return p
}

// Find is Await that returns whether there was one.
func (c *Capture) Find(d time.Duration, mark int, want func(Packet) bool) (Packet, bool) {
	deadline := time.After(d)
	for {
		c.mu.Lock()
		for ; mark < len(c.all); mark++ {
			if want(c.all[mark]) {
				p := c.all[mark]
				c.mu.Unlock()
				return p, true
			}
		}
		more := c.more
		c.mu.Unlock()
		select {
		case <-more:
		case <-deadline:
			return Packet{}, false
		}
	}
}

// Text is the conversation since a mark, one packet a line, without neighbour discovery and unknown frames.
func (c *Capture) Text(mark int) string {
	var b strings.Builder
	for _, p := range c.Since(mark, func(p Packet) bool { return p.DHCP != nil || p.ARP != nil || p.ICMP6 == 133 || p.ICMP6 == 134 }) {
		fmt.Fprintf(&b, "  %s %s\n", p.At.Format("05.000"), p)
	}
	return b.String()
}

// packetSocket opens an AF_PACKET socket (packet(7)) for all frames of an interface.
func packetSocket(ns *lab.NetNS, ifname string) (*os.File, error) {
	fd := -1
	err := ns.Do(func() error {
		nic, err := net.InterfaceByName(ifname)
		if err != nil {
			return err
		}
		proto := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8)
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, int(proto)); err != nil {
			return err
		}
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
		if err := unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(nic.Index), Type: unix.PACKET_MR_PROMISC}); err != nil {
			return err
		}
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: nic.Index})
	})
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return nil, fmt.Errorf("cannot capture on %s: %w", ifname, err)
	}
	return os.NewFile(uintptr(fd), "packet:"+ifname), nil
}
