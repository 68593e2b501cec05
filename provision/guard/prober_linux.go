package guard

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// prober asks one next hop on one link.
type prober struct {
	hopKey
	fd   int // -1: not Ethernet, cannot be asked
	link string
	mac  net.HardwareAddr
	from netip.Addr

	asked, heard time.Time
	answered     bool
	unanswered   int
}

func (k *kernel) prober(s Session, p path) (*prober, error) {
	key := hopKey{p.Index, p.NextHop}
	if pr := k.probers[key]; pr != nil {
		return pr, nil
	}
	ifi, err := net.InterfaceByIndex(p.Index)
	if err != nil {
		return nil, fmt.Errorf("cannot watch link %d: %w", p.Index, err)
	}
	pr := &prober{hopKey: key, fd: -1, link: ifi.Name, mac: ifi.HardwareAddr, from: s.Local.Addr().Unmap().WithZone("")}
	k.probers[key] = pr
	const pointToPoint = net.FlagPointToPoint | net.FlagLoopback
	if len(ifi.HardwareAddr) != 6 || ifi.Flags&pointToPoint != 0 {
		return pr, nil
	}
	proto := uint16(unix.ETH_P_ARP)
	if key.nextHop.Is6() {
		proto = unix.ETH_P_IPV6
		if a, ok := linkLocal(ifi); ok {
			pr.from = a
		}
	} else if !pr.from.Is4() {
		return pr, nil
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open a packet socket: %w", err)
	}
	if proto == unix.ETH_P_IPV6 {
		err = onlyAdvertisements(fd)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(proto), Ifindex: p.Index})
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot watch %s: %w", ifi.Name, err)
	}
	pr.fd = fd
	return pr, nil
}

// onlyAdvertisements keeps the rest of IPv6 away.
func onlyAdvertisements(fd int) error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 6},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 3, K: unix.IPPROTO_ICMPV6},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 40},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: 136},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1500},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]})
}

// ask sends one request. A device that is down refuses it, which is as good as no
// answer.
func (p *prober) ask(now time.Time) {
	p.asked = now
	p.unanswered++
	to := &unix.SockaddrLinklayer{Ifindex: p.index, Halen: 6}
	var packet []byte
	if p.nextHop.Is4() {
		packet = arpRequest(p.mac, p.from, p.nextHop)
		to.Protocol = htons(unix.ETH_P_ARP)
		to.Addr = [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	} else {
		var dst net.HardwareAddr
		packet, dst = solicit(p.mac, p.from, p.nextHop)
		to.Protocol = htons(unix.ETH_P_IPV6)
		copy(to.Addr[:], dst)
	}
	_ = unix.Sendto(p.fd, packet, 0, to)
}

// hear reads what has come, without waiting.
func (p *prober) hear(now time.Time) {
	var buf [2048]byte
	for range 1024 {
		n, _, err := unix.Recvfrom(p.fd, buf[:], unix.MSG_DONTWAIT)
		if err != nil {
			return
		}
		if p.isAnswer(buf[:n]) {
			p.answered, p.heard, p.unanswered = true, now, 0
		}
	}
}

func (p *prober) isAnswer(b []byte) bool {
	if p.nextHop.Is4() {
		from, mac, ok := arpSender(b)
		return ok && from == p.nextHop && mac.String() != p.mac.String()
	}
	target, ok := advertised(b)
	return ok && target == p.nextHop
}

func linkLocal(ifi *net.Interface) (netip.Addr, bool) {
	as, err := ifi.Addrs()
	if err != nil {
		return netip.Addr{}, false
	}
	for _, a := range as {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() {
			return p.Addr().WithZone(""), true
		}
	}
	return netip.Addr{}, false
}

// htons is for fields that the kernel reads in network byte order.
func htons(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}
