package zone

import (
	"net"
	"net/netip"

	"github.com/miekg/dns"
)

// Rebind finds answers from upstream that lead into the local network: a name of the world with an address of ours
// makes a browser's page at that name a page of whatever device has the address.
type Rebind struct {
	// Exempt are the suffixes whose names may have such addresses; the groups do not matter. May be nil.
	Exempt *Routes
	// LocalhostOK: 127.0.0.0/8 and ::1 are no harm, as block lists that are asked by DNS answer with them.
	LocalhostOK bool
	// NAT64 are prefixes, besides the well-known ones, in which an IPv4 address is embedded (RFC 6052).
	NAT64 []netip.Prefix
}

// Allowed reports whether answers about a name (lower case, fully qualified) need not be looked at.
func (r *Rebind) Allowed(name string) bool {
	if name == ipv4only {
		return true // its addresses are no hosts (RFC 8880)
	}
	_, ok := r.Exempt.Route(name)
	return ok
}

// Rebinds reports whether a record has an address that must not come from outside: A and AAAA, and the hints of
// HTTPS and SVCB (RFC 9460 section 7.3), which browsers use in their place.
func (r *Rebind) Rebinds(rr dns.RR) bool {
	switch rr := rr.(type) {
	case *dns.A:
		return r.ip(rr.A)
	case *dns.AAAA:
		return r.ip(rr.AAAA)
	case *dns.HTTPS:
		return r.hints(rr.Value)
	case *dns.SVCB:
		return r.hints(rr.Value)
	}
	return false
}

func (r *Rebind) hints(values []dns.SVCBKeyValue) bool {
	for _, v := range values {
		var ips []net.IP
		switch v := v.(type) {
		case *dns.SVCBIPv4Hint:
			ips = v.Hint
		case *dns.SVCBIPv6Hint:
			ips = v.Hint
		}
		for _, ip := range ips {
			if r.ip(ip) {
				return true
			}
		}
	}
	return false
}

func (r *Rebind) ip(ip net.IP) bool {
	a, ok := netip.AddrFromSlice(ip)
	return ok && r.Private(a)
}

// private4 is what is somewhere near, whoever asks. Not 100.64.0.0/10: overlay networks put those into the public DNS
// on purpose, and a provider's equipment is not ours to protect.
var private4 = prefixes("0.0.0.0/8", "10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
	"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "255.255.255.255/32")

var private6 = prefixes("::/128", "fc00::/7", "fe80::/10", "fec0::/10", "2001:db8::/32")

// embedding are the IPv6 prefixes with an IPv4 address at their end that some stack may take for that address:
// compatible and translated ones, NAT64 (RFC 6052). Mapped ones are looked at apart.
var embedding = prefixes("::/96", "::ffff:0:0:0/96", "64:ff9b::/96")

var (
	loop4     = netip.MustParsePrefix("127.0.0.0/8")
	sixToFour = netip.MustParsePrefix("2002::/16")
	local64   = netip.MustParsePrefix("64:ff9b:1::/48")
)

func prefixes(s ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(s))
	for i, p := range s {
		out[i] = netip.MustParsePrefix(p)
	}
	return out
}

// Private reports whether an address must not be in an answer from outside.
func (r *Rebind) Private(a netip.Addr) bool {
	a = a.WithZone("")
	if a.Is4() {
		return loop4.Contains(a) && !r.LocalhostOK || in(private4, a)
	}
	if a == netip.IPv6Loopback() {
		return !r.LocalhostOK
	}
	b := a.As16()
	last := netip.AddrFrom4([4]byte(b[12:]))
	switch {
	case a.Is4In6():
		return r.Private(last)
	case in(private6, a):
		return true
	case in(embedding, a):
		return r.Private(last)
	case local64.Contains(a): // RFC 8215: whole or in parts of 96 bits, nobody knows
		return r.Private(last) || r.Private(unembed(48, a))
	case sixToFour.Contains(a):
		return r.Private(netip.AddrFrom4([4]byte(b[2:6])))
	}
	for _, p := range r.NAT64 {
		if p.Contains(a) {
			switch p.Bits() {
			case 32, 40, 48, 56, 64, 96:
				return r.Private(unembed(p.Bits(), a))
			}
		}
	}
	return false
}

func in(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}
