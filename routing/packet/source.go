package packet

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/facts/fib"
)

// Types of addresses (RTN_* of rtnetlink.h).
const (
	typeUnicast     = 1
	typeLocal       = 2
	typeBroadcast   = 3
	typeAnycast     = 4
	typeMulticast   = 5
	typeBlackhole   = 6
	typeUnreachable = 7
	typeProhibit    = 8
)

// addrType is inet_dev_addr_type (net/ipv4/fib_frontend.c): what the table local says, on one
// device or on any.
func (m *machine) addrType(a netip.Addr, dev *facts.Link) uint32 {
	b := a.As4()
	switch {
	case b[0] == 0 || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return typeBroadcast
	case a.IsMulticast():
		return typeMulticast
	}
	for _, x := range m.f.Addrs {
		p := x.Prefix
		l := m.linkAt(x.Link)
		if !p.Addr().Is4() || l == nil || !l.Up || dev != nil && dev.Index != l.Index {
			continue
		}
		switch {
		case p.Addr() == a, l.ARPHRD == arphrdLoopback && p.Contains(a):
			return typeLocal
		case l.ARPHRD != arphrdLoopback && p.Bits() < 31 && a == lastOf(p):
			return typeBroadcast
		}
	}
	return typeUnicast
}

// lastOf is the highest address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// own says whether the address is one of this machine's, on dev if that is given.
func (m *machine) own(a netip.Addr, dev *facts.Link) bool {
	for _, x := range m.f.Addrs {
		if x.Prefix.Addr() == a && (dev == nil || x.Link == dev.Index) {
			return true
		}
	}
	return false
}

// martian names what cannot be a packet from outside (ip_route_input_slow, ip6_rcv_core).
func (m *machine) martian() string {
	s := m.s
	if s.in.ARPHRD == arphrdLoopback {
		return ""
	}
	switch {
	case s.src.IsMulticast():
		return fmt.Sprintf("martian: the source %v is a group", s.src)
	case s.src.IsLoopback() || s.dst.IsLoopback():
		return "martian: an address of the loopback on " + s.in.Name
	case s.six():
		return ""
	}
	if m.addrType(s.src, nil) == typeBroadcast && s.src != netip.IPv4Unspecified() {
		return fmt.Sprintf("martian: the source %v is a broadcast address", s.src)
	}
	return ""
}

// reverse is the check of the source (fib_validate_source, net/ipv4/fib_frontend.c): one of our
// own addresses is a martian always; rp_filter 1 demands that the way back leaves by the same
// device, 2 that there is a way back at all.
func (m *machine) reverse() string {
	s := m.s
	if s.six() || s.in.ARPHRD == arphrdLoopback || s.src == netip.IPv4Unspecified() {
		return ""
	}
	mode, known := m.rpFilter()
	if m.addrType(s.src, nil) == typeLocal {
		return fmt.Sprintf("martian: the source %v is an address of this machine", s.src)
	}
	if !known {
		m.note("rp_filter of " + s.in.Name + " is not known, taken to be off")
	}
	if mode == 0 {
		return ""
	}
	// src_valid_mark is off unless somebody sets it: the mark does not count.
	mark := uint32(0)
	if s.in.Sysctl["ipv4.src_valid_mark"] == "1" || m.f.Sysctl["net.ipv4.conf.all.src_valid_mark"] == "1" {
		mark = s.mark.v
	}
	q := fib.Query{Dst: s.src, Src: s.dst, Mark: mark}
	if l := m.linkAt(m.route.Link); m.route.Kind == fib.Unicast && l != nil {
		q.Iif = l.Name // a reply would come in there
	}
	r := fib.Lookup(m.f, q)
	hasAddr := false
	for _, a := range m.f.Addrs {
		hasAddr = hasAddr || a.Link == s.in.Index && a.Prefix.Addr().Is4()
	}
	if r.Kind == fib.Unicast {
		if uses(r, s.in.Index) {
			return ""
		}
		if hasAddr && mode == 2 {
			return ""
		}
	}
	kind := "strict"
	if mode == 2 {
		kind = "loose"
	}
	way := "there is no way back"
	if r.Kind == fib.Unicast {
		if l := m.linkAt(r.Link); l != nil {
			way = "the way back leaves by " + l.Name
		}
	}
	return fmt.Sprintf("rp_filter of %s is %s: %s to %v", s.in.Name, kind, way, s.src)
}

func uses(r fib.Result, link int) bool {
	if r.Link == link {
		return true
	}
	for _, h := range r.Hops {
		if h.Link == link {
			return true
		}
	}
	return false
}

// rpFilter is the value in force: the larger of all and the device's.
func (m *machine) rpFilter() (int, bool) {
	a, err := strconv.Atoi(m.f.Sysctl["net.ipv4.conf.all.rp_filter"])
	b, err2 := strconv.Atoi(m.s.in.Sysctl["ipv4.rp_filter"])
	if err != nil && err2 != nil {
		return 0, false
	}
	return max(a, b), true
}

// forwards says why the machine does not forward, or "".
func (m *machine) forwards() string {
	if m.s.six() {
		switch m.f.Sysctl["net.ipv6.conf.all.forwarding"] {
		case "0":
			if m.s.in.Sysctl["ipv6.force_forwarding"] == "1" {
				return ""
			}
			return "this machine does not forward IPv6 (net.ipv6.conf.all.forwarding is 0)"
		case "":
			m.doubt("whether this machine forwards IPv6 is not known")
		}
		return ""
	}
	v := m.s.in.Sysctl["ipv4.forwarding"]
	if v == "" {
		v = m.f.Sysctl["net.ipv4.ip_forward"]
	}
	switch v {
	case "0":
		return "this machine does not forward IPv4 from " + m.s.in.Name + " (net.ipv4.ip_forward)"
	case "":
		m.doubt("whether this machine forwards IPv4 is not known")
	}
	return ""
}

// masquerade is the address that the outgoing device gives: inet_select_addr for the next hop,
// or RFC 6724's choice for the destination (nf_nat_masquerade.c).
func (m *machine) masqueradeAs() netip.Addr {
	out := m.s.out
	if out == nil {
		return netip.Addr{}
	}
	if m.s.six() {
		if r := fib.Lookup(m.f, fib.Query{Dst: m.s.dst, Oif: out.Name}); r.Src.IsValid() {
			return r.Src
		}
	}
	a := m.addrOf(out, m.route.NextHop(m.s.dst))
	for _, l := range m.f.Links { // the loopback's own address is for the host alone
		if a.IsValid() || m.s.six() {
			break
		}
		a = m.addrOf(&l, netip.Addr{})
	}
	return a
}

// addrOf is the first address of a device, better one whose subnet holds near.
func (m *machine) addrOf(l *facts.Link, near netip.Addr) netip.Addr {
	var first netip.Addr
	for _, a := range m.f.Addrs {
		x := a.Prefix.Addr()
		if a.Link != l.Index || x.Is4() == m.s.six() || a.Tentative || x.Is4() && a.Scope == "host" || x.Is6() && x.IsLinkLocalUnicast() {
			continue
		}
		if a.Prefix.Contains(near) {
			return x
		}
		if !first.IsValid() {
			first = x
		}
	}
	return first
}
