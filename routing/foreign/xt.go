package foreign

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// extension is a match or target of x_tables in a rule of iptables-nft: the attributes
// NFTA_MATCH_* or NFTA_TARGET_*, which have the same numbers (linux/netfilter/nf_tables_compat.h).
type extension struct {
	name     string
	revision uint32
	info     []byte
}

// readExtension reads the data of an expression "match" or "target".
func readExtension(b []byte) (x extension, ok bool) {
	for len(b) >= 4 {
		size := int(binary.NativeEndian.Uint16(b))
		if size < 4 || size > len(b) {
			return extension{}, false
		}
		data := b[4:size]
		switch binary.NativeEndian.Uint16(b[2:]) & 0x3fff {
		case 1:
			x.name = string(bytes.TrimRight(data, "\x00"))
		case 2:
			if len(data) == 4 {
				x.revision = binary.BigEndian.Uint32(data)
			}
		case 3:
			x.info = data
		}
		b = b[min((size+3)&^3, len(b)):]
	}
	return x, x.name != ""
}

// match tells whether a packet meets a match, as far as it can be read.
func (p packet) match(x extension) truth {
	switch x.name {
	case "comment":
		return yes
	case "conntrack":
		return p.conntrack(x)
	case "state":
		// struct xt_state_info: IP_CT_NEW is 2, its bit 1<<3.
		if len(x.info) < 4 {
			return blind
		}
		return bit(binary.NativeEndian.Uint32(x.info), 1<<3)
	case "addrtype":
		return p.addrtype(x)
	case "tcp":
		return p.tcp(x)
	case "udp", "udplite", "sctp", "dccp":
		return p.ports(x.name, x.info, 8)
	case "multiport":
		return p.multiport(x)
	case "icmp", "icmp6":
		return p.icmp(x)
	case "mark", "connmark":
		// struct xt_mark_mtinfo1: mark, mask, invert; our packets have none.
		if len(x.info) < 9 {
			return blind
		}
		return inverted(number(x.info[:4]) == 0, x.info[8] != 0)
	case "pkttype":
		// struct xt_pkttype_info: pkttype, invert; ours are for this machine's address (0).
		if len(x.info) < 8 {
			return blind
		}
		return inverted(number(x.info[:4]) == 0, number(x.info[4:8]) != 0)
	case "physdev":
		// Only frames between ports of a bridge have physical devices of both sides.
		return some
	case "rt", "frag", "ah", "esp", "hbh", "dst", "eui64", "mh", "srh", "ipv6header":
		return no // plain packets have no such header
	case "limit", "hashlimit", "statistic", "quota", "length", "ttl", "hl", "tos", "dscp", "iprange", "mac",
		"owner", "set", "recent", "connlimit", "connbytes", "time", "helper", "string", "tcpmss", "ecn", "geoip", "nfacct":
		return some
	}
	return blind
}

//go:noinline
func number(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }

func bit(mask, one uint32) truth {
	if mask&one != 0 {
		return yes
	}
	return no
}

//go:noinline
func inverted(b, invert bool) truth {
	if b != invert {
		return yes
	}
	return no
}

// conntrack reads struct xt_conntrack_mtinfo1 to 3 (linux/netfilter/xt_conntrack.h).
func (p packet) conntrack(x extension) truth {
	const flags, inverts, states = 146, 148, 150
	const state, status, direction = 1 << 0, 1 << 6, 1 << 12
	if len(x.info) < 154 || x.revision < 1 || x.revision > 3 {
		return blind
	}
	want, invert := binary.NativeEndian.Uint16(x.info[flags:]), binary.NativeEndian.Uint16(x.info[inverts:])
	stateMask, statusMask := binary.NativeEndian.Uint16(x.info[states:]), binary.NativeEndian.Uint16(x.info[states+2:])
	if x.revision == 1 {
		stateMask, statusMask = uint16(x.info[states]), uint16(x.info[states+1])
	}
	t := yes
	if want&state != 0 {
		has := uint16(1 << 3) // XT_CONNTRACK_STATE_BIT(IP_CT_NEW)
		if p.Published {
			has |= 1 << 7 // XT_CONNTRACK_STATE_DNAT
		}
		t = t.and(inverted(stateMask&has != 0, invert&state != 0))
	}
	if want&status != 0 {
		has := uint16(0)
		if p.Published {
			has = 0x20 // IPS_DST_NAT
		}
		t = t.and(inverted(statusMask&has != 0, invert&status != 0))
	}
	if want&direction != 0 {
		t = t.and(inverted(invert&direction == 0, false)) // original
	}
	if want&^(state|status|direction|1<<13) != 0 {
		t = t.and(some)
	}
	return t
}

// addrtype reads struct xt_addrtype_info_v1: source and destination masks of RTN_*, flags.
func (p packet) addrtype(x extension) truth {
	if len(x.info) < 8 || x.revision != 1 {
		return blind
	}
	const invertSource, invertDest = 1, 2
	flags := number(x.info[4:])
	check := func(mask uint16, kind uint32, invert bool) truth {
		if mask == 0 {
			return yes
		}
		return inverted(mask&(1<<kind) != 0, invert)
	}
	return check(binary.NativeEndian.Uint16(x.info), p.addrType(false), flags&invertSource != 0).
		and(check(binary.NativeEndian.Uint16(x.info[2:]), p.addrType(true), flags&invertDest != 0))
}

// ports reads the ranges that struct xt_tcp, xt_udp and the like begin with.
func (p packet) ports(proto string, info []byte, inverts int) truth {
	if p.Proto != "" && p.Proto != proto {
		return no
	}
	if len(info) <= inverts {
		return blind
	}
	u := func(i int) uint16 { return binary.NativeEndian.Uint16(info[2*i:]) }
	t := yes
	if u(0) != 0 || u(1) != 0xffff {
		t = t.and(some)
	}
	if u(2) != 0 || u(3) != 0xffff {
		if p.Port == 0 || p.Proto == "" {
			t = t.and(some)
		} else {
			t = t.and(inverted(u(2) <= p.Port && p.Port <= u(3), info[inverts]&2 != 0))
		}
	}
	if p.Proto == "" {
		t = t.and(some)
	}
	return t
}

// tcp reads struct xt_tcp: ranges, option, flag mask, flags, inversions.
func (p packet) tcp(x extension) truth {
	t := p.ports("tcp", x.info, 11)
	if t == no || t == blind {
		return t
	}
	const syn, invertFlags = 0x02, 4
	if mask, flags := x.info[9], x.info[10]; mask != 0 {
		t = t.and(inverted(syn&mask == flags, x.info[11]&invertFlags != 0))
	}
	if x.info[8] != 0 {
		t = t.and(some)
	}
	return t
}

// multiport reads struct xt_multiport_v1: what is compared, how many, the ports, which of them
// begin a range, invert.
func (p packet) multiport(x extension) truth {
	if len(x.info) < 48 || x.revision != 1 {
		return blind
	}
	if p.Proto != "" && p.Proto != "tcp" && p.Proto != "udp" {
		return no
	}
	const destination = 1
	if x.info[0] != destination || p.Port == 0 {
		return some
	}
	hit := false
	for i := 0; i < int(min(x.info[1], 15)); i++ {
		from := binary.NativeEndian.Uint16(x.info[2+2*i:])
		to := from
		if x.info[32+i] != 0 && i < 14 {
			i++
			to = binary.NativeEndian.Uint16(x.info[2+2*i:])
		}
		hit = hit || from <= p.Port && p.Port <= to
	}
	return inverted(hit, x.info[47] != 0)
}

// icmp reads struct ipt_icmp and ip6t_icmp: type, codes, invert.
func (p packet) icmp(x extension) truth {
	if len(x.info) < 4 {
		return blind
	}
	kind, all := byte(8), byte(0xff)
	if x.name == "icmp6" {
		kind, all = 128, 0
	}
	switch {
	case p.Proto == "":
		return some
	case p.Proto != "icmp" && p.Proto != "icmpv6":
		return no
	case x.name == "icmp" && x.info[0] == all:
		return yes
	}
	return inverted(x.info[0] == kind, x.info[3]&1 != 0)
}

// target tells what a target does with a packet: one of the verdicts, or "" to go on.
func target(x extension) (verdict string, read bool) {
	switch x.name {
	case "REJECT", "TARPIT", "DELUDE":
		return "drop", true
	}
	known := []string{"LOG", "NFLOG", "ULOG", "MARK", "CONNMARK", "SECMARK", "CONNSECMARK", "TCPMSS", "TCPOPTSTRIP", "CT", "NOTRACK", "CHECKSUM", "CLASSIFY",
		"DSCP", "TOS", "TTL", "HL", "SET", "TEE", "TRACE", "AUDIT", "HMARK", "RATEEST", "IDLETIMER", "LED", "ECN",
		"MASQUERADE", "SNAT", "DNAT", "REDIRECT", "NETMAP", "SNPT", "DNPT"}
	return "", slices.Contains(known, x.name)
}
