package nft

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// dtype is what is known of a type of data, by nft's name for it.
type dtype struct {
	size   int  // bytes, 0 if it varies
	host   bool // a number in the order of the machine, else in network order
	prefix bool // nft writes ADDRESS/LENGTH
	flags  []flag
	names  names
	hex    bool
}

// typeOf knows the types of nft's datatype.c that a set can be declared with.
func typeOf(name string) (dtype, bool) {
	switch name {
	case TypeIPv4:
		return dtype{size: 4, prefix: true}, true
	case TypeIPv6:
		return dtype{size: 16, prefix: true}, true
	case TypeMAC:
		return dtype{size: 6}, true
	case TypeIfname:
		return dtype{size: 16}, true
	case TypePort:
		return dtype{size: 2}, true
	case TypeProto:
		return dtype{size: 1, names: protocols()}, true
	case TypeMark:
		return dtype{size: 4, host: true, prefix: true, hex: true}, true
	case "nf_proto":
		return dtype{size: 1, names: names{2: "ipv4", 10: "ipv6"}}, true
	case "ether_type":
		return dtype{size: 2, names: etherTypes()}, true
	case "iface_index":
		// The loopback's index is 1 in every network namespace; others mean nothing here.
		return dtype{size: 4, host: true, names: names{1: `"lo"`}}, true
	case "iface_type":
		return dtype{size: 2, host: true, names: ifaceTypes()}, true
	case "ct_state":
		return dtype{size: 4, host: true, flags: ctStates()}, true
	case "ct_status":
		return dtype{size: 4, host: true, flags: ctStatuses()}, true
	case "ct_dir":
		return dtype{size: 1, names: names{0: "original", 1: "reply"}}, true
	case "tcp_flag":
		return dtype{size: 1, flags: tcpFlags()}, true
	case "icmp_type":
		return dtype{size: 1, names: icmpTypes()}, true
	case "icmpv6_type":
		return dtype{size: 1, names: icmpv6Types()}, true
	case "icmp_code":
		return dtype{size: 1, names: icmpCodes()}, true
	case "icmpv6_code":
		return dtype{size: 1, names: icmpv6Codes()}, true
	case "icmpx_code":
		return dtype{size: 1, names: icmpxCodes()}, true
	case "dscp":
		return dtype{size: 1, names: dscps()}, true
	case "ecn":
		return dtype{size: 1, names: names{0: "not-ect", 1: "ect1", 2: "ect0", 3: "ce"}}, true
	case "fib_addrtype":
		return dtype{size: 4, host: true, names: addrTypes()}, true
	case "pkt_type":
		return dtype{size: 1, names: names{0: "host", 1: "broadcast", 2: "multicast", 3: "other"}}, true
	case "devgroup":
		return dtype{size: 4, host: true, prefix: true, names: names{0: `"default"`}}, true
	case "uid", "gid", "realm", "classid":
		return dtype{size: 4, host: true}, true
	case "time":
		return dtype{host: true}, true
	case "boolean":
		return dtype{host: true, names: names{0: "missing", 1: "exists"}}, true
	case "integer":
		return dtype{}, true
	case TypeVerdict:
		return dtype{}, true
	}
	return dtype{}, false
}

// numeral reads up to 8 bytes.
func numeral(b []byte, host bool) (uint64, bool) {
	if len(b) > 8 {
		return 0, false
	}
	var w [8]byte
	if host && binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		copy(w[:], b)
		return binary.LittleEndian.Uint64(w[:]), true
	}
	copy(w[8-len(b):], b)
	return binary.BigEndian.Uint64(w[:]), true
}

// sayValue writes a value of the type as nft does. Swapped: its bytes are in the order that is
// not the type's own (after a byteorder expression, and in interval sets).
func sayValue(name string, b []byte, swapped bool) (string, bool) {
	t, ok := typeOf(name)
	if !ok || t.size != 0 && len(b) != t.size || len(b) == 0 {
		return "", false
	}
	switch name {
	case TypeIPv4, TypeIPv6:
		a, ok := netip.AddrFromSlice(b)
		return a.String(), ok
	case TypeMAC:
		return net.HardwareAddr(b).String(), true
	case TypeIfname:
		return sayIfname(b)
	}
	v, ok := numeral(b, t.host != swapped)
	if !ok {
		return "", false
	}
	switch {
	case name == "time":
		return sayTime(v), true
	case name == "classid":
		return sayClass(v), true
	case t.hex:
		return fmt.Sprintf("0x%08x", v), true
	case t.flags != nil:
		return sayFlags(t.flags, v)
	case t.names != nil:
		if name == "ether_type" && t.names[v] == "" {
			return fmt.Sprintf("0x%04x", v), true
		}
		return t.names.say(v), true
	}
	return strconv.FormatUint(v, 10), true
}

// sayIfname writes a name of 16 bytes padded with zeros.
func sayIfname(b []byte) (string, bool) {
	s := string(bytes.TrimRight(b, "\x00"))
	if s == "" || strings.ContainsAny(s, "\x00\"\n\\") {
		return "", false
	}
	if strings.HasSuffix(s, "*") { // a real star is escaped
		s = s[:len(s)-1] + `\*`
	}
	return `"` + s + `"`, true
}

func sayFlags(fs []flag, v uint64) (string, bool) {
	var out []string
	rest := v
	for _, f := range fs {
		if v&f.bit != 0 {
			out = append(out, f.name)
			rest &^= f.bit
		}
	}
	if rest != 0 || len(out) == 0 {
		return fmt.Sprintf("0x%x", v), true
	}
	return strings.Join(out, ","), true
}

// sayTime writes milliseconds as nft does: 1d2h3m4s5ms.
func sayTime(ms uint64) string {
	if ms == 0 {
		return "0s"
	}
	var b strings.Builder
	for _, u := range []struct {
		ms   uint64
		name string
	}{{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}} {
		if n := ms / u.ms; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			ms %= u.ms
		}
	}
	return b.String()
}

// sayClass writes a traffic class (a tc handle).
func sayClass(v uint64) string {
	switch v {
	case 0:
		return "none"
	case 0xffffffff:
		return "root"
	}
	return fmt.Sprintf("%x:%x", v>>16, v&0xffff)
}
