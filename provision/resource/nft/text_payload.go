package nft

import "fmt"

// field is a part of a header by nft's name.
type field struct {
	proto, name string
	off, len    uint32
	typ         string
	mask        []byte // a part of a byte or of several: which bits
	shift       int
}

// fieldsOf lists the fields of a header (nftables src/proto.c).
func fieldsOf(proto string) []field {
	f := func(name string, off, n uint32, typ string) field {
		return field{proto: proto, name: name, off: off, len: n, typ: typ}
	}
	bits := func(name string, off, n uint32, typ string, shift int, mask ...byte) field {
		return field{proto, name, off, n, typ, mask, shift}
	}
	const num = "integer"
	ports := []field{f("sport", 0, 2, TypePort), f("dport", 2, 2, TypePort)}
	switch proto {
	case "ether":
		return []field{f("daddr", 0, 6, TypeMAC), f("saddr", 6, 6, TypeMAC), f("type", 12, 2, "ether_type")}
	case "ip":
		return []field{
			f("length", 2, 2, num), f("id", 4, 2, num), f("frag-off", 6, 2, num), f("ttl", 8, 1, num),
			f("protocol", 9, 1, TypeProto), f("checksum", 10, 2, num), f("saddr", 12, 4, TypeIPv4), f("daddr", 16, 4, TypeIPv4),
			bits("version", 0, 1, num, 4, 0xf0), bits("hdrlength", 0, 1, num, 0, 0x0f),
			bits("dscp", 1, 1, "dscp", 2, 0xfc), bits("ecn", 1, 1, "ecn", 0, 0x03),
		}
	case "ip6":
		return []field{
			f("length", 4, 2, num), f("nexthdr", 6, 1, TypeProto), f("hoplimit", 7, 1, num),
			f("saddr", 8, 16, TypeIPv6), f("daddr", 24, 16, TypeIPv6),
			bits("version", 0, 1, num, 4, 0xf0), bits("dscp", 0, 2, "dscp", 6, 0x0f, 0xc0), bits("ecn", 1, 1, "ecn", 4, 0x30),
		}
	case "tcp":
		return append(ports, f("sequence", 4, 4, num), f("ackseq", 8, 4, num), f("flags", 13, 1, "tcp_flag"),
			f("window", 14, 2, num), f("checksum", 16, 2, num), f("urgptr", 18, 2, num), bits("doff", 12, 1, num, 4, 0xf0))
	case "udp":
		return append(ports, f("length", 4, 2, num), f("checksum", 6, 2, num))
	case "udplite":
		return append(ports, f("csumcov", 4, 2, num), f("checksum", 6, 2, num))
	case "sctp":
		return append(ports, f("vtag", 4, 4, num), f("checksum", 8, 4, num))
	case "dccp", "th":
		return ports
	case "icmp":
		return []field{f("type", 0, 1, "icmp_type"), f("code", 1, 1, "icmp_code"), f("checksum", 2, 2, num)}
	case "icmpv6":
		return []field{f("type", 0, 1, "icmpv6_type"), f("code", 1, 1, "icmpv6_code"), f("checksum", 2, 2, num)}
	case "esp":
		return []field{f("spi", 0, 4, num), f("sequence", 4, 4, num)}
	case "ah":
		return []field{f("nexthdr", 0, 1, TypeProto), f("hdrlength", 1, 1, num), f("reserved", 2, 2, num), f("spi", 4, 4, num), f("sequence", 8, 4, num)}
	}
	return nil
}

// transports are nft's words for headers above IP.
func transports() names {
	return names{1: "icmp", 6: "tcp", 17: "udp", 33: "dccp", 50: "esp", 51: "ah", 58: "icmpv6", 132: "sctp", 136: "udplite"}
}

// header is the protocol that the rule so far makes sure of at that layer.
func (s *sayer) header(base string) string {
	switch base {
	case "link":
		if s.ether || s.family == "bridge" || s.family == "netdev" {
			return "ether"
		}
	case "network":
		return s.nf
	case "transport":
		if p := transports()[uint64(s.l4)]; s.l4 != 0 && p != "" {
			return p
		}
		return "th"
	}
	return ""
}

// needs says which conditions nft adds by itself before it reads a field of proto.
func needs(proto string) (nf, l4, ether bool) {
	switch proto {
	case "ether":
		return false, false, true
	case "ip", "ip6":
		return true, false, false
	case "icmp", "icmpv6":
		return true, true, false
	case "tcp", "udp", "udplite", "sctp", "dccp", "esp", "ah":
		return false, true, false
	}
	return false, false, false
}

// payload is the term of a load: a named field, the beginning of one, several of them, or bare bytes.
func (s *sayer) payload(p Payload) *term {
	proto := s.header(p.Base)
	t := &term{size: p.Len, typ: "integer", proto: proto}
	fields := fieldsOf(proto)
	if s.echo && (proto == "icmp" || proto == "icmpv6") {
		fields = append(fields, field{proto: proto, name: "id", off: 4, len: 2, typ: "integer"},
			field{proto: proto, name: "sequence", off: 6, len: 2, typ: "integer"})
	}
	for _, f := range fields {
		if f.mask != nil {
			if f.off == p.Offset && f.len == p.Len {
				t.subs = append(t.subs, f)
			}
			continue
		}
		if f.off == p.Offset && f.len == p.Len {
			t.text, t.typ, t.named = proto+" "+f.name, f.typ, true
		}
		if f.off == p.Offset && f.len > p.Len && (f.typ == TypeIPv4 || f.typ == TypeIPv6) {
			g := f
			t.start = &g
		}
	}
	if t.text == "" && proto != "th" {
		t.split = splitFields(proto, p.Offset, p.Len)
	}
	if t.text == "" {
		letter := map[string]string{"link": "ll", "network": "nh", "transport": "th", "inner": "ih"}[p.Base]
		if letter == "" {
			return nil
		}
		t.text = fmt.Sprintf("@%s,%d,%d", letter, p.Offset*8, p.Len*8)
	}
	return t
}

// splitFields covers off..off+n with whole fields: nft reads neighbours in one load.
func splitFields(proto string, off, n uint32) []field {
	var out []field
	for n > 0 {
		found := false
		for _, f := range fieldsOf(proto) {
			if f.mask == nil && f.off == off && f.len <= n {
				out, off, n, found = append(out, f), off+f.len, n-f.len, true
				break
			}
		}
		if !found {
			return nil
		}
	}
	return out
}
