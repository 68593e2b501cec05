package zone

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// Zone is a Config made ready. It never changes; another configuration makes another one.
type Zone struct {
	c       Config
	nodes   map[string]*node // by fully qualified lower-case name
	domains []*domain
	nets    []netip.Prefix // c.Networks, masked
}

// node is a name of the configuration or one that something is below of.
type node struct {
	rrs     []dns.RR // not empty: the name has data
	wild    []dns.RR // of *.name; the owner is filled in
	own     bool     // a name of this machine
	inside  bool     // a name of Config.Inside
	parent  bool     // something is below it
	domain  *domain  // the name is the apex of this local domain
	special special
}

type domain struct {
	name    string // with the final dot
	nets    []netip.Prefix
	sources []Source
}

// New checks and prepares. The error names everything that is wrong.
func New(c Config) (*Zone, error) {
	z := &Zone{c: c, nodes: make(map[string]*node, 512)}
	for _, s := range specials() {
		if s.kind != private || c.BogusPriv {
			z.node(s.name).special = s.kind
		}
	}
	if c.NoAppDNS {
		z.node("use-application-dns.net.").special = canary
	}
	return z, z.fill()
}

// Check is the error of New, without what New makes for the answers, which is most of its work.
func Check(c Config) error {
	z := &Zone{c: c, nodes: map[string]*node{}}
	return z.fill()
}

// fill adds what is configured.
func (z *Zone) fill() error {
	c := z.c
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.NAT64.IsValid() {
		if _, err := embed(c.NAT64, netip.AddrFrom4([4]byte{192, 0, 0, 170})); err != nil {
			fail("nat64 prefix %s: %w", c.NAT64, err)
		} else {
			z.node(ipv4only).special = discovery
		}
	}
	for _, d := range c.Domains {
		fqdn, err := canonical(d.Name)
		if err != nil || fqdn == "." {
			fail("local domain %q is not a domain name", d.Name)
			continue
		}
		n := z.node(fqdn)
		if n.domain != nil {
			fail("local domain %s is there twice", d.Name)
			continue
		}
		n.domain = &domain{name: fqdn, nets: d.Networks, sources: d.Sources}
		z.domains = append(z.domains, n.domain)
	}
	for _, name := range c.Names {
		fqdn, err := canonical(name)
		if err != nil || fqdn == "." {
			fail("own name %q is not a name", name)
			continue
		}
		z.node(fqdn).own = true
		if strings.IndexByte(fqdn, '.') == len(fqdn)-1 {
			for _, d := range z.domains {
				z.node(fqdn + d.name).own = true
			}
		}
	}
	for _, name := range c.Inside {
		fqdn, err := canonical(name)
		if err != nil || strings.IndexByte(fqdn, '.') == len(fqdn)-1 {
			fail("inside name %q is not a name with dots", name)
			continue
		}
		z.node(fqdn).inside = true
	}
	for _, rr := range c.Records {
		if err := z.add(rr); err != nil {
			fail("record %q: %w", rr.Header().Name, err)
		}
	}
	for _, n := range c.Networks {
		if !n.IsValid() || n.Addr().Is4In6() {
			fail("network %s has no reverse zone", n)
			continue
		}
		z.nets = append(z.nets, n.Masked())
	}
	return errors.Join(errs...)
}

// canonical is a name in lower case with its final dot.
func canonical(name string) (string, error) {
	if _, ok := dns.IsDomainName(name); !ok || name == "" {
		return "", errors.New("not a domain name")
	}
	return dns.CanonicalName(name), nil
}

func (z *Zone) node(name string) *node {
	n := z.nodes[name]
	if n != nil {
		return n
	}
	n = &node{}
	z.nodes[name] = n
	// What is above it exists too.
	for i := next(name, 0); i < len(name); i = next(name, i) {
		p := z.nodes[name[i:]]
		if p == nil {
			p = &node{}
			z.nodes[name[i:]] = p
		}
		if p.parent {
			break
		}
		p.parent = true
	}
	return n
}

func (z *Zone) add(rr dns.RR) error {
	h := rr.Header()
	name, err := canonical(h.Name)
	if err != nil {
		return err
	}
	if h.Class != dns.ClassINET {
		return errors.New("only class IN")
	}
	switch h.Rrtype {
	case dns.TypeNone, dns.TypeOPT, dns.TypeANY, dns.TypeSOA, dns.TypeDNAME, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeRRSIG:
		return fmt.Errorf("type %s cannot be configured", dns.TypeToString[h.Rrtype])
	}
	rr = dns.Copy(rr)
	h = rr.Header()
	if h.Name = name; h.Ttl == 0 {
		h.Ttl = z.c.TTL
	}
	if buf := make([]byte, dns.MaxMsgSize); !packs(rr, buf) {
		return errors.New("has no valid wire format")
	}
	wild := strings.HasPrefix(name, "*.")
	if wild {
		name = name[2:]
	}
	if strings.Contains(name, "*.") {
		return errors.New("an asterisk is only allowed as the first label")
	}
	n := z.node(name)
	set := &n.rrs
	if wild {
		set, n.parent = &n.wild, true
	}
	for _, o := range *set {
		if dns.IsDuplicate(o, rr) {
			return nil
		}
		if o.Header().Rrtype == dns.TypeCNAME || h.Rrtype == dns.TypeCNAME {
			return errors.New("an alias cannot have other records (RFC 1034 section 3.6.2)")
		}
	}
	if h.Rrtype == dns.TypeCNAME && !wild && (n.own || n.domain != nil) {
		return errors.New("an alias cannot be a name of this machine or a local domain")
	}
	*set = append(*set, rr)
	return nil
}

func packs(rr dns.RR, buf []byte) bool {
	_, err := dns.PackRR(rr, buf, 0, nil, false)
	return err == nil
}

// next is the offset behind the label that begins at i.
func next(name string, i int) int {
	for ; i < len(name); i++ {
		switch name[i] {
		case '\\':
			i++
		case '.':
			return i + 1
		}
	}
	return len(name)
}

// soa is the one that says who is to be believed about zone, and for how long there is nothing (RFC 2308 section 5).
func (z *Zone) soa(zone string) *dns.SOA {
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: z.c.NegativeTTL},
		Ns:  z.server(zone), Mbox: "nobody.invalid.", // RFC 6303 section 3
		Serial: 1, Refresh: 3600, Retry: 1200, Expire: 604800, Minttl: z.c.NegativeTTL,
	}
}

// server is the name server of a local zone: this machine, if it has a name.
func (z *Zone) server(zone string) string {
	if len(z.c.Names) == 0 {
		return zone
	}
	own := dns.CanonicalName(z.c.Names[0])
	if strings.IndexByte(own, '.') != len(own)-1 {
		return own
	}
	if n := z.nodes[zone]; n != nil && n.domain != nil {
		return own + zone
	}
	if len(z.domains) > 0 {
		return own + z.domains[0].name
	}
	return own
}
