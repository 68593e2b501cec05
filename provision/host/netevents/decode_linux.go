package netevents

import (
	"bytes"
	"encoding/binary"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// events calls each for every event in a datagram that can matter. Not told are: routes of the
// table local, which follow the addresses, and cached ones; what bridges tell of their ports.
func events(b []byte, each func(Cause)) {
	ne := binary.NativeEndian
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(ne.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return
		}
		typ, port := ne.Uint16(b[4:]), ne.Uint32(b[12:])
		if c, ok := event(typ, b[unix.NLMSG_HDRLEN:size]); ok {
			c.Port = port
			each(c)
		}
		b = b[min((size+3)&^3, len(b)):]
	}
}

func event(typ uint16, p []byte) (Cause, bool) {
	ne := binary.NativeEndian
	if len(p) < 4 {
		return Cause{}, false
	}
	is6 := p[0] == unix.AF_INET6
	pick := func(four, six Kind) Kind {
		if is6 {
			return six
		}
		return four
	}
	switch typ {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if len(p) < unix.SizeofIfInfomsg || p[0] == unix.AF_BRIDGE {
			return Cause{}, false
		}
		c := Cause{Kind: Link, Gone: typ == unix.RTM_DELLINK, Index: int(int32(ne.Uint32(p[4:])))}
		attribute(p[unix.SizeofIfInfomsg:], unix.IFLA_IFNAME, func(v []byte) { c.Link = string(bytes.TrimRight(v, "\x00")) })
		return c, true
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if len(p) < unix.SizeofIfAddrmsg {
			return Cause{}, false
		}
		return Cause{Kind: pick(Addr4, Addr6), Gone: typ == unix.RTM_DELADDR, Index: int(ne.Uint32(p[4:]))}, true
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if len(p) < unix.SizeofRtMsg || ne.Uint32(p[8:])&unix.RTM_F_CLONED != 0 || p[0] != unix.AF_INET && !is6 {
			return Cause{}, false
		}
		c := Cause{Kind: pick(Route4, Route6), Gone: typ == unix.RTM_DELROUTE, Table: table(p, unix.RTA_TABLE)}
		return c, c.Table != unix.RT_TABLE_LOCAL
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		if len(p) < unix.SizeofRtMsg || p[0] != unix.AF_INET && !is6 {
			return Cause{}, false
		}
		return Cause{Kind: pick(Rule4, Rule6), Gone: typ == unix.RTM_DELRULE, Table: table(p, unix.FRA_TABLE)}, true
	case unix.RTM_NEWNETCONF, unix.RTM_DELNETCONF:
		c := Cause{Kind: Conf, Gone: typ == unix.RTM_DELNETCONF}
		const ifindex = 1 // NETCONFA_IFINDEX; the header is one byte, padded (linux/netconf.h)
		attribute(p[4:], ifindex, func(v []byte) {
			if i := int32(ne.Uint32(v)); i > 0 {
				c.Index = int(i)
			}
		})
		return c, true
	}
	return Cause{}, false
}

// table reads the table of struct rtmsg and struct fib_rule_hdr: a byte, and an attribute with
// all of it.
func table(p []byte, typ uint16) uint32 {
	t := uint32(p[4])
	attribute(p[unix.SizeofRtMsg:], typ, func(v []byte) { t = binary.NativeEndian.Uint32(v) })
	return t
}

// attribute calls found with the value of the first attribute of that type, of at least 4 bytes
// (but for texts, which are that long with their zero byte or are not asked for here).
func attribute(b []byte, typ uint16, found func(v []byte)) {
	ne := binary.NativeEndian
	for len(b) >= 4 {
		size := int(ne.Uint16(b))
		if size < 4 || size > len(b) {
			return
		}
		if ne.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER) == typ {
			if size >= 8 || typ == unix.IFLA_IFNAME && size > 4 {
				found(b[4:size])
			}
			return
		}
		b = b[min((size+3)&^3, len(b)):]
	}
}

// processName is the name of the process with that id, empty when there is none.
func processName(pid uint32) string {
	if pid == 0 || pid >= 1<<22 {
		return ""
	}
	name, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(pid), 10) + "/comm")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(name))
}
