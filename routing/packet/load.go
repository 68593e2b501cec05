package packet

import (
	"encoding/binary"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/nft"
)

func ifname(l *facts.Link) []byte {
	b := make([]byte, 16)
	if l != nil {
		copy(b, l.Name)
	}
	return b
}

// meta follows nft_meta_get_eval: no device is an empty name and index 0, but has no type.
func (r *run) meta(e *nft.Meta) outcome {
	s := r.m.s
	put := func(b []byte) outcome {
		r.regs.put(e.Reg, b, true)
		return goOn
	}
	dev := s.in
	if len(e.Key) > 0 && e.Key[0] == 'o' {
		dev = s.out
	}
	switch e.Key {
	case "iifname", "oifname":
		return put(ifname(dev))
	case "iif", "oif":
		if dev == nil {
			return put(host32(0))
		}
		return put(host32(uint32(dev.Index)))
	case "iiftype", "oiftype":
		if dev == nil {
			return noMatch
		}
		return put(host16(uint16(dev.ARPHRD)))
	case "iifkind", "oifkind":
		if dev == nil || dev.Kind == "" {
			return noMatch
		}
		b := make([]byte, 16)
		copy(b, dev.Kind)
		return put(b)
	case "iifgroup", "oifgroup":
		if dev == nil {
			return noMatch
		}
	case "nfproto":
		return put([]byte{s.nfproto()})
	case "l4proto":
		return put([]byte{s.proto})
	case "protocol":
		if s.six() {
			return put([]byte{0x86, 0xdd})
		}
		return put([]byte{0x08, 0x00})
	case "mark":
		r.regs.put(e.Reg, host32(s.mark.v), s.mark.known)
		return goOn
	case "pkttype":
		return put([]byte{s.pktType})
	case "length":
		r.regs.put(e.Reg, host32(uint32(s.length)), s.length != 0)
		return goOn
	case "skuid":
		if s.in != nil && r.m.at != "input" { // no socket owns it
			return noMatch
		}
		if s.uid != nil && s.in == nil {
			return put(host32(uint32(*s.uid)))
		}
	case "skgid", "cgroup":
		if s.in != nil && r.m.at != "input" {
			return noMatch
		}
	}
	r.regs.put(e.Reg, make([]byte, 16), false)
	return goOn
}

// payload follows nft_payload_eval.
func (r *run) payload(e *nft.Payload) outcome {
	var v view
	switch e.Base {
	case "link":
		var ok bool
		if v, ok = r.m.s.link(); !ok {
			return noMatch
		}
		if int(e.Offset) >= 14 {
			n := r.m.s.network()
			v = view{append(v.b, n.b...), append(v.known, n.known...), n.open}
		}
	case "network":
		v = r.m.s.network()
	case "transport":
		v = r.m.s.transport()
	default:
		v.open = true
	}
	n := int(e.Len)
	b, known, found := v.slice(int(e.Offset), n)
	if !found {
		return noMatch
	}
	if b == nil {
		b, known = make([]byte, n), false
	}
	r.regs.put(e.Reg, b, known)
	return goOn
}

// ct follows nft_ct_get_eval.
func (r *run) ct(e *nft.Ct) outcome {
	m, f := r.m, r.m.s.flow
	put := func(b []byte) outcome {
		r.regs.put(e.Reg, b, true)
		return goOn
	}
	if e.Key == "state" {
		return put(host32(m.state()))
	}
	if f == nil || !m.seen || m.s.ctState == nft.StateUntracked || m.s.ctState == nft.StateInvalid {
		return noMatch
	}
	src, dst, sport, dport := f.src, f.dst, f.sport, f.dport
	if e.Dir == "reply" {
		src, dst, sport, dport = f.dst, f.src, f.dport, f.sport
		if f.dnat {
			src, sport = f.newDst, f.newDport
		}
		if f.snat {
			dst, dport = f.newSrc, f.newSport
		}
	}
	be := func(p uint16) []byte { return binary.BigEndian.AppendUint16(nil, p) }
	switch e.Key {
	case "mark":
		r.regs.put(e.Reg, host32(f.mark.v), f.mark.known)
		return goOn
	case "status":
		return put(host32(f.status()))
	case "direction":
		if m.s.reply {
			return put([]byte{1})
		}
		return put([]byte{0})
	case "l3proto":
		return put([]byte{m.s.nfproto()})
	case "proto", "protocol":
		return put([]byte{m.s.proto})
	case "zone":
		return put(host16(0))
	case "saddr":
		return put(src.AsSlice())
	case "daddr":
		return put(dst.AsSlice())
	case "ip saddr", "ip daddr", "ip6 saddr", "ip6 daddr":
		if (e.Key[2] == '6') != m.s.six() {
			return noMatch
		}
		if e.Key[len(e.Key)-5] == 's' {
			return put(src.AsSlice())
		}
		return put(dst.AsSlice())
	case "proto-src":
		return put(be(sport))
	case "proto-dst":
		return put(be(dport))
	case "helper":
		return noMatch
	}
	r.regs.put(e.Reg, make([]byte, 16), false)
	return goOn
}

// rt follows nft_rt_get_eval.
func (r *run) rt(e *nft.Rt) outcome {
	m := r.m
	hop := m.route.NextHop(m.s.dst)
	switch e.Key {
	case "nexthop4":
		if !m.s.six() && hop.Is4() {
			r.regs.put(e.Reg, hop.AsSlice(), true)
			return goOn
		}
		return noMatch
	case "nexthop6":
		if m.s.six() && hop.Is6() {
			r.regs.put(e.Reg, hop.AsSlice(), true)
			return goOn
		}
		return noMatch
	case "tcpmss":
		head := 40
		if m.s.six() {
			head = 60
		}
		mtu := 0
		for _, l := range []*facts.Link{m.s.in, m.s.out} { // both ways count
			if l != nil && l.MTU > 0 && (mtu == 0 || l.MTU < mtu) {
				mtu = l.MTU
			}
		}
		r.regs.put(e.Reg, host16(uint16(max(mtu-head, 0))), mtu > head)
		return goOn
	}
	r.regs.put(e.Reg, make([]byte, 4), false)
	return goOn
}

// exthdr: the packets that are explained have no extension headers and, of TCP options, the
// segment size in a SYN.
func (r *run) exthdr(e *nft.Exthdr) outcome {
	mss := e.Op == "tcpopt" && e.Type == 2 && r.m.s.proto == protoTCP && r.m.s.flags&flagSYN != 0
	switch {
	case e.Op == "ipv6" && !r.m.s.six(), e.Op == "tcpopt" && r.m.s.proto != protoTCP:
		if !e.Present {
			return noMatch
		}
		r.regs.put(e.Reg, []byte{0}, true)
	case e.Op == "ipv6":
		if !e.Present {
			return noMatch
		}
		r.regs.put(e.Reg, []byte{0}, true)
	case e.Present:
		r.regs.put(e.Reg, []byte{1}, mss)
	default:
		r.regs.put(e.Reg, make([]byte, e.Len), false)
	}
	return goOn
}
