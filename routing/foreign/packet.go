package foreign

import (
	"encoding/binary"
	"strings"

	"github.com/provision-net/provision/provision/resource/nft"
)

// packet is the first packet of a flow: everything that the flow tells, and nothing else.
type packet struct {
	Flow
	family int
	index  map[string]int // of devices, by name
}

// protocol number by name; 0 is not told.
func (p packet) proto() byte {
	return map[string]byte{"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}[p.Proto]
}

func (p packet) protocol() value {
	if n := p.proto(); n != 0 {
		return exactly([]byte{n})
	}
	return unknown(1)
}

// device stands for a pattern by a name that fits it.
func device(s string) string {
	if base, ok := strings.CutSuffix(s, "*"); ok {
		return base + "0"
	}
	return s
}

func (p packet) ifindex(dev string) value {
	if dev == "" {
		return host32(0)
	}
	if i, ok := p.index[dev]; ok {
		return host32(uint32(i))
	}
	return unknown(4)
}

// meta is what `meta KEY` loads. Marks are 0: nobody else marks our packets.
func (p packet) meta(key string) value {
	switch key {
	case "iifname":
		return name(device(p.In))
	case "oifname":
		return name(device(p.Out))
	case "iif":
		return p.ifindex(device(p.In))
	case "oif":
		return p.ifindex(device(p.Out))
	case "nfproto":
		return exactly([]byte{map[int]byte{4: 2, 6: 10}[p.family]})
	case "protocol":
		return be16(map[int]uint16{4: 0x0800, 6: 0x86dd}[p.family])
	case "l4proto":
		return p.protocol()
	case "mark", "iifgroup", "oifgroup", "priority", "rtclassid":
		return host32(0)
	case "pkttype":
		return exactly([]byte{0})
	case "iifkind", "oifkind":
		return unknown(16)
	case "iiftype", "oiftype":
		return unknown(2)
	}
	return unknown(4)
}

// ct is what `ct KEY` loads: of a connection that has just begun.
func (p packet) ct(c nft.Ct) value {
	switch c.Key {
	case "state":
		return host32(nft.StateNew)
	case "status":
		if p.Published {
			return host32(nft.StatusDNAT)
		}
		return host32(0)
	case "mark", "expiration":
		return host32(0)
	case "direction":
		return exactly([]byte{0})
	case "l3proto":
		return exactly([]byte{map[int]byte{4: 2, 6: 10}[p.family]})
	case "proto":
		return p.protocol()
	case "proto-dst":
		if p.Port != 0 && !p.Published {
			return be16(p.Port)
		}
		return unknown(2)
	case "proto-src":
		return unknown(2)
	}
	return unknown(16)
}

// addrType is RTN_LOCAL or RTN_UNICAST of the destination (linux/rtnetlink.h); a source is unicast.
func (p packet) addrType(daddr bool) uint32 {
	if daddr && p.Out == "" {
		return 2
	}
	return 1
}

// fib is what the routing tables say. A packet that our policy lets through has a way back by the
// device it came in, or it would not get far.
func (p packet) fib(f nft.Fib) value {
	daddr := false
	for _, flag := range f.Flags {
		daddr = daddr || flag == "daddr"
	}
	switch f.Result {
	case "type":
		return host32(p.addrType(daddr))
	case "present":
		return exactly([]byte{1})
	case "oif":
		v := p.ifindex(device(p.In))
		if !v.whole() {
			// Any number but 0.
			v = host32(1 << 30)
		}
		return v
	case "oifname":
		return name(device(p.In))
	}
	return unknown(4)
}

// payload is what is known of the packet's bytes.
func (p packet) payload(l nft.Payload) value {
	v := unknown(int(l.Len))
	set := func(at int, b ...byte) {
		for i, c := range b {
			if j := at + i - int(l.Offset); j >= 0 && j < len(v.data) {
				v.data[j], v.known[j] = c, true
			}
		}
	}
	switch l.Base {
	case "network":
		if p.family == 4 {
			set(0, 0x45)
			if n := p.proto(); n != 0 {
				set(9, n)
			}
		} else if n := p.proto(); n != 0 {
			set(6, n)
		}
	case "transport":
		switch p.Proto {
		case "tcp":
			const syn = 0x02
			set(13, syn)
			fallthrough
		case "udp":
			if p.Port != 0 {
				set(2, binary.BigEndian.AppendUint16(nil, p.Port)...)
			}
		case "icmp":
			set(0, 8, 0) // echo request
		case "icmpv6":
			set(0, 128, 0)
		}
	}
	return v
}
