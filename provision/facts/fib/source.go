package fib

import (
	"math/bits"
	"net/netip"

	"github.com/provision-net/provision/provision/facts"
)

// source returns the source address: the bound one, the route's, else the kernel's
// choice.
func (l *lookup) source() netip.Addr {
	if l.q.Src.IsValid() {
		return l.q.Src
	}
	if l.out.Route.Src.IsValid() {
		return l.out.Route.Src
	}
	if l.family == 4 {
		if l.out.Kind == Local {
			return l.q.Dst
		}
		return l.source4()
	}
	if l.out.Kind == Local {
		return l.q.Dst // rule 1 of RFC 6724
	}
	return l.source6()
}

// source4 follows inet_select_addr (net/ipv4/devinet.c): the first primary address of
// the device whose subnet holds the gateway, else its first one, else one of another
// device; the scope of the address must not be narrower than that of the route.
func (l *lookup) source4() netip.Addr {
	onLink := l.out.Route.Scope == "link" || l.out.Route.Scope == "host"
	var first netip.Addr
	for _, a := range l.primaries(l.out.Link) {
		if a.Scope == "host" || a.Scope == "link" && !onLink {
			continue
		}
		if !l.out.Gateway.IsValid() || a.Prefix.Contains(l.out.Gateway) {
			return a.Prefix.Addr()
		}
		if !first.IsValid() {
			first = a.Prefix.Addr()
		}
	}
	if first.IsValid() {
		return first
	}
	for _, link := range l.f.Links {
		for _, a := range l.primaries(link.Index) {
			if a.Scope == "global" {
				return a.Prefix.Addr()
			}
		}
	}
	return netip.Addr{}
}

// primaries drops secondary addresses: later ones of the same subnet.
func (l *lookup) primaries(link int) []facts.Address {
	var out []facts.Address
next:
	for _, a := range l.f.Addrs {
		if a.Link != link || !a.Prefix.Addr().Is4() {
			continue
		}
		for _, p := range out {
			if p.Prefix.Masked() == a.Prefix.Masked() {
				continue next
			}
		}
		out = append(out, a)
	}
	return out
}

// source6 follows RFC 6724 section 5 as ipv6_get_saddr_eval does (net/ipv6/addrconf.c),
// as far as facts know: deprecated and home addresses are not told apart.
func (l *lookup) source6() netip.Addr {
	var best facts.Address
	dst := l.q.Dst
	local := scope(dst) < scopeGlobal
	for _, a := range l.f.Addrs {
		addr := a.Prefix.Addr()
		if !addr.Is6() || a.Tentative || addr.IsMulticast() || local && a.Link != l.out.Link {
			continue
		}
		if !best.Prefix.IsValid() || l.better(a, best) {
			best = a
		}
	}
	if !best.Prefix.IsValid() {
		return netip.Addr{}
	}
	return best.Prefix.Addr()
}

func (l *lookup) better(a, b facts.Address) bool {
	dst := l.q.Dst
	x, y := a.Prefix.Addr(), b.Prefix.Addr()
	if (x == dst) != (y == dst) { // rule 1
		return x == dst
	}
	if sx, sy, sd := scope(x), scope(y), scope(dst); sx != sy { // rule 2
		if sx < sy {
			return sx >= sd
		}
		return sy < sd
	}
	if ix, iy := a.Link == l.out.Link, b.Link == l.out.Link; ix != iy { // rule 5
		return ix
	}
	if lx, ly, ld := label(x), label(y), label(dst); (lx == ld) != (ly == ld) { // rule 6
		return lx == ld
	}
	if a.Temporary != b.Temporary { // rule 7, with the kernel's default use_tempaddr=0
		return b.Temporary != l.preferTemporary()
	}
	return common(x, dst, a.Prefix.Bits()) > common(y, dst, b.Prefix.Bits()) // rule 8
}

// preferTemporary is use_tempaddr >= 2 of the outgoing device.
func (l *lookup) preferTemporary() bool {
	link, _ := l.f.LinkByIndex(l.out.Link)
	v := link.Sysctl["ipv6.use_tempaddr"]
	return v != "" && v != "0" && v != "1" && v[0] != '-'
}

// Scopes of RFC 4291 section 2.7.
const (
	scopeLink   = 2
	scopeSite   = 5
	scopeGlobal = 14
)

func scope(a netip.Addr) int {
	b := a.As16()
	switch {
	case a.IsMulticast():
		return int(b[1] & 15)
	case a.IsLoopback(), a.IsLinkLocalUnicast():
		return scopeLink
	case b[0] == 0xfe && b[1]&0xc0 == 0xc0: // fec0::/10
		return scopeSite
	}
	return scopeGlobal
}

// label is the default policy table of the kernel (net/ipv6/addrlabel.c).
func label(a netip.Addr) int {
	for _, t := range []struct {
		prefix string
		label  int
	}{
		{"::1/128", 0}, {"::ffff:0:0/96", 4}, {"::/96", 3}, {"2001::/32", 6}, {"2001:10::/28", 7},
		{"2002::/16", 2}, {"3ffe::/16", 12}, {"fec0::/10", 11}, {"fc00::/7", 5},
	} {
		if netip.MustParsePrefix(t.prefix).Contains(a) {
			return t.label
		}
	}
	return 1
}

// common is the length of the common prefix, at most limit.
func common(a, b netip.Addr, limit int) int {
	x, y := a.As16(), b.As16()
	n := 0
	for i := range x {
		d := bits.LeadingZeros8(x[i] ^ y[i])
		n += d
		if d < 8 {
			break
		}
	}
	return min(n, limit)
}
