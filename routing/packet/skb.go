package packet

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"

	"github.com/provision-net/provision/provision/facts"
)

const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58

	flagSYN = 2
	flagACK = 16

	ephemeral = 50000 // stands for a port that the sender's kernel picks
)

// skb is the packet on its way.
type skb struct {
	src, dst     netip.Addr
	sport, dport uint16
	proto        uint8
	flags        uint8
	icmpType     uint8
	icmpCode     uint8
	ttl          uint8
	length       int
	mark         word
	uid          *int
	pktType      byte

	in, out *facts.Link // nil: none
	mac     bool        // it came in over Ethernet

	ctState uint32 // bit of nft's ct state; 0: not tracked yet
	flow    *flow
	reply   bool // direction
}

// word is 32 bits that may not be known.
type word struct {
	v     uint32
	known bool
}

func (s *skb) six() bool { return s.dst.Is6() }

func (s *skb) nfproto() byte {
	if s.six() {
		return 10
	}
	return 2
}

// ported says whether the transport has ports (that NAT can change).
func (s *skb) ported() bool {
	switch s.proto {
	case protoTCP, protoUDP, 33, 132, 136:
		return true
	}
	return false
}

// view is bytes of which some are not known.
type view struct {
	b     []byte
	known []bool
	open  bool // what follows exists, or may, and is not known
}

func newView(n int) view {
	v := view{b: make([]byte, n), known: make([]bool, n)}
	for i := range v.known {
		v.known[i] = true
	}
	return v
}

func (v view) hide(from, to int) {
	for i := from; i < to; i++ {
		v.known[i] = false
	}
}

// slice gives n bytes at off; found is false if the packet certainly ends before.
func (v view) slice(off, n int) (b []byte, known, found bool) {
	if off+n > len(v.b) {
		return nil, false, v.open
	}
	known = true
	for i := off; i < off+n; i++ {
		known = known && v.known[i]
	}
	return v.b[off : off+n], known, true
}

// network is the IP header.
func (s *skb) network() view {
	if s.six() {
		v := newView(40)
		v.b[0] = 0x60
		v.hide(1, 4) // flow label
		v.b[1], v.known[1] = 0, true
		binary.BigEndian.PutUint16(v.b[4:], uint16(max(s.length-40, 0)))
		if s.length == 0 {
			v.hide(4, 6)
		}
		v.b[6], v.b[7] = s.proto, s.ttl
		src, dst := s.src.As16(), s.dst.As16()
		copy(v.b[8:], src[:])
		copy(v.b[24:], dst[:])
		return s.follow(v)
	}
	v := newView(20)
	v.b[0] = 0x45
	binary.BigEndian.PutUint16(v.b[2:], uint16(s.length))
	if s.length == 0 {
		v.hide(2, 4)
	}
	v.hide(4, 6) // identification
	if s.length != 0 && s.length <= 1280 {
		v.b[6] = 0x40
	}
	v.known[6] = false // don't-fragment is the sender's choice
	v.b[8], v.b[9] = s.ttl, s.proto
	v.hide(10, 12)
	if s.src.Is4() {
		src := s.src.As4()
		copy(v.b[12:], src[:])
	}
	dst := s.dst.As4()
	copy(v.b[16:], dst[:])
	return s.follow(v)
}

// follow puts the transport header behind: reads may go beyond the IP header.
func (s *skb) follow(v view) view {
	t := s.transport()
	return view{append(v.b, t.b...), append(v.known, t.known...), t.open}
}

// transport is the header above IP.
func (s *skb) transport() view {
	switch s.proto {
	case protoTCP:
		n := 20
		if s.flags&flagSYN != 0 {
			n = 24
		}
		v := newView(n)
		s.ports(v)
		v.hide(4, 12) // sequence numbers
		v.b[12], v.b[13] = byte(n/4)<<4, s.flags
		v.hide(14, 18)
		if n == 24 { // maximum segment size, as every sender gives it
			v.b[20], v.b[21] = 2, 4
			v.hide(22, 24)
		}
		v.open = true
		return v
	case protoUDP, 136:
		v := newView(8)
		s.ports(v)
		v.hide(4, 8)
		v.open = true
		return v
	case protoICMP, protoICMPv6:
		v := newView(8)
		v.b[0], v.b[1] = s.icmpType, s.icmpCode
		v.hide(2, 8)
		v.open = true
		return v
	}
	if s.ported() {
		v := newView(4)
		s.ports(v)
		v.open = true
		return v
	}
	return view{open: true}
}

func (s *skb) ports(v view) {
	binary.BigEndian.PutUint16(v.b, s.sport)
	binary.BigEndian.PutUint16(v.b[2:], s.dport)
}

// link is the Ethernet header; packets made here have none yet.
func (s *skb) link() (view, bool) {
	if !s.mac || s.in == nil {
		return view{}, false
	}
	v := newView(14)
	if hw, err := net.ParseMAC(s.in.MAC); err == nil && len(hw) == 6 && s.pktType == 0 {
		copy(v.b, hw)
	} else {
		v.hide(0, 6)
	}
	v.hide(6, 12)
	if s.in.Name == "lo" {
		v = newView(14)
	}
	binary.BigEndian.PutUint16(v.b[12:], 0x0800)
	if s.six() {
		binary.BigEndian.PutUint16(v.b[12:], 0x86dd)
	}
	return v, true
}

// protocol reads the word for a protocol.
func protocol(name string, six bool) (uint8, bool) {
	switch name {
	case "tcp":
		return protoTCP, true
	case "udp":
		return protoUDP, true
	case "icmpv6", "ipv6-icmp":
		return protoICMPv6, true
	case "icmp", "":
		if six {
			return protoICMPv6, true
		}
		return protoICMP, true
	case "sctp":
		return 132, true
	case "esp":
		return 50, true
	case "ah":
		return 51, true
	case "gre":
		return 47, true
	case "igmp":
		return 2, true
	}
	n, err := strconv.ParseUint(name, 10, 8)
	return uint8(n), err == nil
}

func uintText(n uint8) string { return strconv.Itoa(int(n)) }
