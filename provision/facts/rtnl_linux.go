package facts

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// netlinkConn is one netlink socket for dumps. It exists beside the library
// because detection must start in a blink and lose nothing: one socket and one
// buffer serve all dumps, and attributes that the library drops (router preference,
// route lifetime, address protocol, per-device sysctls) are kept.
type netlinkConn struct {
	fd  int
	seq uint32
	buf []byte
}

// dumpTimeout bounds one receive: the kernel answers a dump at once or never.
const dumpTimeout = 2 * time.Second

// errInterrupted says that the state changed while it was dumped.
var errInterrupted = errors.New("dump interrupted by a change")

func dialNetlink(protocol int) (*netlinkConn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	tv := unix.NsecToTimeval(dumpTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	return &netlinkConn{fd: fd, buf: make([]byte, 64<<10)}, nil
}

func (c *netlinkConn) close() { unix.Close(c.fd) }

// dump sends one request with its fixed header and attributes and calls each for
// every answer's payload. A dump that a change interrupted is repeated.
func (c *netlinkConn) dump(ctx context.Context, typ uint16, body []byte, begin func(), each func(payload []byte)) error {
	var err error
	for range 4 {
		if err = ctx.Err(); err != nil {
			return err
		}
		begin()
		if err = c.once(typ, body, each); !errors.Is(err, errInterrupted) {
			return err
		}
	}
	return err
}

func (c *netlinkConn) once(typ uint16, body []byte, each func([]byte)) error {
	return c.ask(typ, unix.NLM_F_DUMP, body, each)
}

// ask sends one request, a dump or (with NLM_F_ACK) one for a single answer.
func (c *netlinkConn) ask(typ, flags uint16, body []byte, each func([]byte)) error {
	c.seq++
	req := make([]byte, unix.NLMSG_HDRLEN+len(body))
	ne := binary.NativeEndian
	ne.PutUint32(req[0:], uint32(len(req)))
	ne.PutUint16(req[4:], typ)
	ne.PutUint16(req[6:], unix.NLM_F_REQUEST|flags)
	ne.PutUint32(req[8:], c.seq)
	copy(req[unix.NLMSG_HDRLEN:], body)
	if err := unix.Sendto(c.fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	interrupted := false
	for {
		n, from, err := unix.Recvfrom(c.fd, c.buf, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("recvfrom", err)
		}
		if sa, ok := from.(*unix.SockaddrNetlink); !ok || sa.Pid != 0 {
			continue // not the kernel
		}
		done, intr, err := splitMessages(c.buf[:n], c.seq, each)
		interrupted = interrupted || intr
		if err != nil {
			return err
		}
		if done {
			if interrupted {
				return errInterrupted
			}
			return nil
		}
	}
}

// splitMessages walks the netlink messages in b (netlink(7)).
func splitMessages(b []byte, seq uint32, each func([]byte)) (done, interrupted bool, err error) {
	ne := binary.NativeEndian
	for len(b) >= unix.NLMSG_HDRLEN {
		l := int(ne.Uint32(b))
		if l < unix.NLMSG_HDRLEN || l > len(b) {
			return true, interrupted, fmt.Errorf("netlink message of %d bytes in %d", l, len(b))
		}
		typ, flags, s := ne.Uint16(b[4:]), ne.Uint16(b[6:]), ne.Uint32(b[8:])
		payload := b[unix.NLMSG_HDRLEN:l]
		if s == seq {
			interrupted = interrupted || flags&unix.NLM_F_DUMP_INTR != 0
			switch typ {
			case unix.NLMSG_DONE:
				if len(payload) >= 4 {
					if e := int32(ne.Uint32(payload)); e < 0 {
						return true, interrupted, unix.Errno(-e)
					}
				}
				return true, interrupted, nil
			case unix.NLMSG_ERROR:
				if len(payload) >= 4 {
					if e := int32(ne.Uint32(payload)); e < 0 {
						return true, interrupted, unix.Errno(-e)
					}
				}
				return true, interrupted, nil
			case unix.NLMSG_NOOP:
			default:
				each(payload)
			}
		}
		b = b[min(align4(l), len(b)):]
	}
	return false, interrupted, nil
}

func align4(n int) int { return (n + 3) &^ 3 }

// attributes calls each for every route attribute in b; nesting and byte order
// flags are taken off the type (rtnetlink(7)).
func attributes(b []byte, each func(typ uint16, value []byte)) {
	ne := binary.NativeEndian
	for len(b) >= 4 {
		l := int(ne.Uint16(b))
		if l < 4 || l > len(b) {
			return
		}
		each(ne.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[4:l])
		b = b[min(align4(l), len(b)):]
	}
}

func attrU32(v []byte) uint32 {
	if len(v) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(v)
}

func attrString(v []byte) string {
	for i, c := range v {
		if c == 0 {
			return string(v[:i])
		}
	}
	return string(v)
}
