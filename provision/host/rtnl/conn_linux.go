package rtnl

import (
	"context"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Conn belongs to the network namespace of the thread that opened it, and to one goroutine.
type Conn struct{ handle *nl.SocketHandle }

// Open opens the socket.
func Open() (*Conn, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("cannot open an rtnetlink socket: %w", err)
	}
	// Kernels before 4.12 do not explain themselves.
	_ = s.SetExtAck(true)
	_ = s.SetSendTimeout(&nl.SocketTimeoutTv)
	_ = s.SetReceiveTimeout(&nl.SocketTimeoutTv)
	return &Conn{&nl.SocketHandle{Socket: s}}, nil
}

// Close closes it.
func (c *Conn) Close() { c.handle.Close() }

// Do sends one request (RTM_NEWROUTE and so on, body without the header of netlink(7)) and waits
// for the kernel's answer. Errors wrap the kernel's number.
func (c *Conn) Do(ctx context.Context, kind, flags uint16, body []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	req := nl.NewNetlinkRequest(int(kind), int(flags)|unix.NLM_F_ACK)
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: c.handle}
	req.AddRawData(body)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

// AppendAttr puts one attribute, padded, behind b.
func AppendAttr(b []byte, kind uint16, data []byte) []byte {
	size := unix.SizeofNlAttr + len(data)
	b = appendU16(appendU16(b, uint16(size)), kind)
	b = append(b, data...)
	for ; size%unix.NLA_ALIGNTO != 0; size++ {
		b = append(b, 0)
	}
	return b
}

func appendU16(b []byte, n uint16) []byte {
	var x [2]byte
	nl.NativeEndian().PutUint16(x[:], n)
	return append(b, x[:]...)
}

// U32 is n as the kernel reads it.
func U32(n uint32) []byte { return nl.Uint32Attr(n) }
