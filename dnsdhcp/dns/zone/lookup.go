package zone

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// maxAliases is how many aliases are followed; more is a loop.
const maxAliases = 8

// Lookup answers what is ours to answer. False: it is not, ask upstream.
func (z *Zone) Lookup(q Question, v *View) (Answer, bool) {
	var a Answer
	if q.Class != dns.ClassINET {
		// CHAOS among them: version.bind tells strangers what to attack and nobody else anything.
		return Answer{Kind: Refused, Rcode: dns.RcodeRefused, Reason: ReasonClass}, true
	}
	switch q.Type {
	case dns.TypeAXFR, dns.TypeIXFR, dns.TypeMAILA, dns.TypeMAILB, dns.TypeTKEY, dns.TypeTSIG, dns.TypeOPT, dns.TypeNone:
		return Answer{Kind: Refused, Rcode: dns.RcodeRefused, Reason: ReasonType}, true
	}
	filtered := slices.Contains(v.Filter, q.Type)
	if filtered {
		q.Type = dns.TypeNone // no record has it: what is left is whether the name exists
	}
	ours := z.resolve(q, v, &a)
	switch {
	case !ours && filtered:
		a = Answer{Kind: NoData, Reason: ReasonFilter}
	case !ours && q.Type == dns.TypeANY:
		// RFC 8482 section 4.2, for every name: nobody needs ANY but those who want large answers for small questions.
		a = Answer{Kind: Local, Answer: []dns.RR{hinfo(q.Name, z.c.TTL)}, Reason: ReasonAny}
	case !ours:
		return Answer{}, false
	case filtered:
		a.Reason = ReasonFilter
	}
	return a, true
}

// resolve follows aliases through the local data.
func (z *Zone) resolve(q Question, v *View, a *Answer) bool {
	for range maxAliases {
		target, ours := z.one(q, v, a)
		if !ours {
			if len(a.Answer) == 0 {
				return false
			}
			a.Kind, a.Rcode, a.Chase = Local, dns.RcodeSuccess, q.Name
			return true
		}
		if target == "" {
			// RFC 6604 section 3: behind an alias the code is that of the last name.
			a.Authoritative = true
			if len(a.Answer) > 0 && a.Kind == NoData {
				a.Kind = Local
			}
			return true
		}
		q.Name = target
	}
	*a = Answer{Kind: Failed, Rcode: dns.RcodeServerFailure, Reason: ReasonLoop}
	return true
}

// position is where in the tree of names a name is, found in one pass.
type position struct {
	exact    *node
	dom      *domain
	domAt    int // where dom's name begins
	domDepth int // labels before that
	special  special
	specAt   int
	wild     []dns.RR
	wildAt   int
	labels   int
}

func (z *Zone) position(name string) position {
	p := position{domAt: -1, specAt: -1}
	if name == "." {
		return p
	}
	stop := false // no wildcard further up can match: a name in between exists
	for i := 0; i < len(name); i = next(name, i) {
		n := z.nodes[name[i:]]
		if n != nil {
			if i == 0 {
				p.exact = n
			}
			if n.domain != nil && p.dom == nil && p.special == ordinary {
				p.dom, p.domAt, p.domDepth = n.domain, i, p.labels
			}
			if n.special != ordinary && p.special == ordinary && p.dom == nil {
				p.special, p.specAt = n.special, i
			}
			if i > 0 && !stop {
				if n.wild != nil {
					p.wild, p.wildAt = n.wild, i
				}
				stop = true // RFC 4592 section 3.3.1: the closest encloser decides
			}
		}
		p.labels++
	}
	return p
}

// one answers for one name. It returns the target if the answer is an alias to be followed.
func (z *Zone) one(q Question, v *View, a *Answer) (target string, ours bool) {
	name := q.Name
	p := z.position(name)
	if p.special == loopback {
		return "", z.atSpecial(loopback, name[p.specAt:], q, a)
	}
	rev, isReverse := reverse{}, false
	if strings.HasSuffix(name, ".arpa.") {
		rev, isReverse = parseReverse(name)
	}

	// Names of the configuration.
	if n := p.exact; n != nil && n.own {
		a.Reason = ReasonOwn
		got := z.addrs(a, q, v.Own, z.c.TTL, func(ip netip.Addr) bool { return !ip.Is6() || !ip.IsLinkLocalUnicast() })
		return z.finish(a, q, p, &n.rrs, got)
	}
	if n := p.exact; n != nil && n.inside && !v.Outside && len(n.rrs) == 0 && aboutAddresses(q.Type) {
		a.Reason = ReasonOwn
		return z.finish(a, q, p, nil, z.addrs(a, q, v.Own, z.c.TTL, func(ip netip.Addr) bool { return !ip.Is6() || !ip.IsLinkLocalUnicast() }))
	}
	if n := p.exact; n != nil && len(n.rrs) > 0 && (p.dom != nil || isReverse || answers(n.rrs, q.Type)) {
		a.Reason = ReasonRecord
		return z.finish(a, q, p, &n.rrs, false)
	}
	// Whole names of hosts files.
	if target, ok := z.hosts(q, p, a); ok {
		return target, true
	}
	if isReverse {
		if ours, ok := z.reverse(q, rev, p, v, a); ok {
			return "", ours
		}
	}
	// Labels of leases and their like.
	label := name[:len(name)-1]
	bare := p.labels == 1
	if p.dom != nil && p.domDepth == 1 {
		label = name[:p.domAt-1]
		if z.dynamic(a, q, v, p.dom, label) {
			return z.finish(a, q, p, nil, len(a.Answer) > 0)
		}
	} else if bare && p.dom == nil {
		if z.bare(a, q, v, label) {
			return z.finish(a, q, p, nil, len(a.Answer) > 0)
		}
	}
	// Names without data.
	if p.dom != nil {
		suffix := name[p.domAt:]
		a.Reason = ReasonDomain
		if p.domAt == 0 {
			if q.Type == dns.TypeDS && name == "home.arpa." {
				return "", false // RFC 8375 section 4: the insecure delegation is for validators to see
			}
			z.apex(a, q)
			return "", true
		}
		if p.exact != nil || z.below(name) {
			z.negative(a, NoData, suffix)
			return "", true
		}
		_, routed, ok := z.c.Routes.match(name)
		if ok = ok && len(routed) > len(suffix); ok && (p.wild == nil || len(routed) > len(name)-p.wildAt) {
			return "", z.never(a, q) // a part of the domain that somebody else has
		}
		if p.wild != nil && !z.between(p, name, v) {
			return z.wildcard(a, q, p)
		}
		z.negative(a, NXDomain, suffix)
		return "", true
	}
	if p.wild != nil && answers(p.wild, q.Type) {
		return z.wildcard(a, q, p)
	}
	return "", z.foreign(a, q, p)
}

// foreign is for names that nothing local is known about. False: ask upstream.
func (z *Zone) foreign(a *Answer, q Question, p position) bool {
	if p.special != ordinary && !z.overridden(q.Name, p) {
		return z.atSpecial(p.special, q.Name[p.specAt:], q, a)
	}
	if _, suffix, ok := z.c.Routes.match(q.Name); ok && suffix != "." {
		return z.never(a, q)
	}
	if p.labels == 1 && z.c.DomainNeeded {
		switch q.Type {
		case dns.TypeDS, dns.TypeDNSKEY, dns.TypeNS, dns.TypeSOA: // a validator on its way from the root
		default:
			a.Reason = ReasonDomainNeeded
			z.absent(a, q.Name, q.Name)
			return true
		}
	}
	if z.c.FilterWin2k {
		switch {
		case q.Type == dns.TypeSOA, q.Type == dns.TypeSRV, q.Type == dns.TypeANY && strings.IndexByte(q.Name, '_') >= 0:
			a.Kind, a.Reason = NoData, ReasonWin2k
			return true
		}
	}
	return z.never(a, q)
}

// overridden: the special suffix of a name, or more of the name, has a route of its own.
func (z *Zone) overridden(name string, p position) bool {
	_, suffix, ok := z.c.Routes.match(name)
	return ok && suffix != "." && len(suffix) >= len(name)-p.specAt
}

// never answers for a name whose route leads nowhere. False: it leads somewhere.
func (z *Zone) never(a *Answer, q Question) bool {
	g, suffix, ok := z.c.Routes.match(q.Name)
	if !ok || g != Never {
		return false
	}
	a.Reason = ReasonRouteNever
	z.absent(a, q.Name, suffix)
	return true
}

// answers: whether the records of a name outside of our domains are what decides about this type.
func answers(rrs []dns.RR, qtype uint16) bool {
	for _, rr := range rrs {
		switch t := rr.Header().Rrtype; t {
		case qtype, dns.TypeCNAME:
			return true
		case dns.TypeA, dns.TypeAAAA:
			if aboutAddresses(qtype) {
				return true
			}
		}
	}
	return false
}

// aboutAddresses: HTTPS and SVCB too, whose hints are addresses by another way.
func aboutAddresses(qtype uint16) bool {
	switch qtype {
	case dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeANY, dns.TypeNone:
		return true
	}
	return false
}

// finish adds the records that fit to what is in the answer and makes it a negative one if that is nothing.
func (z *Zone) finish(a *Answer, q Question, p position, rrs *[]dns.RR, got bool) (target string, ours bool) {
	a.Kind = Local
	if q.Type == dns.TypeANY {
		a.Answer = append(a.Answer, hinfo(q.Name, z.c.TTL))
		return "", true
	}
	if rrs != nil {
		for _, rr := range *rrs {
			switch t := rr.Header().Rrtype; t {
			case dns.TypeCNAME:
				a.Answer = append(a.Answer, rr)
				if q.Type != t {
					return dns.CanonicalName(rr.(*dns.CNAME).Target), true
				}
				got = true
			case q.Type:
				a.Answer = append(a.Answer, rr)
				got = true
			}
		}
	}
	switch {
	case got:
	case p.domAt == 0:
		z.apex(a, q)
	case p.dom != nil:
		z.negative(a, NoData, q.Name[p.domAt:])
	default:
		z.negative(a, NoData, q.Name)
	}
	return "", true
}

func (z *Zone) wildcard(a *Answer, q Question, p position) (string, bool) {
	rrs := make([]dns.RR, 0, len(p.wild))
	for _, rr := range p.wild {
		if t := rr.Header().Rrtype; t == q.Type || t == dns.TypeCNAME {
			rr = dns.Copy(rr)
			rr.Header().Name = q.Name
			rrs = append(rrs, rr)
		}
	}
	a.Reason = ReasonRecord
	return z.finish(a, q, p, &rrs, false)
}

// between: a name that only a source knows is between the wildcard and the name that is asked for.
func (z *Zone) between(p position, name string, v *View) bool {
	if p.domDepth < 2 || p.wildAt < p.domAt {
		return false
	}
	for i := next(name, 0); i < p.wildAt; i = next(name, i) {
		if z.below(name[i:]) || z.hostsKnow(name[i:], true) {
			return true
		}
		if next(name, i) == p.domAt {
			var scratch Answer
			if z.dynamic(&scratch, Question{Name: name[i:]}, v, p.dom, name[i:p.domAt-1]) {
				return true
			}
		}
	}
	return false
}

// apex is the name of a local zone itself, without data of its own.
func (z *Zone) apex(a *Answer, q Question) {
	switch q.Type {
	case dns.TypeSOA:
		a.Kind, a.Answer = Local, append(a.Answer, z.soa(q.Name))
	case dns.TypeNS:
		hdr := dns.RR_Header{Name: q.Name, Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: z.c.TTL}
		a.Kind, a.Answer = Local, append(a.Answer, &dns.NS{Hdr: hdr, Ns: z.server(q.Name)})
	case dns.TypeANY:
		a.Kind, a.Answer = Local, append(a.Answer, hinfo(q.Name, z.c.TTL))
	default:
		z.negative(a, NoData, q.Name)
	}
}

// absent denies a name in a zone that has nothing, unless the name has data of another type here or something of
// ours is below it: a resolver that gets NXDOMAIN believes that nothing is (RFC 8020).
func (z *Zone) absent(a *Answer, name, zone string) {
	n := z.nodes[name]
	if n != nil && (n.parent || n.own || len(n.rrs) > 0) || z.below(name) || z.hostsKnow(name, strings.IndexByte(name, '.') == len(name)-1) {
		z.negative(a, NoData, zone)
		return
	}
	z.negative(a, NXDomain, zone)
}

func (z *Zone) negative(a *Answer, kind Kind, zone string) {
	a.Kind = kind
	if a.Rcode = dns.RcodeSuccess; kind == NXDomain {
		a.Rcode = dns.RcodeNameError
	}
	a.Authority = append(a.Authority[:0], z.soa(zone))
}

func wants(qtype uint16, ip netip.Addr) bool {
	return qtype == dns.TypeA && ip.Is4() || qtype == dns.TypeAAAA && ip.Is6()
}

func addrRR(name string, ttl uint32, ip netip.Addr) dns.RR {
	if ip.Is4() {
		return &dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl}, A: ip.AsSlice()}
	}
	return &dns.AAAA{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeAAAA, Class: dns.ClassINET, Ttl: ttl}, AAAA: ip.AsSlice()}
}

func hinfo(name string, ttl uint32) dns.RR {
	return &dns.HINFO{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeHINFO, Class: dns.ClassINET, Ttl: ttl}, Cpu: "RFC8482"}
}
