package zone

import (
	"net/netip"
	"strconv"
	"strings"
)

const (
	arpa4 = "in-addr.arpa."
	arpa6 = "ip6.arpa."
)

// ReverseZones are the reverse zones that together cover exactly the prefix: one if its length is at the end of a
// label, else up to 128 (IPv4) or 8 (IPv6).
func ReverseZones(p netip.Prefix) []string {
	p = p.Masked()
	step := 8
	if p.Addr().Is6() {
		step = 4
	}
	up := (p.Bits() + step - 1) / step * step
	var out []string
	b := p.Addr().AsSlice()
	for i := range 1 << (up - p.Bits()) {
		if up > 0 && up != p.Bits() {
			// The free bits are the last ones of the last label.
			at := (up - 1) / 8
			shift := 8*(at+1) - up
			mask := byte(1<<(up-p.Bits())-1) << shift
			b[at] = b[at]&^mask | byte(i)<<shift
		}
		addr, _ := netip.AddrFromSlice(b)
		out = append(out, reverseName(addr, up))
	}
	return out
}

// reverseName is the name of the first bits of an address, which end at a label.
func reverseName(a netip.Addr, bits int) string {
	var buf [80]byte
	out := buf[:0]
	if a.Is4() {
		b := a.As4()
		for i := bits/8 - 1; i >= 0; i-- {
			out = append(strconv.AppendUint(out, uint64(b[i]), 10), '.')
		}
		return string(append(out, arpa4...))
	}
	b := a.As16()
	for i := bits/4 - 1; i >= 0; i-- {
		nibble := b[i/2] >> 4
		if i%2 == 1 {
			nibble = b[i/2] & 15
		}
		out = append(out, "0123456789abcdef"[nibble], '.')
	}
	return string(append(out, arpa6...))
}

// reverse is a name below one of the two reverse trees, read.
type reverse struct {
	prefix netip.Prefix // what the labels next to the tree say
	whole  bool         // the name is that of one address
	below  bool         // there are labels that are no part of an address, as in b._dns-sd._udp.0.0.0.10.in-addr.arpa
	at     int          // offset of the first label that is part of the address
}

// parseReverse reads a reverse name. False if it is none.
func parseReverse(name string) (reverse, bool) {
	var tree string
	var limit int
	switch {
	case hasSuffix(name, arpa4):
		tree, limit = arpa4, 4
	case hasSuffix(name, arpa6):
		tree, limit = arpa6, 32
	default:
		return reverse{}, false
	}
	var b [16]byte
	n, end := 0, len(name)-len(tree) // end: behind the dot of the label to be read
	for end > 0 && n < limit {
		start := strings.LastIndexByte(name[:end-1], '.') + 1
		l := name[start : end-1]
		if limit == 4 {
			v, ok := octet(l)
			if !ok {
				break
			}
			b[n] = v
		} else {
			if len(l) != 1 {
				break
			}
			v := strings.IndexByte("0123456789abcdef", l[0])
			if v < 0 {
				break
			}
			b[n/2] |= byte(v) << (4 * (1 - n%2))
		}
		n, end = n+1, start
	}
	r := reverse{below: end > 0, whole: n == limit && end == 0, at: end}
	if limit == 4 {
		r.prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte(b[:4])), 8*n)
	} else {
		r.prefix = netip.PrefixFrom(netip.AddrFrom16(b), 4*n)
	}
	return r, true
}

// hasSuffix: name is tree or below it.
func hasSuffix(name, tree string) bool {
	return strings.HasSuffix(name, tree) && (len(name) == len(tree) || name[len(name)-len(tree)-1] == '.')
}

// octet is a decimal octet in the one form that a reverse name has: no leading zeros.
func octet(s string) (byte, bool) {
	if len(s) == 0 || len(s) > 3 || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	v := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		v = 10*v + int(s[i]-'0')
	}
	return byte(v), v < 256
}

// place says where a reverse name is as to the configured networks.
type place uint8

const (
	outside place = iota
	above         // one of the networks is somewhere below
	within
)

// locate finds the network that a reverse name is in or above, and for one within also the length of the prefix at
// the apex of its zone. A prefix that ends inside a label is cut into zones at the next label, as the only names that
// are wholly ours begin there; only one that is longer than the last but one label counts as the whole of that: there
// is no name in between that could have an SOA (RFC 2317 invents one, but clients would have to be led there).
func (z *Zone) locate(r reverse) (where place, apex int) {
	for _, n := range z.nets {
		if n.Addr().Is4() != r.prefix.Addr().Is4() {
			continue
		}
		step, last := 8, 24
		if n.Addr().Is6() {
			step, last = 4, 124
		}
		bits := min((n.Bits()+step-1)/step*step, last)
		switch {
		case r.prefix.Bits() >= n.Bits() && n.Contains(r.prefix.Addr()):
			if where != within || bits > apex {
				where, apex = within, bits
			}
		case r.prefix.Bits() < n.Bits() && r.prefix.Contains(n.Addr()):
			if r.prefix.Bits() >= bits { // the apex of a network that is a part of it
				if where != within || bits > apex {
					where, apex = within, bits
				}
			} else if where == outside {
				where = above
			}
		}
	}
	return where, apex
}
