package martian

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sort"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Bounds of a sample: what a busy router sees in the first moments, and no more.
const (
	mostPackets = 50000
	mostPairs   = 4096
	headerSize  = 20 // of IPv4 without options
)

type pair struct {
	index    int
	src, dst netip.Addr
}

// Sample looks at the IPv4 packets that come in for this long and returns the pairs of addresses
// that the kernel drops as martians, at most most of them, those with the most packets first.
// What is dropped the kernel itself says: it is asked for the route of such a packet
// (RTM_GETROUTE with a source and an incoming device goes through the same checks,
// net/ipv4/route.c inet_rtm_getroute). So nothing of the machine's settings is changed, unlike by
// log_martians. Each question may count as one more martian. IPv6 has no such filter.
//
// It takes CAP_NET_RAW, and the network namespace of the calling thread.
func Sample(ctx context.Context, length time.Duration, most int) ([]Found, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("cannot open an rtnetlink socket: %w", err)
	}
	defer h.Close()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(htons(unix.ETH_P_IP)))
	if err != nil {
		return nil, fmt.Errorf("cannot look at packets: %w", os.NewSyscallError("socket", err))
	}
	file := os.NewFile(uintptr(fd), "packets")
	defer file.Close()
	_ = file.SetReadDeadline(time.Now().Add(length))
	stop := context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := file.SyscallConn()
	if err != nil {
		return nil, err
	}
	seen := map[pair]int{}
	buf := make([]byte, headerSize)
	for n := 0; n < mostPackets; n++ {
		var from unix.Sockaddr
		var size int
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			size, from, failed = unix.Recvfrom(int(fd), buf, 0)
			return failed != unix.EAGAIN
		})
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err := errors.Join(err, failed); err != nil {
			return nil, fmt.Errorf("cannot look at packets: %w", err)
		}
		ll, ok := from.(*unix.SockaddrLinklayer)
		if !ok || ll.Pkttype != unix.PACKET_HOST || size < headerSize || buf[0]>>4 != 4 {
			continue
		}
		p := pair{ll.Ifindex, netip.AddrFrom4([4]byte(buf[12:16])), netip.AddrFrom4([4]byte(buf[16:20]))}
		if _, known := seen[p]; known || len(seen) < mostPairs {
			seen[p]++
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return judge(h, seen, most)
}

// judge asks the kernel about each pair.
func judge(h *netlink.Handle, seen map[pair]int, most int) ([]Found, error) {
	var out []Found
	names := map[int]string{}
	for p, n := range seen {
		_, err := h.RouteGetWithOptions(p.dst.AsSlice(), &netlink.RouteGetOptions{IifIndex: p.index, SrcAddr: p.src.AsSlice()})
		// EXDEV: the reverse path filter; EINVAL: another impossible address, and both since Linux 6.13.
		if !errors.Is(err, unix.EXDEV) && !errors.Is(err, unix.EINVAL) {
			continue
		}
		if _, known := names[p.index]; !known {
			if l, err := h.LinkByIndex(p.index); err == nil {
				names[p.index] = l.Attrs().Name
			}
		}
		out = append(out, Found{p.index, names[p.index], p.src, p.dst, n})
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := &out[i], &out[j]
		return cmp.Or(b.Packets-a.Packets, a.Index-b.Index, a.Src.Compare(b.Src), a.Dst.Compare(b.Dst)) < 0
	})
	return out[:min(len(out), most)], nil
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }
