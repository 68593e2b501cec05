package hearing

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Listen tells what is heard on one interface, of the index that it has now, until ctx ends or the
// interface is gone.
func Listen(ctx context.Context, iface string, tell func(Heard)) error {
	l, err := open(iface)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w", iface, err)
	}
	return l.run(ctx, tell)
}

type listener struct {
	iface string
	f     *os.File
}

func open(iface string) (*listener, error) {
	dev, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, err
	}
	// Protocol 0 until it is bound: before that, packets of all interfaces would come.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	l := &listener{iface, os.NewFile(uintptr(fd), "packets of "+iface)}
	filter := program()
	if err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}); err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: hton16(unix.ETH_P_ALL), Ifindex: dev.Index})
	}
	if err != nil {
		l.f.Close()
		return nil, err
	}
	return l, nil
}

func (l *listener) run(ctx context.Context, tell func(Heard)) error {
	defer l.f.Close()
	raw, err := l.f.SyscallConn()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = l.f.SetReadDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, 2048)
	for {
		var n int
		var from unix.Sockaddr
		var rerr error
		err := raw.Read(func(fd uintptr) bool {
			n, from, rerr = unix.Recvfrom(int(fd), buf, 0)
			return rerr != unix.EAGAIN
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case rerr == unix.EINTR, rerr == unix.ENETDOWN: // down for a moment
			continue
		case rerr != nil:
			return fmt.Errorf("cannot listen on %s any more: %w", l.iface, rerr)
		}
		ll, ok := from.(*unix.SockaddrLinklayer)
		if !ok {
			continue
		}
		if h, ok := Parse(hton16(ll.Protocol), buf[:n], ll.Pkttype == unix.PACKET_OUTGOING); ok {
			tell(h)
		}
	}
}

func hton16(v uint16) uint16 {
	return binary.NativeEndian.Uint16([]byte{byte(v >> 8), byte(v)})
}

// program lets through what Parse may want: UDP to and from a DHCP server's port, and ICMPv6. A
// host's downloads do not wake this program (Documentation/networking/filter.rst).
func program() []unix.SockFilter {
	const (
		ldh  = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		ldb  = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		ldi  = unix.BPF_LD | unix.BPF_H | unix.BPF_IND
		ldx  = unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH
		jeq  = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret  = unix.BPF_RET | unix.BPF_K
		kind = 0xfffff000 // SKF_AD_OFF + SKF_AD_PROTOCOL
	)
	return []unix.SockFilter{
		{Code: ldh, K: kind},
		{Code: jeq, K: etherIPv6, Jt: 7},          // 1 -> 9
		{Code: jeq, K: etherIPv4, Jf: 12},         // 2 -> 15
		{Code: ldb, K: 9},                         // 3
		{Code: jeq, K: protoUDP, Jf: 10},          // 4 -> 15
		{Code: ldx, K: 0},                         // 5: X = length of the header
		{Code: ldi, K: 0},                         // 6: source port
		{Code: jeq, K: portServer4, Jt: 6},        // 7 -> 14
		{Code: unix.BPF_JMP | unix.BPF_JA, K: 3},  // 8 -> 12
		{Code: ldb, K: 6},                         // 9: next header
		{Code: jeq, K: protoICMPv6, Jt: 3},        // 10 -> 14
		{Code: jeq, K: protoUDP, Jt: 2, Jf: 3},    // 11 -> 14, 15
		{Code: ldi, K: 2},                         // 12: destination port
		{Code: jeq, K: portServer4, Jt: 0, Jf: 1}, // 13 -> 14, 15
		{Code: ret, K: 2048},                      // 14
		{Code: ret, K: 0},                         // 15
	}
}
