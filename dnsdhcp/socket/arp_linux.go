package socket

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/dnsdhcp/link"
)

// packetARP is the packet socket for ARP of one link.
type packetARP struct {
	s  *sock
	to unix.SockaddrLinklayer
	on []unix.SockFilter
}

// nothing keeps all packets out.
var nothing = []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 0}}

// foreignARP lets through requests and answers for IPv4 on Ethernet that are not of our own making, and nothing else.
// Packets begin with the ARP header, since the socket is SOCK_DGRAM.
func foreignARP(self [6]byte) []unix.SockFilter {
	load4 := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	load2 := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: at}
	}
	equal := func(v uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: v, Jt: yes, Jf: no}
	}
	return []unix.SockFilter{
		load4(0), equal(0x0001_0800, 0, 10), // Ethernet, IPv4
		load2(4), equal(0x0604, 0, 8), // lengths of their addresses
		load2(6), equal(arpRequest, 1, 0), equal(arpReply, 0, 5),
		load4(8), equal(uint32(self[0])<<24|uint32(self[1])<<16|uint32(self[2])<<8|uint32(self[3]), 0, 2),
		load2(12), equal(uint32(self[4])<<8|uint32(self[5]), 1, 0),
		{Code: unix.BPF_RET | unix.BPF_K, K: arpSize},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
}

func openARP(l link.Link) (arpConn, error) {
	what := failure{purpose: "address probes", link: l.Name}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, explain(os.NewSyscallError("socket", err), what)
	}
	if err := attach(fd, nothing); err != nil {
		unix.Close(fd)
		return nil, explain(err, what)
	}
	// Not bound to the protocol before the filter is there.
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: network16(unix.ETH_P_ARP), Ifindex: l.Index}); err != nil {
		unix.Close(fd)
		return nil, explain(os.NewSyscallError("bind", err), what)
	}
	s, err := newSock(fd, l)
	if err != nil {
		return nil, err
	}
	s.index = 0 // no control message says where a packet came in; the bind did
	p := &packetARP{s: s, on: foreignARP([6]byte(l.MAC))}
	p.to = unix.SockaddrLinklayer{Protocol: network16(unix.ETH_P_ARP), Ifindex: l.Index, Halen: 6}
	return p, nil
}

func attach(fd int, filter []unix.SockFilter) error {
	prog := &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, prog))
}

func (p *packetARP) read(b []byte) (int, error) {
	p.s.buffer(0, b)
	if _, err := p.s.read(1); err != nil {
		return 0, err
	}
	m, _ := p.s.message(0)
	return m.size, nil
}

// send is called by one goroutine only.
func (p *packetARP) send(frame []byte, to [6]byte) error {
	copy(p.to.Addr[:6], to[:])
	var err error
	if e := p.s.raw.Control(func(fd uintptr) { err = unix.Sendto(int(fd), frame, unix.MSG_DONTWAIT, &p.to) }); e != nil {
		return e
	}
	if err == unix.ENXIO || err == unix.ENODEV {
		return fmt.Errorf("%s: %w (%w)", p.s.link, ErrLinkGone, err)
	}
	return err
}

// listen fails only for want of memory; then there are more packets, or a probe finds nobody.
func (p *packetARP) listen(on bool) {
	filter := nothing
	if on {
		filter = p.on
	}
	_ = p.s.raw.Control(func(fd uintptr) { _ = attach(int(fd), filter) })
}

func (p *packetARP) close(why error) { _ = p.s.close(why) }
