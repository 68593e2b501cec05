package nft

import (
	"slices"
	"strings"
)

// metaTerm is "meta KEY"; some keys go without the word.
func metaTerm(key string) *term {
	t := &term{text: "meta " + key}
	switch key {
	case "iifname", "oifname":
		t.text, t.typ = key, TypeIfname
	case "iifkind", "oifkind":
		t.typ = TypeIfname
	case "iif", "oif":
		t.text, t.typ = key, "iface_index"
	case "iifgroup", "oifgroup":
		t.text, t.typ = key, "devgroup"
	case "iiftype", "oiftype":
		t.typ = "iface_type"
	case "nfproto":
		t.typ = "nf_proto"
	case "l4proto":
		t.typ = TypeProto
	case "protocol":
		t.typ = "ether_type"
	case "mark":
		t.typ = TypeMark
	case "pkttype":
		t.typ = "pkt_type"
	case "skuid":
		t.typ = "uid"
	case "skgid":
		t.typ = "gid"
	case "priority":
		t.typ = "classid"
	case "length", "cgroup", "cpu":
		t.typ, t.host, t.size = "integer", true, 4
		return t
	default:
		return nil
	}
	d, _ := typeOf(t.typ)
	t.size = uint32(d.size)
	return t
}

func ctTerm(c Ct) *term {
	t := &term{text: "ct " + c.Key}
	if c.Dir != "" {
		t.text = "ct " + c.Dir + " " + c.Key
	}
	switch c.Key {
	case "state":
		t.typ = "ct_state"
	case "status":
		t.typ = "ct_status"
	case "mark":
		t.typ = TypeMark
	case "direction":
		t.typ = "ct_dir"
	case "expiration":
		t.typ, t.size = "time", 4
		return t
	case "helper":
		t.typ = TypeIfname // 16 bytes of text, quoted
	case "l3proto":
		t.typ = "nf_proto"
	case "proto", "protocol":
		t.typ = TypeProto
	case "zone":
		t.typ, t.host, t.size = "integer", true, 2
		return t
	case "proto-src", "proto-dst":
		t.typ = TypePort
	case "ip saddr", "ip daddr":
		t.typ = TypeIPv4
	case "ip6 saddr", "ip6 daddr":
		t.typ = TypeIPv6
	default:
		return nil
	}
	d, _ := typeOf(t.typ)
	t.size = uint32(d.size)
	return t
}

func fibTerm(f Fib) *term {
	var flags []string
	for _, name := range []string{"saddr", "daddr", "mark", "iif", "oif"} { // nft's order
		if slices.Contains(f.Flags, name) {
			flags = append(flags, name)
		}
	}
	if len(flags) == 0 {
		return nil
	}
	t := &term{text: "fib " + strings.Join(flags, " . ") + " " + f.Result, size: 4}
	switch f.Result {
	case "type":
		t.typ = "fib_addrtype"
	case "oif":
		t.typ = "iface_index"
	case "oifname":
		t.typ, t.size = TypeIfname, 16
	case "present":
		t.text = "fib " + strings.Join(flags, " . ") + " oif"
		t.typ = "boolean"
	default:
		return nil
	}
	return t
}

func rtTerm(key, nf string) *term {
	switch key {
	case "tcpmss":
		return &term{text: "rt mtu", typ: "integer", size: 2, host: true}
	case "classid":
		return &term{text: "rt classid", typ: "realm", size: 4}
	case "nexthop4":
		return &term{text: "rt ip nexthop", typ: TypeIPv4, size: 4}
	case "nexthop6":
		return &term{text: "rt ip6 nexthop", typ: TypeIPv6, size: 16}
	}
	return nil
}

func exthdrTerm(x Exthdr) *term {
	header := ""
	if x.Op == "ipv6" {
		header = "ip6"
	}
	if x.Present {
		name := ""
		switch x.Op {
		case "ipv6":
			name = map[uint8]string{0: "exthdr hbh", 43: "exthdr rt", 44: "exthdr frag", 60: "exthdr dst", 135: "exthdr mh"}[x.Type]
		case "tcpopt":
			name = optionName(x.Type)
		}
		if name == "" {
			return nil
		}
		return &term{text: name, typ: "boolean", size: 1, proto: header}
	}
	t := &term{typ: "integer", size: x.Len, proto: header}
	switch {
	case x.Op == "ipv6" && x.Type == 43 && x.Offset == 2 && x.Len == 1:
		t.text = "rt type"
	case x.Op == "ipv6" && x.Type == 43 && x.Offset == 3 && x.Len == 1:
		t.text = "rt seg-left"
	case x.Op == "tcpopt" && x.Type == 2 && x.Offset == 2 && x.Len == 2:
		t.text = "tcp option maxseg size"
	case x.Op == "tcpopt" && x.Type == 3 && x.Offset == 2 && x.Len == 1:
		t.text = "tcp option window count"
	default:
		return nil
	}
	return t
}

func optionName(kind uint8) string {
	return map[uint8]string{
		0: "tcp option eol", 1: "tcp option nop", 2: "tcp option maxseg", 3: "tcp option window",
		4: "tcp option sack-perm", 5: "tcp option sack", 8: "tcp option timestamp",
	}[kind]
}
