package probe

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// most is how long a question waits for its answer at most, whatever its context says.
const most = 30 * time.Second

// Echo pings a host through a device until ctx ends. It needs CAP_NET_RAW. The socket belongs to
// the network namespace of the calling thread, as those of TCP and DNS do.
func Echo(ctx context.Context, by Through, to netip.Addr) error { return Sized(ctx, by, to, 0) }

// Sized is Echo with a packet of that many bytes, the IP header among them, which nobody on the way may
// take apart. ErrTooLarge means that it does not leave the device.
func Sized(ctx context.Context, by Through, to netip.Addr, bytes int) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	to = to.Unmap()
	sock, err := raw(by, to.Is4())
	if err != nil {
		return err
	}
	defer sock.Close()
	pad := max(0, bytes-headers(to.Is4()))
	if bytes > 0 {
		if err := whole(sock, to.Is4()); err != nil {
			return err
		}
	}
	var random [12]byte
	if _, err := rand.Read(random[:]); err != nil {
		return fmt.Errorf("no randomness: %w", err)
	}
	id, seq, nonce := binary.BigEndian.Uint16(random[:]), binary.BigEndian.Uint16(random[2:]), [8]byte(random[4:])
	rc, err := sock.SyscallConn()
	if err != nil {
		return err
	}
	var addr unix.Sockaddr = &unix.SockaddrInet6{Addr: to.As16()}
	if to.Is4() {
		addr = &unix.SockaddrInet4{Addr: to.As4()}
	}
	// Connected, the socket gets packets of that source only (net/ipv4/raw.c raw_v4_match).
	var doErr error
	err = rc.Control(func(fd uintptr) {
		if doErr = unix.Connect(int(fd), addr); doErr == nil {
			// Zeros do not change the checksum.
			_, doErr = unix.Write(int(fd), append(echo(to.Is4(), id, seq, nonce), make([]byte, pad)...))
		}
	})
	if errors.Is(doErr, unix.EMSGSIZE) {
		return ErrTooLarge
	}
	if err = errors.Join(err, doErr); err != nil {
		return fmt.Errorf("cannot send: %w", err)
	}
	stop := interrupt(ctx, sock.SetReadDeadline)
	defer stop()
	buf := make([]byte, 1500+pad)
	for {
		n, err := sock.Read(buf)
		if err != nil {
			return failure(ctx, err)
		}
		b := buf[:n]
		if to.Is4() {
			var ok bool
			if b, ok = payload4(b, to); !ok {
				continue
			}
		}
		if echoed(to.Is4(), b, pad, id, seq, nonce) {
			return nil
		}
	}
}

// headers are the bytes of a packet before what pads it.
func headers(v4 bool) int {
	if v4 {
		return 20 + 16
	}
	return 40 + 16
}

// whole forbids to take packets apart, and does not mind what is remembered of the path (ip(7),
// IP_PMTUDISC_PROBE).
func whole(sock *os.File, v4 bool) error {
	rc, err := sock.SyscallConn()
	if err != nil {
		return err
	}
	var doErr error
	err = rc.Control(func(fd uintptr) {
		if v4 {
			doErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
			return
		}
		doErr = errors.Join(unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE),
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1))
	})
	return errors.Join(err, doErr)
}

// raw opens an ICMP socket that is bound to the device and hears only echo replies.
func raw(by Through, v4 bool) (*os.File, error) {
	family, proto := unix.AF_INET6, unix.IPPROTO_ICMPV6
	if v4 {
		family, proto = unix.AF_INET, unix.IPPROTO_ICMP
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return nil, fmt.Errorf("cannot open an ICMP socket: %w", err)
	}
	sock := os.NewFile(uintptr(fd), "icmp")
	if v4 {
		// linux/icmp.h ICMP_FILTER: a bit set is a type that is not heard.
		err = unix.SetsockoptInt(fd, unix.SOL_RAW, 1, ^1)
	} else {
		f := unix.ICMPv6Filter{Data: [8]uint32{^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(1 << 1), ^uint32(0), ^uint32(0), ^uint32(0)}}
		err = unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &f)
	}
	if err == nil {
		err = bind(fd, by)
	}
	if err != nil {
		sock.Close()
		return nil, fmt.Errorf("cannot bind to %s: %w", by.Device, err)
	}
	return sock, nil
}

// bind refuses an empty name, by which the kernel would unbind.
func bind(fd int, by Through) error {
	if by.Device == "" {
		return errors.New("no device is given")
	}
	if by.Mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(by.Mark)); err != nil {
			return fmt.Errorf("cannot mark packets: %w", err)
		}
	}
	return unix.BindToDevice(fd, by.Device)
}

func dial(ctx context.Context, network string, by Through, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error {
		var doErr error
		if err := c.Control(func(fd uintptr) { doErr = bind(int(fd), by) }); err != nil {
			return err
		}
		return doErr
	}}
	c, err := d.DialContext(ctx, network, netip.AddrPortFrom(to.Addr().Unmap(), to.Port()).String())
	if err != nil {
		return nil, failure(ctx, err)
	}
	return c, nil
}

// TCP connects to a host through a device, and hangs up.
func TCP(ctx context.Context, by Through, to netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	c, err := dial(ctx, "tcp", by, to)
	if err != nil {
		return err
	}
	// A reset: nothing is left behind here, however often it is asked.
	_ = c.(*net.TCPConn).SetLinger(0)
	return c.Close()
}

// DNS asks a name server through a device over UDP.
func DNS(ctx context.Context, by Through, to netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	c, err := dial(ctx, "udp", by, to)
	if err != nil {
		return err
	}
	defer c.Close()
	var random [2]byte
	if _, err := rand.Read(random[:]); err != nil {
		return fmt.Errorf("no randomness: %w", err)
	}
	id := binary.BigEndian.Uint16(random[:])
	stop := interrupt(ctx, c.SetDeadline)
	defer stop()
	if _, err := c.Write(query(id)); err != nil {
		return failure(ctx, err)
	}
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return failure(ctx, err)
		}
		if done, err := answered(buf[:n], id); done {
			return err
		}
	}
}

// interrupt lets a deadline come when ctx ends.
func interrupt(ctx context.Context, set func(time.Time) error) func() bool {
	return context.AfterFunc(ctx, func() { _ = set(time.Unix(1, 0)) })
}

// failure leaves the words of the kernel, and makes one word of all that means time.
func failure(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrSilent
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
