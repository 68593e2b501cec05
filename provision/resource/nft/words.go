package nft

import "slices"

// The words of expressions, each at the place of the number that the kernel has for it
// (include/uapi/linux/netfilter/nf_tables.h).
var (
	metaKeys = []string{
		"length", "protocol", "priority", "mark", "iif", "oif", "iifname", "oifname", "iiftype", "oiftype", "skuid", "skgid",
		"nftrace", "rtclassid", "secmark", "nfproto", "l4proto", "ibrname", "obrname", "pkttype", "cpu", "iifgroup", "oifgroup",
		"cgroup", "random", "ipsec", "iifkind", "oifkind", "ibrpvid", "ibrvproto", "time", "day", "hour", "sdif", "sdifname",
	}
	ctKeys = []string{
		"state", "direction", "status", "mark", "secmark", "expiration", "helper", "l3proto", "saddr", "daddr", "proto",
		"proto-src", "proto-dst", "label", "packets", "bytes", "avgpkt", "zone", "event", "ip saddr", "ip daddr", "ip6 saddr",
		"ip6 daddr", "id",
	}
	ctDirs       = []string{"original", "reply"}
	rtKeys       = []string{"classid", "nexthop4", "nexthop6", "tcpmss", "ipsec"}
	cmpOps       = []string{"==", "!=", "<", "<=", ">", ">="}
	rangeOps     = []string{"==", "!="}
	byteorderOps = []string{"ntoh", "hton"}
	payloadBases = []string{"link", "network", "transport", "inner"}
	exthdrOps    = []string{"ipv6", "tcpopt", "ipv4", "sctp", "dccp"}
	dynsetOps    = []string{"add", "update", "delete"}
	natKinds     = []string{"snat", "dnat"}
	rejectTypes  = []string{"icmp", "tcp reset", "icmpx"}
	fibResults   = []string{"", "oif", "oifname", "type"}

	// Flags: bit n is the n-th word.
	fibFlags = []string{"saddr", "daddr", "mark", "iif", "oif"}
	// NF_NAT_RANGE_* (include/uapi/linux/netfilter/nf_nat.h); the two that the kernel sets by
	// itself and PROTO_OFFSET have no word.
	natFlags    = []string{"random", "persistent", "fully-random", "prefix"}
	natFlagBits = []uint32{1 << 2, 1 << 3, 1 << 4, 1 << 6}
)

// number finds a word's number.
func number(words []string, w string) (uint32, bool) {
	i := slices.Index(words, w)
	return uint32(i), i >= 0
}

// word finds a number's word.
func word(words []string, n uint32) (string, bool) {
	if uint64(n) >= uint64(len(words)) {
		return "", false
	}
	return words[n], true
}
