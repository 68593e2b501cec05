package zone

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// reverse answers for names of addresses. The second result is false if nothing local decides; else the first one
// tells whether the answer is ours.
func (z *Zone) reverse(q Question, r reverse, p position, v *View, a *Answer) (ours, decided bool) {
	if r.whole {
		if target, ttl, reason, ok := z.ptr(r.prefix.Addr(), v); ok {
			a.Reason, a.Kind = reason, Local
			switch q.Type {
			case dns.TypePTR:
				hdr := dns.RR_Header{Name: q.Name, Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: ttl}
				a.Answer = append(a.Answer, &dns.PTR{Hdr: hdr, Ptr: target})
			case dns.TypeANY:
				a.Answer = append(a.Answer, hinfo(q.Name, z.c.TTL))
			default:
				z.negative(a, NoData, z.reverseZone(q.Name, r))
			}
			return true, true
		}
	}
	where, _ := z.locate(r)
	switch {
	case where == above && p.special != ordinary && p.specAt > 0 && !z.overridden(q.Name, p):
		// A part of a zone that is nobody else's, with something of ours below.
		a.Reason = ReasonReverse
		z.negative(a, NoData, q.Name[p.specAt:])
		return true, true
	case where != within:
		return false, false
	}
	a.Reason = ReasonReverse
	zone := z.reverseZone(q.Name, r)
	if _, s, ok := z.c.Routes.match(q.Name); ok && s != "." && len(s) >= len(zone) {
		return z.never(a, q), true
	}
	switch {
	case q.Name == zone:
		z.apex(a, q)
	case r.whole && p.exact == nil, r.below && p.exact == nil:
		z.negative(a, NXDomain, zone)
	default:
		z.negative(a, NoData, zone) // some address may be below
	}
	return true, true
}

// reverseZone is the name of the zone of ours that a reverse name is in, or the name itself outside of all.
func (z *Zone) reverseZone(name string, r reverse) string {
	where, apex := z.locate(r)
	if where != within {
		return name
	}
	suffix := reverseName(r.prefix.Addr(), apex)
	return name[len(name)-len(suffix):]
}

// ptr finds the name of an address: ours, one of a hosts file, one of the sources in the order of the domains.
func (z *Zone) ptr(ip netip.Addr, v *View) (target string, ttl uint32, reason string, ok bool) {
	if ip.IsLoopback() {
		return localhost, z.c.TTL, ReasonSpecial, ip == netip.IPv6Loopback() || ip == netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if len(z.c.Names) > 0 && (slices.Contains(v.Machine, ip) || slices.Contains(v.Own, ip)) {
		return z.qualify(dns.CanonicalName(z.c.Names[0]), ip), z.c.TTL, ReasonOwn, true
	}
	for _, s := range z.c.Hosts {
		if name, ok := s.Name(ip); ok {
			return z.qualify(name+".", ip), z.c.TTL, ReasonHosts, true
		}
	}
	for _, d := range z.domains {
		if len(d.nets) > 0 && !in(d.nets, ip) {
			continue
		}
		for _, s := range d.sources {
			if label, ok := s.Name(ip); ok {
				return label + "." + d.name, z.ttl(s, ip, v.Now), ReasonSource, true
			}
		}
	}
	return "", 0, "", false
}

// qualify gives a single label the domain of its address.
func (z *Zone) qualify(name string, ip netip.Addr) string {
	if strings.IndexByte(name, '.') != len(name)-1 {
		return name
	}
	for _, d := range z.domains {
		if len(d.nets) == 0 || in(d.nets, ip) {
			return name + d.name
		}
	}
	return name
}
