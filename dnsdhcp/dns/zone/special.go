package zone

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/miekg/dns"
)

// special is what a suffix means that has a meaning of its own.
type special uint8

const (
	ordinary  special = iota
	loopback          // RFC 6761 section 6.3: the asker itself, without a look anywhere
	nowhere           // does not exist and nobody is asked
	emptyZone         // exists, has nothing, and nobody is asked
	private           // the same for reverse names of addresses that mean something else everywhere
	resolver          // RFC 9462 section 6.4: no data, whatever the name and type
	discovery         // ipv4only.arpa with a NAT64 prefix of ours
	canary            // use-application-dns.net
)

const (
	localhost = "localhost."
	ipv4only  = "ipv4only.arpa."
)

var specials = sync.OnceValue(func() []struct {
	name string
	kind special
} {
	type row = struct {
		name string
		kind special
	}
	rows := []row{
		{localhost, loopback},
		{"invalid.", nowhere},        // RFC 6761 section 6.4
		{"test.", nowhere},           // section 6.2
		{"onion.", nowhere},          // RFC 7686
		{"local.", nowhere},          // RFC 6762 section 22.1: multicast's; also for SOA, which tells libnss-mdns to keep out
		{"alt.", nowhere},            // RFC 9476
		{"home.arpa.", emptyZone},    // RFC 8375
		{"resolver.arpa.", resolver}, // RFC 9462
		{"service.arpa.", emptyZone}, // RFC 9665 section 10.4
	}
	// RFC 6303 sections 4.2 to 4.6. The machine itself, and no address at all, are nobody else's business ever.
	for _, z := range []string{"0.in-addr.arpa.", "127.in-addr.arpa.", "255.255.255.255.in-addr.arpa."} {
		rows = append(rows, row{z, emptyZone})
	}
	for _, p := range []string{"::/128", "::1/128"} {
		rows = append(rows, row{ReverseZones(netip.MustParsePrefix(p))[0], emptyZone})
	}
	for _, p := range []string{
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", // RFC 1918, 3927, 7793
		"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32",
		"fd00::/8", "fe80::/10",
	} {
		for _, z := range ReverseZones(netip.MustParsePrefix(p)) {
			rows = append(rows, row{z, private})
		}
	}
	return rows
})

// atSpecial answers for a name at or below the special suffix. False is "ask upstream".
func (z *Zone) atSpecial(kind special, suffix string, q Question, a *Answer) bool {
	apex := q.Name == suffix
	a.Reason = ReasonSpecial
	switch kind {
	case loopback:
		switch q.Type {
		case dns.TypeA:
			a.Answer = append(a.Answer, addrRR(q.Name, z.c.TTL, netip.AddrFrom4([4]byte{127, 0, 0, 1})))
			a.Kind = Local
		case dns.TypeAAAA:
			a.Answer = append(a.Answer, addrRR(q.Name, z.c.TTL, netip.IPv6Loopback()))
			a.Kind = Local
		default:
			z.negative(a, NoData, suffix)
		}
	case nowhere:
		z.absent(a, q.Name, suffix)
	case canary:
		a.Reason = ReasonCanary
		z.negative(a, NXDomain, suffix)
	case resolver:
		z.negative(a, NoData, suffix)
	case emptyZone, private:
		if kind == private {
			a.Reason = ReasonBogusPriv
		}
		if apex && q.Type == dns.TypeDS {
			// The parent's, and signed: a validating client needs it to see that nothing below is (RFC 8375 section 4).
			return false
		}
		if apex {
			z.apex(a, q)
		} else {
			z.absent(a, q.Name, suffix)
		}
	case discovery:
		if !apex {
			z.negative(a, NXDomain, suffix)
			break
		}
		for _, last := range []byte{170, 171} {
			v4 := netip.AddrFrom4([4]byte{192, 0, 0, last})
			switch q.Type {
			case dns.TypeA:
				a.Answer = append(a.Answer, addrRR(q.Name, z.c.TTL, v4))
			case dns.TypeAAAA:
				v6, err := embed(z.c.NAT64, v4)
				if err == nil {
					a.Answer = append(a.Answer, addrRR(q.Name, z.c.TTL, v6))
				}
			case dns.TypeDS:
				return false
			}
		}
		if a.Kind = Local; len(a.Answer) == 0 {
			z.negative(a, NoData, suffix)
		}
	}
	return true
}

// embed is RFC 6052 section 2.2: where the four bytes of an IPv4 address go depends on the length of the prefix, and
// bits 64 to 71 stay zero.
func embed(prefix netip.Prefix, v4 netip.Addr) (netip.Addr, error) {
	switch prefix.Bits() {
	case 32, 40, 48, 56, 64, 96:
	default:
		return netip.Addr{}, fmt.Errorf("its length is none of 32, 40, 48, 56, 64, 96 (RFC 6052 section 2.2)")
	}
	if !prefix.Addr().Is6() || prefix.Addr().Is4In6() {
		return netip.Addr{}, fmt.Errorf("not an IPv6 prefix")
	}
	b, at := prefix.Masked().Addr().As16(), prefix.Bits()/8
	for _, c := range v4.As4() {
		if at == 8 {
			at++
		}
		b[at] = c
		at++
	}
	return netip.AddrFrom16(b), nil
}

// unembed takes it out again.
func unembed(bits int, v6 netip.Addr) netip.Addr {
	b, at := v6.As16(), bits/8
	var v4 [4]byte
	for i := range v4 {
		if at == 8 {
			at++
		}
		v4[i] = b[at]
		at++
	}
	return netip.AddrFrom4(v4)
}
