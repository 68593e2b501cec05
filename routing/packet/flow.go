package packet

import (
	"fmt"
	"net/netip"

	"github.com/provision-net/provision/provision/resource/nft"
)

// flow is what connection tracking knows: both ends before NAT, and what NAT makes of them.
type flow struct {
	src, dst     netip.Addr
	sport, dport uint16

	newSrc, newDst     netip.Addr
	newSport, newDport uint16
	snat, dnat         bool // IPS_SRC_NAT, IPS_DST_NAT
	srcDone, dstDone   bool // decided, with or without a change
	mark               word
	old                bool // confirmed, answers were seen
}

// settled is the flow as later packets find it.
func (f *flow) settled() *flow {
	if f == nil {
		return nil
	}
	g := *f
	g.old, g.srcDone, g.dstDone = true, true, true
	return &g
}

// status gives the bits of ct status.
func (f *flow) status() uint32 {
	var v uint32
	set := func(b bool, bit uint32) {
		if b {
			v |= bit
		}
	}
	set(f.old, 2|4|8) // seen-reply, assured, confirmed
	set(f.snat, nft.StatusSNAT)
	set(f.dnat, nft.StatusDNAT)
	set(f.srcDone, 0x80)
	set(f.dstDone, 0x100)
	return v
}

// conntrack gives the packet its state (nf_conntrack_in).
func (m *machine) conntrack() {
	s := m.s
	switch {
	case s.ctState == nft.StateUntracked || m.seen:
		return
	case s.proto == protoICMPv6 && (s.icmpType >= 130 && s.icmpType <= 136 || s.icmpType == 143):
		s.ctState = nft.StateUntracked // noct_valid_new of nf_conntrack_proto_icmpv6.c
		m.seen = true
		return
	}
	m.seen = true
	if s.ctState == nft.StateNew && m.invalid() {
		s.ctState, s.flow = nft.StateInvalid, nil
		return
	}
	if s.flow == nil {
		s.flow = &flow{src: s.src, dst: s.dst, sport: s.sport, dport: s.dport, mark: word{0, true}}
		if s.ctState == nft.StateEstablished {
			s.flow = s.flow.settled()
		}
	}
}

// invalid says whether a first packet cannot begin a flow.
func (m *machine) invalid() bool {
	s := m.s
	switch s.proto {
	case protoTCP: // nf_conntrack_proto_tcp.c: SYN, or picked up from the middle by an ACK
		return s.flags&(1|4) != 0 || s.flags&(flagSYN|flagACK) == flagSYN|flagACK || s.flags&(flagSYN|flagACK) == 0
	case protoICMP: // echo, timestamp, information, address mask
		return s.icmpType != 8 && s.icmpType != 13 && s.icmpType != 15 && s.icmpType != 17
	case protoICMPv6:
		return s.icmpType != 128 && s.icmpType != 139
	}
	return false
}

// state is what nft's ct state reads.
func (m *machine) state() uint32 {
	if !m.seen && m.s.ctState != nft.StateUntracked {
		return nft.StateInvalid // not looked at yet, or nobody tracks
	}
	return m.s.ctState
}

// natHook runs the chains of type nat on the first packet of a flow, and applies to every
// packet what was decided (nf_nat_inet_fn).
func (m *machine) natHook(chains []*baseChain) bool {
	s, f := m.s, m.s.flow
	if f == nil || !m.seen || s.ctState == nft.StateUntracked || s.ctState == nft.StateInvalid {
		return true
	}
	srcSide := m.at == "postrouting" || m.at == "input"
	done := func() bool { return srcSide && f.srcDone || !srcSide && f.dstDone }
	if s.ctState == nft.StateNew && !done() {
		for _, c := range chains {
			if !m.base(c) {
				return false
			}
			if done() {
				break
			}
		}
		if srcSide {
			f.srcDone = true
		} else {
			f.dstDone = true
		}
	}
	before := *s
	switch {
	case srcSide && !s.reply && f.snat:
		s.src, s.sport = f.newSrc, f.newSport
	case srcSide && s.reply && f.dnat:
		s.src, s.sport = f.dst, f.dport
	case !srcSide && !s.reply && f.dnat:
		s.dst, s.dport = f.newDst, f.newDport
	case !srcSide && s.reply && f.snat:
		s.dst, s.dport = f.src, f.sport
	default:
		return true
	}
	if s.ctState != nft.StateNew {
		m.step(Step{Text: "the flow's NAT", Effect: rewritten(&before, s), Match: true})
	}
	if m.at == "output" && s.dst != before.dst {
		return m.reroute("the destination has changed")
	}
	return true
}

// rewritten says what NAT did.
func rewritten(a, b *skb) string {
	out := ""
	if a.src != b.src || a.sport != b.sport {
		out = fmt.Sprintf("source becomes %s", end(b.src, b.sport, b.ported()))
	}
	if a.dst != b.dst || a.dport != b.dport {
		if out != "" {
			out += ", "
		}
		out += fmt.Sprintf("destination becomes %s", end(b.dst, b.dport, b.ported()))
	}
	if out == "" {
		out = "changes nothing"
	}
	return out
}

func end(a netip.Addr, port uint16, ported bool) string {
	if !ported {
		return a.String()
	}
	return netip.AddrPortFrom(a, port).String()
}

// setup fixes one side of the flow (nf_nat_setup_info): the bit is set only if something changes.
func (m *machine) setup(addr netip.Addr, portLo, portHi uint16) {
	s, f := m.s, m.s.flow
	srcSide := m.at == "postrouting" || m.at == "input"
	old, port := s.dst, s.dport
	if srcSide {
		old, port = s.src, s.sport
	}
	if !addr.IsValid() {
		addr = old
	}
	p := port
	if portLo != 0 && s.ported() && (port < portLo || port > portHi) {
		p = portLo
	}
	changed := addr != old || p != port
	if srcSide {
		f.newSrc, f.newSport, f.snat, f.srcDone = addr, p, changed, true
	} else {
		f.newDst, f.newDport, f.dnat, f.dstDone = addr, p, changed, true
	}
}
