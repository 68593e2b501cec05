package dockeruser

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	comment = "provision"
	accept  = 1 // NF_ACCEPT, linux/netfilter.h

	sizeConntrack = 164 // struct xt_conntrack_mtinfo3, linux/netfilter/xt_conntrack.h
	sizeComment   = 256 // struct xt_comment_info

	offMatchFlags = 146 // of xt_conntrack_mtinfo3
	offStateMask  = 150
	flagState     = 1 << 0 // XT_CONNTRACK_STATE
)

// native is the byte order of everything that is not named be16, be32 or be64.
var native = nl.NativeEndian()

// exprs is NFTA_RULE_EXPRESSIONS of r, without what a counter has counted.
func (r rule) exprs() []byte {
	var b []byte
	b = append(b, device(unix.NFT_META_IIFNAME, r.in)...)
	b = append(b, device(unix.NFT_META_OIFNAME, r.out)...)
	if proto, port, ok := r.port(); ok {
		b = append(b, expr("meta", append(be32(unix.NFTA_META_KEY, unix.NFT_META_L4PROTO), be32(unix.NFTA_META_DREG, unix.NFT_REG_1)...))...)
		b = append(b, compare([]byte{protocol(proto)})...)
		b = append(b, match(proto, 0, portInfo(proto, port))...)
	}
	switch r.only {
	case "replies":
		// XT_CONNTRACK_STATE_BIT of IP_CT_ESTABLISHED (0) and IP_CT_RELATED (1).
		b = append(b, match("conntrack", 3, conntrackInfo(1<<1|1<<2))...)
	case "dnat":
		b = append(b, match("conntrack", 3, conntrackInfo(1<<7))...) // XT_CONNTRACK_STATE_DNAT
	}
	info := make([]byte, sizeComment)
	copy(info, comment)
	b = append(b, match("comment", 0, info)...)
	b = append(b, expr("counter", append(be64(unix.NFTA_COUNTER_BYTES, 0), be64(unix.NFTA_COUNTER_PACKETS, 0)...))...)
	verdict := attr(unix.NFTA_DATA_VERDICT|unix.NLA_F_NESTED, be32(unix.NFTA_VERDICT_CODE, accept))
	return append(b, expr("immediate", append(be32(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT), attr(unix.NFTA_IMMEDIATE_DATA|unix.NLA_F_NESTED, verdict)...))...)
}

// device compares a device's name: all of it with its terminating zero, or the beginning.
func device(key uint32, name string) []byte {
	base, pattern := strings.CutSuffix(name, "*")
	data := []byte(base)
	if !pattern {
		data = append(data, 0)
	}
	b := expr("meta", append(be32(unix.NFTA_META_KEY, key), be32(unix.NFTA_META_DREG, unix.NFT_REG_1)...))
	return append(b, compare(data)...)
}

func compare(data []byte) []byte {
	cmp := append(be32(unix.NFTA_CMP_SREG, unix.NFT_REG_1), be32(unix.NFTA_CMP_OP, unix.NFT_CMP_EQ)...)
	return expr("cmp", append(cmp, attr(unix.NFTA_CMP_DATA|unix.NLA_F_NESTED, attr(unix.NFTA_DATA_VALUE, data))...))
}

func conntrackInfo(states uint16) []byte {
	info := make([]byte, align(sizeConntrack))
	native.PutUint16(info[offMatchFlags:], flagState)
	native.PutUint16(info[offStateMask:], states)
	return info
}

// portInfo is struct xt_tcp or xt_udp (linux/netfilter/xt_tcpudp.h): from any source port.
func portInfo(proto string, port uint16) []byte {
	size := map[string]int{"tcp": 12, "udp": 10}[proto]
	info := make([]byte, align(size))
	native.PutUint16(info[2:], 0xffff)
	native.PutUint16(info[4:], port)
	native.PutUint16(info[6:], port)
	return info
}

func protocol(name string) byte {
	return map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP}[name]
}

// compat is NFTA_RULE_COMPAT: nft_compat.c lets a match of one protocol only into rules that say
// so. The kernel does not give it back.
func (r rule) compat() []byte {
	proto, _, ok := r.port()
	if !ok {
		return nil
	}
	return attr(unix.NFTA_RULE_COMPAT|unix.NLA_F_NESTED, append(be32(unix.NFTA_RULE_COMPAT_PROTO, uint32(protocol(proto))), be32(unix.NFTA_RULE_COMPAT_FLAGS, 0)...))
}

// align is XT_ALIGN of the running kernel (linux/netfilter/x_tables.h): a 64-bit number's place
// in a structure, which only 32-bit x86 has at multiples of four.
func align(size int) int {
	var u unix.Utsname
	_ = unix.Uname(&u)
	if m := unix.ByteSliceToString(u.Machine[:]); len(m) == 4 && m[0] == 'i' && m[2:] == "86" {
		return (size + 3) &^ 3
	}
	return (size + 7) &^ 7
}

func match(name string, revision uint32, info []byte) []byte {
	const nameAttr, revAttr, infoAttr = 1, 2, 3 // NFTA_MATCH_*, linux/netfilter/nf_tables_compat.h
	b := append(attr(nameAttr, append([]byte(name), 0)), be32(revAttr, revision)...)
	return expr("match", append(b, attr(infoAttr, info)...))
}

func expr(name string, data []byte) []byte {
	b := attr(unix.NFTA_EXPR_NAME, append([]byte(name), 0))
	return attr(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, append(b, attr(unix.NFTA_EXPR_DATA|unix.NLA_F_NESTED, data)...))
}

func attr(kind uint16, data []byte) []byte {
	b := make([]byte, unix.SizeofNlAttr, unix.SizeofNlAttr+len(data)+3)
	native.PutUint16(b, uint16(unix.SizeofNlAttr+len(data)))
	native.PutUint16(b[2:], kind)
	b = append(b, data...)
	for len(b)%unix.NLA_ALIGNTO != 0 {
		b = append(b, 0)
	}
	return b
}

func be32(kind uint16, v uint32) []byte { return attr(kind, binary.BigEndian.AppendUint32(nil, v)) }
func be64(kind uint16, v uint64) []byte { return attr(kind, binary.BigEndian.AppendUint64(nil, v)) }

// term is one expression as it is compared: name and data without counted values.
type term struct {
	name string
	data []byte
}

// terms splits the data of NFTA_RULE_EXPRESSIONS. Attributes are put in order and the nested
// bit is taken off, since kernels differ in both.
func terms(b []byte) ([]term, error) {
	list, err := netdev.ParseAttrs(b)
	if err != nil {
		return nil, err
	}
	var out []term
	for _, elem := range list {
		parts, err := netdev.ParseAttrs(elem.Data)
		if err != nil {
			return nil, err
		}
		var t term
		for _, p := range parts {
			switch p.Kind &^ unix.NLA_F_NESTED {
			case unix.NFTA_EXPR_NAME:
				t.name = string(bytes.TrimRight(p.Data, "\x00"))
			case unix.NFTA_EXPR_DATA:
				t.data = p.Data
			}
		}
		out = append(out, t)
	}
	return out, nil
}

// values lists the attributes of an expression, 4-byte ones as numbers in big-endian order.
func (t term) values() map[uint16][]byte {
	list, err := netdev.ParseAttrs(t.data)
	if err != nil {
		return nil
	}
	m := map[uint16][]byte{}
	for _, a := range list {
		m[a.Kind&^unix.NLA_F_NESTED] = a.Data
	}
	return m
}

func number(b []byte) uint32 {
	if len(b) != 4 {
		return 1<<32 - 1
	}
	return binary.BigEndian.Uint32(b)
}

// decode reads the expressions of a rule; ours reports whether it carries our comment.
func decode(b []byte) (r rule, ours bool) {
	list, err := terms(b)
	if err != nil {
		return rule{}, false
	}
	var rest []term
	for _, t := range list {
		if t.name == "match" {
			if name, info := matched(t); name == "comment" && info == comment {
				ours = true
			}
		}
		rest = append(rest, t)
	}
	if !ours {
		return rule{}, false
	}
	r.in, rest = readDevice(unix.NFT_META_IIFNAME, rest)
	r.out, rest = readDevice(unix.NFT_META_OIFNAME, rest)
	for _, t := range rest {
		info := t.values()[3]
		switch name, _ := matched(t); {
		case t.name != "match":
		case name == "conntrack" && len(info) > offStateMask+2:
			r.only = map[uint16]string{1<<1 | 1<<2: "replies", 1 << 7: "dnat"}[native.Uint16(info[offStateMask:])]
		case (name == "tcp" || name == "udp") && len(info) >= 8:
			r.only = name + " " + strconv.Itoa(int(native.Uint16(info[4:])))
		}
	}
	if r.check() == nil && same(list, r) {
		return r, true
	}
	return rule{other: hex.EncodeToString(b)}, true
}

// matched is the name of an x_tables match and, as text, what a comment says.
func matched(t term) (name, text string) {
	v := t.values()
	text, _, _ = strings.Cut(string(v[3]), "\x00")
	return string(bytes.TrimRight(v[1], "\x00")), text
}

func readDevice(key uint32, list []term) (string, []term) {
	if len(list) < 2 || list[0].name != "meta" || list[1].name != "cmp" || number(list[0].values()[unix.NFTA_META_KEY]) != key {
		return "", list
	}
	value, err := netdev.ParseAttrs(list[1].values()[unix.NFTA_CMP_DATA])
	if err != nil || len(value) != 1 {
		return "", list
	}
	if base, whole := bytes.CutSuffix(value[0].Data, []byte{0}); whole {
		// The kernel compares 16 bytes where 16 were given.
		return string(bytes.TrimRight(base, "\x00")), list[2:]
	}
	return string(value[0].Data) + "*", list[2:]
}

// same reports whether list is what r is written as. Counters count and are not compared.
func same(list []term, r rule) bool {
	want, err := terms(r.exprs())
	if err != nil || len(want) != len(list) {
		return false
	}
	for i, w := range want {
		have := list[i]
		if have.name != w.name {
			return false
		}
		if w.name == "counter" {
			continue
		}
		h := have.values()
		for kind, data := range w.values() {
			if !equal(h[kind], data) {
				return false
			}
		}
	}
	return true
}

// equal compares data that may have attributes in it, whose nested bit depends on the kernel.
func equal(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, err1 := netdev.ParseAttrs(a)
	y, err2 := netdev.ParseAttrs(b)
	if err1 != nil || err2 != nil || len(x) != len(y) || len(x) == 0 {
		return false
	}
	for i := range x {
		if x[i].Kind&^unix.NLA_F_NESTED != y[i].Kind&^unix.NLA_F_NESTED || !equal(x[i].Data, y[i].Data) {
			return false
		}
	}
	return true
}

// plainReturn reports whether a rule is docker's last one: return, whatever the packet is.
func plainReturn(b []byte) bool {
	list, err := terms(b)
	if err != nil {
		return false
	}
	for _, t := range list {
		switch t.name {
		case "counter":
		case "immediate":
			data, err := netdev.ParseAttrs(t.values()[unix.NFTA_IMMEDIATE_DATA])
			if err != nil || len(data) != 1 {
				return false
			}
			v, err := netdev.ParseAttrs(data[0].Data)
			const ret = 1<<32 - 5 // NFT_RETURN is -5
			return err == nil && len(v) > 0 && number(v[0].Data) == ret
		default:
			return false
		}
	}
	return false
}
