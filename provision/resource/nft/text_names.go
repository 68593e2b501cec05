package nft

import "strconv"

// names is a table of the words that nft has for numbers of one type, both ways round.
type names map[uint64]string

func (n names) say(v uint64) string {
	if s, ok := n[v]; ok {
		return s
	}
	return strconv.FormatUint(v, 10)
}

// The tables follow nftables 1.0.6 (src/datatype.c, proto.c, ct.c, fib.c, meta.c); protocols
// have the names of /etc/protocols, which nft asks for them.
func protocols() names {
	return names{
		0: "ip", 1: "icmp", 2: "igmp", 4: "ipencap", 6: "tcp", 8: "egp", 17: "udp", 33: "dccp", 41: "ipv6",
		46: "rsvp", 47: "gre", 50: "esp", 51: "ah", 58: "ipv6-icmp", 88: "eigrp", 89: "ospf", 94: "ipip",
		103: "pim", 108: "ipcomp", 112: "vrrp", 115: "l2tp", 132: "sctp", 136: "udplite",
	}
}

func icmpTypes() names {
	return names{
		0: "echo-reply", 3: "destination-unreachable", 4: "source-quench", 5: "redirect", 8: "echo-request",
		9: "router-advertisement", 10: "router-solicitation", 11: "time-exceeded", 12: "parameter-problem",
		13: "timestamp-request", 14: "timestamp-reply", 15: "info-request", 16: "info-reply",
		17: "address-mask-request", 18: "address-mask-reply",
	}
}

func icmpv6Types() names {
	return names{
		1: "destination-unreachable", 2: "packet-too-big", 3: "time-exceeded", 4: "parameter-problem",
		128: "echo-request", 129: "echo-reply", 130: "mld-listener-query", 131: "mld-listener-report",
		132: "mld-listener-done", 133: "nd-router-solicit", 134: "nd-router-advert", 135: "nd-neighbor-solicit",
		136: "nd-neighbor-advert", 137: "nd-redirect", 138: "router-renumbering", 141: "ind-neighbor-solicit",
		142: "ind-neighbor-advert", 143: "mld2-listener-report",
	}
}

func icmpCodes() names {
	return names{
		0: "net-unreachable", 1: "host-unreachable", 2: "prot-unreachable", 3: "port-unreachable",
		4: "frag-needed", 9: "net-prohibited", 10: "host-prohibited", 13: "admin-prohibited",
	}
}

func icmpv6Codes() names {
	return names{0: "no-route", 1: "admin-prohibited", 3: "addr-unreachable", 4: "port-unreachable", 5: "policy-fail", 6: "reject-route"}
}

func icmpxCodes() names {
	return names{0: "no-route", 1: "port-unreachable", 2: "host-unreachable", 3: "admin-prohibited"}
}

func addrTypes() names {
	return names{
		0: "unspec", 1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast",
		6: "blackhole", 7: "unreachable", 8: "prohibit",
	}
}

func etherTypes() names {
	return names{
		0x0800: "ip", 0x0806: "arp", 0x86dd: "ip6", 0x8100: "8021q", 0x88a8: "8021ad",
	}
}

func ifaceTypes() names {
	return names{1: "ether", 512: "ppp", 768: "ipip", 769: "ipip6", 772: "loopback", 776: "sit", 778: "ipgre"}
}

func dscps() names {
	return names{
		0: "cs0", 8: "cs1", 16: "cs2", 24: "cs3", 32: "cs4", 40: "cs5", 48: "cs6", 56: "cs7", 1: "lephb",
		10: "af11", 12: "af12", 14: "af13", 18: "af21", 20: "af22", 22: "af23", 26: "af31", 28: "af32",
		30: "af33", 34: "af41", 36: "af42", 38: "af43", 44: "va", 46: "ef",
	}
}

// flag is one bit of a bit mask, in the order in which nft writes them.
type flag struct {
	bit  uint64
	name string
}

func ctStates() []flag {
	return []flag{{1, "invalid"}, {2, "established"}, {4, "related"}, {8, "new"}, {64, "untracked"}}
}

func ctStatuses() []flag {
	return []flag{
		{1, "expected"}, {2, "seen-reply"}, {4, "assured"}, {8, "confirmed"}, {16, "snat"}, {32, "dnat"}, {512, "dying"},
	}
}

func tcpFlags() []flag {
	return []flag{{1, "fin"}, {2, "syn"}, {4, "rst"}, {8, "psh"}, {16, "ack"}, {32, "urg"}, {64, "ecn"}, {128, "cwr"}}
}

func logLevels() []string {
	return []string{"emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"}
}
