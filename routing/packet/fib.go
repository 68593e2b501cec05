package packet

import (
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/facts/fib"
	"github.com/provision-net/provision/provision/resource/nft"
)

// fib follows nft_fib4_eval and nft_fib6_eval.
func (r *run) fib(e *nft.Fib) outcome {
	m, s := r.m, r.m.s
	has := func(flag string) bool {
		for _, f := range e.Flags {
			if f == flag {
				return true
			}
		}
		return false
	}
	var dev *facts.Link
	switch {
	case has("iif"):
		dev = s.in
	case has("oif"):
		dev = s.out
	}
	addr, other := s.src, s.dst
	if has("daddr") {
		addr, other = s.dst, s.src
	}
	if !addr.IsValid() {
		return unsure
	}
	if e.Result == "type" {
		t := uint32(0)
		if s.six() {
			t = m.addrType6(addr, dev)
		} else {
			t = m.addrType(addr, dev)
		}
		r.regs.put(e.Reg, host32(t), true)
		return goOn
	}
	found := m.fibDevice(addr, other, dev, has("mark"), has("iif") && !has("daddr"))
	known := !has("mark") || s.mark.known
	switch e.Result {
	case "present":
		b := byte(0)
		if found != nil {
			b = 1
		}
		r.regs.put(e.Reg, []byte{b}, known)
	case "oifname":
		r.regs.put(e.Reg, ifname(found), known)
	default:
		index := 0
		if found != nil {
			index = found.Index
		}
		r.regs.put(e.Reg, host32(uint32(index)), known)
	}
	return goOn
}

// fibDevice is the device that a route to addr leaves by; nil: none, or none that uses dev.
func (m *machine) fibDevice(addr, other netipAddr, dev *facts.Link, mark, iif bool) *facts.Link {
	s := m.s
	if m.at == "prerouting" && s.in != nil && s.in.ARPHRD == arphrdLoopback {
		return s.in
	}
	if s.six() && s.src.IsUnspecified() && s.proto == protoICMPv6 && m.at == "prerouting" && s.dst.IsLinkLocalMulticast() {
		return s.in
	}
	q := fib.Query{Dst: addr, Src: other}
	if s.six() && addr.IsLinkLocalUnicast() {
		l := dev
		if l == nil {
			l = s.in
		}
		q.Dst = m.zoned(addr, l)
	}
	if other.IsMulticast() || other.IsUnspecified() {
		q.Src = netipAddr{}
	}
	if mark {
		q.Mark = s.mark.v
	}
	if !s.six() && m.at == "forward" && iif && s.out != nil {
		q.Iif = s.out.Name
	}
	res := fib.Lookup(m.f, q)
	if res.Kind != fib.Unicast && res.Kind != fib.Broadcast {
		return nil
	}
	if dev == nil {
		return m.linkAt(res.Link)
	}
	if !uses(res, dev.Index) {
		return nil
	}
	return dev
}

// addrType6 is __nft_fib6_eval_type.
func (m *machine) addrType6(a netipAddr, dev *facts.Link) uint32 {
	if dev != nil && m.own(a, dev) {
		return typeLocal
	}
	if a.IsMulticast() {
		return typeMulticast
	}
	l := dev
	if l == nil {
		l = m.s.in
	}
	res := fib.Lookup(m.f, fib.Query{Dst: m.zoned(a, l)})
	switch res.Kind {
	case fib.Unreachable, fib.NoRoute:
		return typeUnreachable
	case fib.Blackhole:
		return typeBlackhole
	case fib.Prohibit:
		return typeProhibit
	case fib.Local:
		if dev == nil {
			return typeLocal
		}
	}
	for _, x := range m.f.Addrs { // the subnet routers' anycast address (RFC 4291 section 2.6.1)
		if x.Prefix.Addr().Is6() && x.Prefix.Bits() < 127 && x.Prefix.Masked().Addr() == a && m.f.Sysctl["net.ipv6.conf.all.forwarding"] == "1" {
			return typeAnycast
		}
	}
	return typeUnicast
}
