package wireguard

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/provision-net/provision/provision/host/rtnl"
)

// Sockets is the directory where wg(8) looks for the sockets of userspace devices.
const Sockets = "/var/run/wireguard"

// answerLimit bounds how long a userspace device may take to answer.
const answerLimit = 10 * time.Second

// attempts bounds how often a dump is repeated that a change interrupted.
const attempts = 8

// conn is one generic netlink socket in the calling thread's network namespace. The zero value opens
// it when it is needed.
type conn struct {
	handle *nl.SocketHandle
	family uint16
}

func (c *conn) close() {
	if c.handle != nil {
		c.handle.Close()
	}
}

// open finds the family, which the kernel knows as soon as there is a device.
func (c *conn) open(ctx context.Context) error {
	if c.family != 0 {
		return nil
	}
	s, err := nl.Subscribe(unix.NETLINK_GENERIC)
	if err != nil {
		return fmt.Errorf("cannot open a generic netlink socket: %w", err)
	}
	_ = s.SetExtAck(true) // kernels before 4.12 do not explain themselves
	_ = s.SetSendTimeout(&nl.SocketTimeoutTv)
	_ = s.SetReceiveTimeout(&nl.SocketTimeoutTv)
	c.handle = &nl.SocketHandle{Socket: s}
	body := rtnl.AppendAttr([]byte{unix.CTRL_CMD_GETFAMILY, 1, 0, 0}, unix.CTRL_ATTR_FAMILY_NAME, append([]byte(familyName), 0))
	msgs, err := c.do(ctx, unix.GENL_ID_CTRL, 0, body)
	if err != nil {
		return fmt.Errorf("the kernel's WireGuard does not answer: %w", err)
	}
	for _, m := range msgs {
		attrs, err := netdev.ParseAttrs(m[min(4, len(m)):])
		if err != nil {
			return fmt.Errorf("%w: %w", errAnswer, err)
		}
		for _, a := range attrs {
			if a.Kind == unix.CTRL_ATTR_FAMILY_ID {
				c.family = uint16(number(a.Data))
			}
		}
	}
	if c.family == 0 {
		return errAnswer
	}
	return nil
}

// do sends one request and gives the messages that answer it.
func (c *conn) do(ctx context.Context, family, flags uint16, body []byte) ([][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	req := nl.NewNetlinkRequest(int(family), int(flags))
	req.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_GENERIC: c.handle}
	req.AddRawData(body)
	return req.Execute(unix.NETLINK_GENERIC, family)
}

// kernelRead fills d from the kernel.
func (c *conn) kernelRead(ctx context.Context, d *Device) error {
	if err := c.open(ctx); err != nil {
		return err
	}
	for range attempts {
		msgs, err := c.do(ctx, c.family, unix.NLM_F_DUMP, askDevice(d.Index))
		switch {
		case errors.Is(err, nl.ErrDumpInterrupted):
			continue
		case errors.Is(err, unix.EPERM):
			return fmt.Errorf("cannot read the WireGuard device %s: run as root: %w", d.Name, err)
		case err != nil:
			return fmt.Errorf("cannot read the WireGuard device %s: %w", d.Name, err)
		}
		return decodeDevice(d, msgs)
	}
	return fmt.Errorf("cannot read the WireGuard device %s: it keeps changing", d.Name)
}

// userRead fills d from its process.
func userRead(ctx context.Context, sockets string, d *Device) error {
	return talk(ctx, sockets, d.Name, []byte(uapiAsk), d)
}

// talk is one question and its answer.
func talk(ctx context.Context, sockets, name string, ask []byte, d *Device) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	var dialer net.Dialer
	s, err := dialer.DialContext(ctx, "unix", filepath.Join(sockets, name+".sock"))
	if err != nil {
		return fmt.Errorf("the process of the WireGuard device %s does not answer: %w", name, err)
	}
	defer s.Close()
	stop := context.AfterFunc(ctx, func() { _ = s.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := s.Write(ask); err != nil {
		return fmt.Errorf("the process of the WireGuard device %s does not listen: %w", name, err)
	}
	return decodeUAPI(d, bufio.NewReaderSize(s, 64<<10))
}

// tell carries c out on d.
func (c *conn) tell(ctx context.Context, sockets string, d *Device, ch change) error {
	if ch.empty() {
		return nil
	}
	if d.Userspace {
		var none Device
		err := talk(ctx, sockets, d.Name, ch.uapi(), &none)
		var n errno
		if errors.As(err, &n) {
			err = unix.Errno(n)
		}
		return explain(err, d.Name)
	}
	if err := c.open(ctx); err != nil {
		return err
	}
	for _, m := range ch.messages(d.Index, messageLimit) {
		if _, err := c.do(ctx, c.family, unix.NLM_F_ACK, m); err != nil {
			return explain(err, d.Name)
		}
	}
	return nil
}

func explain(err error, name string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("cannot set up %s: another program has its listen-port; choose another one: %w", name, err)
	case errors.Is(err, unix.EPERM), errors.Is(err, os.ErrPermission):
		return fmt.Errorf("cannot set up %s: run as root: %w", name, err)
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%s has just gone away: %w", name, provision.ErrStale)
	}
	return fmt.Errorf("cannot set up %s: %w", name, err)
}
