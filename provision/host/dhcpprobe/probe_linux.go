package dhcpprobe

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Probe asks on a link. The zero value waits 2 s.
type Probe struct {
	Timeout time.Duration // zero means 2 s
	Rand    io.Reader     // of the transaction id; nil is crypto/rand
}

// Do returns the first offer of any server on the link with that index, ErrSilent
// (wrapped) when there is none in time. It needs CAP_NET_RAW.
func (p Probe) Do(ctx context.Context, link int) (Offer, error) {
	ifi, err := net.InterfaceByIndex(link)
	if err != nil {
		return Offer{}, fmt.Errorf("cannot ask for a DHCP server on link %d: %w", link, err)
	}
	o, err := p.ask(ctx, ifi)
	if err != nil {
		return o, fmt.Errorf("cannot get a DHCP offer on %s: %w", ifi.Name, err)
	}
	return o, nil
}

func (p Probe) ask(ctx context.Context, ifi *net.Interface) (Offer, error) {
	if len(ifi.HardwareAddr) != 6 {
		return Offer{}, errors.New("not an Ethernet device")
	}
	if ifi.Flags&net.FlagUp == 0 {
		return Offer{}, errors.New("the device is down")
	}
	timeout := p.Timeout
	if timeout == 0 {
		timeout = 2 * time.Second
	}
	var xid [4]byte
	random := p.Rand
	if random == nil {
		random = rand.Reader
	}
	if _, err := io.ReadFull(random, xid[:]); err != nil {
		return Offer{}, fmt.Errorf("no randomness: %w", err)
	}
	packet, err := discover(ifi.HardwareAddr, xid)
	if err != nil {
		return Offer{}, err
	}
	sock, err := open(ifi.Index)
	if err != nil {
		return Offer{}, err
	}
	defer sock.Close()
	stop := context.AfterFunc(ctx, func() { _ = sock.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()

	// Three times: a switch port that has just come up may drop the first.
	end := time.Now().Add(timeout)
	for i := 1; i <= 3; i++ {
		if err := send(sock, ifi.Index, packet); err != nil {
			return Offer{}, err
		}
		if err := sock.SetReadDeadline(end.Add(-timeout * time.Duration(3-i) / 3)); err != nil {
			return Offer{}, err
		}
		if ctx.Err() != nil {
			return Offer{}, ctx.Err()
		}
		buf := make([]byte, 64<<10)
		for {
			n, err := sock.Read(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return Offer{}, err
			}
			if o, ok := offered(buf[:n], ifi.HardwareAddr, xid); ok {
				return o, nil
			}
		}
		if ctx.Err() != nil {
			return Offer{}, ctx.Err()
		}
	}
	return Offer{}, fmt.Errorf("%w within %v", ErrSilent, timeout)
}

// open makes a packet socket that sees only UDP to port 68 on the link. The filter
// comes before the binding, else other packets would be queued.
func open(link int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open a packet socket: %w", err)
	}
	sock := os.NewFile(uintptr(fd), "packet")
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 9},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 6, K: unix.IPPROTO_UDP},
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 6},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jt: 4, K: 0x1fff}, // later fragments have no ports
		{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0},
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 2},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: clientPort},
		{Code: unix.BPF_RET | unix.BPF_K, K: 64 << 10},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog)
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_IP), Ifindex: link})
	}
	if err != nil {
		sock.Close()
		return nil, fmt.Errorf("cannot bind a packet socket: %w", err)
	}
	return sock, nil
}

func send(sock *os.File, link int, packet []byte) error {
	to := &unix.SockaddrLinklayer{
		Protocol: htons(unix.ETH_P_IP), Ifindex: link, Halen: 6,
		Addr: [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	}
	raw, err := sock.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Write(func(fd uintptr) bool {
		sendErr = unix.Sendto(int(fd), packet, 0, to)
		return !errors.Is(sendErr, unix.EAGAIN)
	})
	if err == nil {
		err = sendErr
	}
	if err != nil {
		return fmt.Errorf("cannot send: %w", err)
	}
	return nil
}

// htons is for fields that the kernel reads in network byte order.
func htons(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}
