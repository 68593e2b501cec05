package bed

import (
	"encoding/binary"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"golang.org/x/sys/unix"
)

// ServerMAC is the hardware address of the server's link.
const ServerMAC = "02:55:00:00:00:01"

// Broadcast is where a client sends that has no address.
var Broadcast = netip.MustParseAddr("255.255.255.255")

// Speaker is a station without an address of its own that sends any frame, under any hardware address, and answers ARP for the
// addresses that it was told it has.
type Speaker struct {
	*Capture

	mu      sync.Mutex
	own     map[netip.Addr]net.HardwareAddr
	waiting map[dhcpv4.TransactionID]chan Packet
}

// Speaker plugs one into the segment.
func (s *Segment) Speaker(t testing.TB) *Speaker {
	t.Helper()
	ns := s.Plug("eth0")
	s.mustIn(ns, "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1 net.ipv4.conf.eth0.arp_ignore=8")
	sock, err := packetSocket(ns, "eth0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Speaker{own: map[netip.Addr]net.HardwareAddr{}, waiting: map[dhcpv4.TransactionID]chan Packet{}}
	p.Capture = &Capture{sock: sock, more: make(chan struct{}), on: p.hear}
	t.Cleanup(func() { sock.Close() })
	go p.run()
	return p
}

// Own makes the station answer ARP requests for an address.
func (p *Speaker) Own(a netip.Addr, mac net.HardwareAddr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.own[a] = mac
}

// Disown makes it silent again.
func (p *Speaker) Disown(a netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.own, a)
}

func (p *Speaker) hear(k Packet) {
	if k.Out {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if k.ARP != nil && k.ARP.Op == 1 {
		if mac, ok := p.own[k.ARP.Target]; ok {
			p.write(arpReply(mac, k.ARP))
		}
	}
	if k.DHCP != nil && k.DHCP.OpCode == dhcpv4.OpcodeBootReply {
		if c := p.waiting[k.DHCP.TransactionID]; c != nil {
			select {
			case c <- k:
			default:
			}
		}
	}
}

func (p *Speaker) write(frame []byte) {
	raw, err := p.sock.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Write(func(fd uintptr) bool {
		_, err := unix.Write(int(fd), frame)
		return err != unix.EAGAIN
	})
}

// Ask sends a DHCP message as the client of its hardware address, from one IPv4 address to another (Broadcast, or the server's),
// and returns the first answer. Relayed messages are sent from port 67.
func (p *Speaker) Ask(d time.Duration, from, to netip.Addr, payload []byte) (Packet, bool) {
	var xid dhcpv4.TransactionID
	copy(xid[:], payload[4:8])
	answer := make(chan Packet, 1)
	p.mu.Lock()
	p.waiting[xid] = answer
	p.mu.Unlock()
	defer func() { p.mu.Lock(); delete(p.waiting, xid); p.mu.Unlock() }()
	p.Say(from, to, payload)
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case k := <-answer:
		return k, true
	case <-timer.C:
		return Packet{}, false
	}
}

// Message is a client's DHCP message.
func Message(mac net.HardwareAddr, kind dhcpv4.MessageType, mods ...dhcpv4.Modifier) []byte {
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithMessageType(kind), dhcpv4.WithHwAddr(mac)}, mods...)...)
	if err != nil {
		panic(err) // it makes its transaction number from random bytes, nothing else can fail
	}
	return m.ToBytes()
}

// Join is a new client's way to an address; false if there was no answer in time.
func (p *Speaker) Join(mac net.HardwareAddr, server netip.Addr, wait time.Duration) (netip.Addr, bool) {
	nobody := netip.IPv4Unspecified()
	offer, ok := p.Ask(wait, nobody, Broadcast, Message(mac, dhcpv4.MessageTypeDiscover))
	if !ok || offer.Kind() != "OFFER" {
		return netip.Addr{}, false
	}
	ack, ok := p.Ask(wait, nobody, Broadcast, Message(mac, dhcpv4.MessageTypeRequest,
		dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(offer.DHCP.YourIPAddr)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server.AsSlice()))))
	if !ok || ack.Kind() != "ACK" {
		return netip.Addr{}, false
	}
	return netip.AddrFromSlice(ack.DHCP.YourIPAddr.To4())
}

// Say sends a DHCP message and does not wait.
func (p *Speaker) Say(from, to netip.Addr, payload []byte) {
	dst, _ := net.ParseMAC(ServerMAC)
	if to == Broadcast {
		dst, _ = net.ParseMAC(broadcastMAC)
	}
	port := uint16(68)
	if len(payload) > 28 && [4]byte(payload[24:28]) != [4]byte{} {
		port = 67
	}
	p.write(UDP(net.HardwareAddr(payload[28:34]), dst, netip.AddrPortFrom(from, port), netip.AddrPortFrom(to, 67), payload))
}

// UDP makes a whole Ethernet frame with one IPv4 UDP datagram.
func UDP(src, dst net.HardwareAddr, from, to netip.AddrPort, payload []byte) []byte {
	b := make([]byte, 42, 42+len(payload))
	copy(b, dst)
	copy(b[6:], src)
	binary.BigEndian.PutUint16(b[12:], unix.ETH_P_IP)
	ip := b[14:34]
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(ip[2:], uint16(28+len(payload)))
	copy(ip[12:], from.Addr().AsSlice())
	copy(ip[16:], to.Addr().AsSlice())
	binary.BigEndian.PutUint16(ip[10:], ^sum(0, ip))
	udp := b[34:42]
	binary.BigEndian.PutUint16(udp, from.Port())
	binary.BigEndian.PutUint16(udp[2:], to.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(payload)))
	pseudo := uint32(unix.IPPROTO_UDP) + uint32(8+len(payload))
	s := ^sum(uint32(sum(uint32(sum(pseudo, ip[12:20])), udp)), payload)
	if s == 0 {
		s = 0xffff
	}
	binary.BigEndian.PutUint16(udp[6:], s)
	return append(b, payload...)
}

// sum is the Internet checksum (RFC 1071) before its last complement.
func sum(s uint32, b []byte) uint16 {
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		s += uint32(b[len(b)-1]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

func arpReply(mac net.HardwareAddr, ask *ARP) []byte {
	to, _ := net.ParseMAC(ask.SenderMAC)
	b := make([]byte, 42)
	copy(b, to)
	copy(b[6:], mac)
	binary.BigEndian.PutUint16(b[12:], unix.ETH_P_ARP)
	copy(b[14:], []byte{0, 1, 8, 0, 6, 4, 0, 2})
	copy(b[22:], mac)
	copy(b[28:], ask.Target.AsSlice())
	copy(b[32:], to)
	copy(b[38:], ask.Sender.AsSlice())
	return b
}
