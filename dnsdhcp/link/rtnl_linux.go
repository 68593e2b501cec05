package link

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// dumper asks the kernel for everything of a sort, on a socket of its own: what changes meanwhile waits in the socket of
// the events and is applied after the dump, so a dump can be stale but what is shown in the end is not.
type dumper struct {
	fd  int
	seq uint32
	buf []byte
}

// errChanged says that the list changed while it was dumped, so it may lack something (NLM_F_DUMP_INTR).
var errChanged = errors.New("it changes faster than it can be listed")

func openDumper() (*dumper, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	d := &dumper{fd: fd, buf: make([]byte, 64<<10)}
	// The kernel answers a dump at once or never.
	tv := unix.NsecToTimeval((2 * time.Second).Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv); err != nil {
		d.close()
		return nil, os.NewSyscallError("setsockopt SO_RCVTIMEO", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		d.close()
		return nil, os.NewSyscallError("bind", err)
	}
	return d, nil
}

// close may be called again: by then the number may be that of another file.
func (d *dumper) close() {
	if d.fd >= 0 {
		unix.Close(d.fd)
		d.fd = -1
	}
}

// dump calls each for every message of one list. header is the fixed part of the request, whose first byte is the family.
// A kernel without that family has an empty list.
func (d *dumper) dump(request uint16, header []byte, each func(message)) error {
	d.seq++
	b := make([]byte, unix.NLMSG_HDRLEN, unix.NLMSG_HDRLEN+align(len(header)))
	b = append(b, header...)
	b = b[:cap(b)]
	native.PutUint32(b, uint32(len(b)))
	native.PutUint16(b[4:], request)
	native.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	native.PutUint32(b[8:], d.seq)
	if err := unix.Sendto(d.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	changed := false
	for {
		n, from, err := unix.Recvfrom(d.fd, d.buf, unix.MSG_TRUNC)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("recvfrom", err)
		}
		if n > len(d.buf) {
			d.buf = make([]byte, 2*n)
			return fmt.Errorf("an answer has %d bytes: %w", n, errChanged)
		}
		if sa, ok := from.(*unix.SockaddrNetlink); !ok || sa.Pid != 0 {
			continue // anybody may write to a netlink socket; only the kernel is port 0
		}
		for m := range messages(d.buf[:n]) {
			if m.seq != d.seq {
				continue // of a dump that was given up
			}
			changed = changed || m.flags&unix.NLM_F_DUMP_INTR != 0
			switch m.kind {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				err := dumpEnd(m.body)
				if err == nil && changed {
					return errChanged
				}
				return err
			default:
				each(m)
			}
		}
	}
}

// dumpEnd reads the result of NLMSG_DONE or NLMSG_ERROR.
func dumpEnd(body []byte) error {
	if len(body) < 4 {
		return nil
	}
	switch e := unix.Errno(-int32(native.Uint32(body))); e {
	case 0, unix.EAFNOSUPPORT, unix.EOPNOTSUPP:
		return nil
	default:
		return e
	}
}
