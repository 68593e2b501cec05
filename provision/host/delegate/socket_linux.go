package delegate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Conn is the socket of a client on one link (port 546).
type Conn struct {
	udp *net.UDPConn
	to  *net.UDPAddr
}

// ErrBusy: another client has the port of DHCPv6 clients on the link.
var ErrBusy = errors.New("another DHCPv6 client runs on the link")

// Open opens the socket in the calling thread's network namespace.
func Open(ctx context.Context, device string) (*Conn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var doErr error
		err := c.Control(func(fd uintptr) { doErr = unix.BindToDevice(int(fd), device) })
		return errors.Join(err, doErr)
	}}
	p, err := lc.ListenPacket(ctx, "udp6", "[::]:546")
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("cannot ask for a prefix on %s: %w: it has to ask, or to be stopped", device, ErrBusy)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot ask for a prefix on %s: %w", device, err)
	}
	udp := p.(*net.UDPConn)
	return &Conn{udp: udp, to: &net.UDPAddr{IP: net.ParseIP("ff02::1:2"), Port: 547, Zone: device}}, nil
}

// Close closes it.
func (c *Conn) Close() error { return c.udp.Close() }

// Send sends to all servers and relays on the link.
func (c *Conn) Send(m Message) error {
	b, err := Encode(m)
	if err != nil {
		return err
	}
	if _, err := c.udp.WriteToUDP(b, c.to); err != nil {
		return fmt.Errorf("cannot ask for a prefix: %w", err)
	}
	return nil
}

// Receive waits for a message until the deadline (zero: without end); os.ErrDeadlineExceeded when
// none has come. What is no message of a server is passed over.
func (c *Conn) Receive(iaid uint32, deadline time.Time) (Message, error) {
	if err := c.udp.SetReadDeadline(deadline); err != nil {
		return Message{}, err
	}
	b := make([]byte, 64<<10)
	for {
		n, from, err := c.udp.ReadFromUDPAddrPort(b)
		if err != nil {
			return Message{}, err
		}
		// Servers and relays answer from the link (section 18.3, 18.4).
		if !from.Addr().IsLinkLocalUnicast() {
			continue
		}
		if m, err := Decode(b[:n], iaid); err == nil {
			return m, nil
		}
	}
}
