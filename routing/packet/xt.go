package packet

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"github.com/provision-net/provision/provision/resource/nft"
)

// iptables-nft puts matches and targets of x_tables into rules that otherwise consist of the
// kernel's own expressions. Those that nearly every such ruleset has are run here; of the others
// nothing is known. Structures are those of include/uapi/linux/netfilter/xt_*.h, in host order.

// xt is one of them, as nft_compat.c keeps it: name, revision and the structure.
type xt struct {
	name string
	rev  uint32
	info []byte
}

func readXT(b []byte) (x xt) {
	for len(b) >= 4 {
		size := int(binary.NativeEndian.Uint16(b))
		if size < 4 || size > len(b) {
			return xt{}
		}
		data := b[4:size]
		switch binary.NativeEndian.Uint16(b[2:]) & 0x3fff {
		case 1:
			x.name = string(bytes.TrimRight(data, "\x00"))
		case 2:
			if len(data) == 4 {
				x.rev = binary.BigEndian.Uint32(data)
			}
		case 3:
			x.info = data
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return x
}

func (x xt) u16(at int) uint16 { return binary.NativeEndian.Uint16(x.info[at:]) }
func (x xt) u32(at int) uint32 { return binary.NativeEndian.Uint32(x.info[at:]) }

// foreign runs an expression that the nft package does not know.
func (r *run) foreign(u *nft.Unknown) outcome {
	x := readXT(u.Data)
	switch u.Name {
	case "match":
		return r.xtMatch(x)
	case "target":
		return r.xtTarget(x)
	}
	return unsure
}

func (r *run) xtTarget(x xt) outcome {
	s := r.m.s
	switch x.name {
	case "LOG", "NFLOG", "ULOG", "TRACE", "AUDIT", "CHECKSUM", "CLASSIFY", "TCPMSS", "LED":
		// They let the packet go on, and nothing that is simulated depends on what they do.
		r.effect("%s", x.name)
		return goOn
	case "REJECT":
		r.m.out.Verdict = Rejected
		return r.finish("drop")
	case "MARK":
		if x.rev != 2 || len(x.info) < 8 { // struct xt_mark_tginfo2
			return unsure
		}
		s.mark.v = s.mark.v&^x.u32(4) ^ x.u32(0)
		s.mark.known = s.mark.known || x.u32(4) == 0xffffffff
		r.effect("mark becomes %s", markText(s.mark))
		return goOn
	case "SNAT", "DNAT", "MASQUERADE", "REDIRECT":
		return r.xtNAT(x)
	}
	return unsure
}

// xtNAT reads struct nf_nat_ipv4_multi_range_compat or nf_nat_range (uapi nf_nat.h).
func (r *run) xtNAT(x xt) outcome {
	const mapIPs, ports, netmapped = 1, 2, 1 << 6
	var flags uint32
	var lo, hi netip.Addr
	var pa, pz uint16
	switch {
	case len(x.info) >= 40: // flags, both addresses in 16 bytes each, both ports
		n := 4
		if r.m.s.six() {
			n = 16
		}
		flags = x.u32(0)
		lo, _ = netip.AddrFromSlice(x.info[4 : 4+n])
		hi, _ = netip.AddrFromSlice(x.info[20 : 20+n])
		pa, pz = binary.BigEndian.Uint16(x.info[36:]), binary.BigEndian.Uint16(x.info[38:])
	case len(x.info) >= 20 && x.u32(0) == 1 && !r.m.s.six(): // how many, then flags, addresses, ports
		flags = x.u32(4)
		lo, _ = netip.AddrFromSlice(x.info[8:12])
		hi, _ = netip.AddrFromSlice(x.info[12:16])
		pa, pz = binary.BigEndian.Uint16(x.info[16:]), binary.BigEndian.Uint16(x.info[18:])
	default:
		return unsure
	}
	if flags&mapIPs == 0 {
		lo, hi = netip.Addr{}, netip.Addr{}
	}
	if flags&ports == 0 {
		pa, pz = 0, 0
	}
	if flags&netmapped != 0 {
		return unsure
	}
	switch {
	case x.name == "MASQUERADE":
		return r.masqueradeTo(pa, pz)
	case x.name == "REDIRECT":
		return r.redirectTo(pa, pz)
	case r.m.s.flow == nil:
		return r.finish("accept")
	}
	if lo != hi {
		r.effect("one address of %v to %v", lo, hi)
	}
	return r.change(lo, pa, pz, r.m)
}

func (r *run) xtMatch(x xt) outcome {
	s := r.m.s
	switch {
	case x.name == "comment":
		return goOn
	case x.name == "limit": // taken as not exceeded
		return goOn
	case x.name == "conntrack" && x.rev >= 2 && x.rev <= 3 && len(x.info) >= 154:
		return r.xtConntrack(x)
	case x.name == "state" && len(x.info) >= 4: // struct xt_state_info
		return when(x.u32(0)&uint32(r.xtState()) != 0)
	case x.name == "addrtype" && x.rev == 1 && len(x.info) >= 8 && !s.six():
		return r.xtAddrType(x)
	case x.name == "mark" && x.rev == 1 && len(x.info) >= 9: // struct xt_mark_mtinfo1
		if !s.mark.known {
			return unsure
		}
		return when((s.mark.v&x.u32(4) == x.u32(0)) != (x.info[8] != 0))
	case x.name == "tcp" && len(x.info) >= 12: // struct xt_tcp
		if s.proto != protoTCP {
			return noMatch
		}
		if x.info[8] != 0 {
			return unsure // asks for an option
		}
		inv := x.info[11]
		return when(between16(s.sport, x, 0, inv&1 != 0) && between16(s.dport, x, 4, inv&2 != 0) &&
			(s.flags&x.info[9] == x.info[10]) != (inv&4 != 0))
	case x.name == "udp" && len(x.info) >= 9: // struct xt_udp
		if s.proto != protoUDP {
			return noMatch
		}
		inv := x.info[8]
		return when(between16(s.sport, x, 0, inv&1 != 0) && between16(s.dport, x, 4, inv&2 != 0))
	case x.name == "icmp" && len(x.info) >= 4, x.name == "icmp6" && len(x.info) >= 4: // struct ipt_icmp: type, codes, invert
		if s.proto != map[string]uint8{"icmp": protoICMP, "icmp6": protoICMPv6}[x.name] {
			return noMatch
		}
		hit := x.name == "icmp" && x.info[0] == 0xff || s.icmpType == x.info[0] && s.icmpCode >= x.info[1] && s.icmpCode <= x.info[2]
		return when(hit != (x.info[3]&1 != 0))
	}
	return unsure
}

// between16 asks for a port in the range that stands at that place.
func between16(p uint16, x xt, at int, invert bool) bool {
	return (x.u16(at) <= p && p <= x.u16(at+2)) != invert
}

// xtState is XT_CONNTRACK_STATE_BIT of the packet; new, related, established and invalid have
// the same bits as in nft.
func (r *run) xtState() uint16 {
	st := r.m.state()
	if st == nft.StateUntracked {
		return 1 << 8
	}
	return uint16(st)
}

// xtConntrack is conntrack_mt of xt_conntrack.c: state, status and direction.
func (r *run) xtConntrack(x xt) outcome {
	const (
		flags, inverts, states, statuses = 146, 148, 150, 152
		state, status, direction, alias  = 1 << 0, 1 << 6, 1 << 12, 1 << 13
	)
	want, invert := x.u16(flags), x.u16(inverts)
	f := r.m.s.flow
	tracked := f != nil && r.m.seen && r.m.s.ctState != nft.StateUntracked && r.m.s.ctState != nft.StateInvalid
	if want&state != 0 {
		has := r.xtState()
		if tracked && f.snat {
			has |= 1 << 6
		}
		if tracked && f.dnat {
			has |= 1 << 7
		}
		if (x.u16(states)&has != 0) == (invert&state != 0) {
			return noMatch
		}
	}
	if !tracked {
		return when(want&state != 0)
	}
	if want&direction != 0 && r.m.s.reply == (invert&direction == 0) {
		return noMatch
	}
	if want&status != 0 && (uint32(x.u16(statuses))&f.status() != 0) == (invert&status != 0) {
		return noMatch
	}
	if want&^(state|status|direction|alias) != 0 {
		return unsure
	}
	return goOn
}

// xtAddrType is addrtype_mt_v1 of xt_addrtype.c for IPv4.
func (r *run) xtAddrType(x xt) outcome {
	const invertSource, invertDest, limitIn, limitOut = 1, 2, 4, 8
	m, flags := r.m, x.u32(4)
	dev := m.s.in
	switch {
	case flags&limitIn != 0:
	case flags&limitOut != 0:
		dev = m.s.out
	default:
		dev = nil
	}
	if src := x.u16(0); src != 0 && (src&(1<<m.addrType(m.s.src, dev)) != 0) == (flags&invertSource != 0) {
		return noMatch
	}
	if dst := x.u16(2); dst != 0 && (dst&(1<<m.addrType(m.s.dst, dev)) != 0) == (flags&invertDest != 0) {
		return noMatch
	}
	return goOn
}
