package nft

import (
	"fmt"
	"strings"
)

// datatype is one of nft's types of values (nftables include/datatype.h, enum datatypes). The
// kernel keeps the number without looking at it; nft prints elements by it.
type datatype struct {
	name   string
	number uint32
	size   int  // bytes
	host   bool // in the machine's byte order, else in network order
}

var datatypes = []datatype{
	{TypeVerdict, 1, 0, false}, {"nf_proto", 2, 1, false},
	{TypeIPv4, 7, 4, false}, {TypeIPv6, 8, 16, false}, {TypeMAC, 9, 6, false}, {"ether_type", 10, 2, false},
	{"arp_op", 11, 2, false}, {TypeProto, 12, 1, false}, {TypePort, 13, 2, false}, {"icmp_type", 14, 1, false},
	{"tcp_flag", 15, 1, false}, {"dccp_pkttype", 16, 1, false}, {"mh_type", 17, 1, false}, {"time", 18, 8, true},
	{TypeMark, 19, 4, true}, {"iface_index", 20, 4, true}, {"iface_type", 21, 2, true}, {"realm", 22, 4, true},
	{"classid", 23, 4, true}, {"uid", 24, 4, true}, {"gid", 25, 4, true}, {"ct_state", 26, 4, true},
	{"ct_dir", 27, 1, false}, {"ct_status", 28, 4, true}, {"icmpv6_type", 29, 1, false}, {"ct_label", 30, 16, true},
	{"pkt_type", 31, 1, true}, {"icmp_code", 32, 1, false}, {"icmpv6_code", 33, 1, false}, {"icmpx_code", 34, 1, false},
	{"devgroup", 35, 4, true}, {"dscp", 36, 1, false}, {"ecn", 37, 1, false}, {"fib_addrtype", 38, 4, true},
	{"boolean", 39, 1, true}, {"ct_event", 40, 4, true}, {TypeIfname, 41, 16, true}, {"igmp_type", 42, 1, false},
	{"date", 43, 8, true}, {"hour", 44, 4, true}, {"day", 45, 1, true}, {"cgroupsv2", 46, 8, true},
}

// typeBits is how much of a concatenation's number one part takes (TYPE_BITS).
const typeBits = 6

func typeByName(name string) (datatype, bool) {
	for _, d := range datatypes {
		if d.name == name {
			return d, true
		}
	}
	var d datatype
	// A type that is not known, as read.
	if n, err := fmt.Sscanf(name, "#%d:%d", &d.number, &d.size); err == nil && n == 2 && d.size > 0 && d.size <= 64 && unknownType(d.number, d.size) == name {
		d.name = name
		return d, true
	}
	return datatype{}, false
}

func unknownType(number uint32, size int) string { return fmt.Sprintf("#%d:%d", number, size) }

// TypeSize is how many bytes a value of this type has; 0 for verdicts and for what is no type.
func TypeSize(name string) int {
	d, _ := typeByName(name)
	return d.size
}

// KeySize is the size of a set's key, or of a map's data: that of the only part, or the sum of
// the parts of a concatenation, each rounded up to 4 bytes.
func KeySize(parts []string) int {
	if len(parts) == 1 {
		return TypeSize(parts[0])
	}
	n := 0
	for _, p := range parts {
		n += (TypeSize(p) + 3) &^ 3
	}
	return n
}

// typeNumber is what the kernel keeps for a list of types.
func typeNumber(parts []string) (uint32, error) {
	var n uint32
	if len(parts) == 0 {
		return 0, fmt.Errorf("no type")
	}
	for _, p := range parts {
		d, ok := typeByName(p)
		if !ok {
			return 0, fmt.Errorf("there is no type %q", p)
		}
		n = n<<typeBits | d.number
	}
	return n, nil
}

// typeNames reads such a number; size is the size of the whole.
func typeNames(number uint32, size int) []string {
	var parts []string
	for rest := number; rest != 0; rest >>= typeBits {
		name := ""
		for _, d := range datatypes {
			if d.number == rest&(1<<typeBits-1) {
				name = d.name
			}
		}
		if name == "" {
			parts = nil
			break
		}
		parts = append([]string{name}, parts...)
	}
	// A name is believed only if it explains the size: others write numbers of their own.
	if len(parts) == 0 || KeySize(parts) != size {
		return []string{unknownType(number, size)}
	}
	return parts
}

// byteOrder is nft's enum byteorder for a list of types: 0 for a concatenation.
func byteOrder(parts []string) uint32 {
	if len(parts) != 1 {
		return 0
	}
	if d, _ := typeByName(parts[0]); d.host {
		return 1
	}
	return 2
}

func typeText(parts []string) string { return strings.Join(parts, " . ") }

// ranged tells sets whose ranges are one element each, not a beginning and an end.
func (s *Set) ranged() bool { return s.Interval && len(s.Key) > 1 }

// verdicts tells verdict maps.
func (s *Set) verdicts() bool { return len(s.Data) == 1 && s.Data[0] == TypeVerdict }
