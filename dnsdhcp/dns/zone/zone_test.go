package zone

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/provision-net/provision/dnsdhcp/clock"
)

// source is a Source made of lines "name addr addr".
type source struct {
	addrs map[string][]netip.Addr
	names map[netip.Addr]string
	left  time.Duration // 0 for no Lasting answer
}

func list(lines ...string) *source {
	s := &source{addrs: map[string][]netip.Addr{}, names: map[netip.Addr]string{}}
	for _, l := range lines {
		f := strings.Fields(l)
		for _, a := range f[1:] {
			ip := netip.MustParseAddr(a)
			s.addrs[f[0]] = append(s.addrs[f[0]], ip)
			s.names[ip] = f[0]
		}
	}
	return s
}

func (s *source) Addrs(name string) []netip.Addr { return s.addrs[name] }

func (s *source) Name(ip netip.Addr) (string, bool) {
	n, ok := s.names[ip]
	return n, ok
}

func (s *source) Remaining(netip.Addr, clock.Instant) (time.Duration, bool) {
	return s.left, s.left != 0
}

func (s *source) Below(name string) bool {
	for n := range s.addrs {
		if strings.HasSuffix(n, "."+name) {
			return true
		}
	}
	return false
}

func rrs(t testing.TB, lines ...string) (out []dns.RR) {
	t.Helper()
	for _, l := range lines {
		rr, err := dns.NewRR(l)
		if err != nil {
			t.Fatal(err)
		}
		if c := strings.Fields(l)[1][0]; c < '0' || c > '9' {
			rr.Header().Ttl = 0 // what the parser puts there is not ours
		}
		out = append(out, rr)
	}
	return out
}

func nets(s ...string) (out []netip.Prefix) { return append(out, prefixes(s...)...) }

func addrs(s ...string) (out []netip.Addr) {
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func lab(t testing.TB) Config {
	routes, err := NewRoutes(map[string]Group{
		"corp.example":         "corp",
		"dev.lab.lan":          "dev",
		"168.192.in-addr.arpa": "corp",
		"7.0.10.in-addr.arpa":  "corp",
		"blocked.example":      Never,
		"ad.local":             "ad",
	})
	if err != nil {
		t.Fatal(err)
	}
	lease := list("alpha 10.0.0.20", "beta 10.0.0.21", "shadow 10.0.0.66", "guest 10.9.0.5", "hosted 10.0.0.67", "router 10.0.0.68")
	lease.left = 25 * time.Second
	learnt := list("alpha fd00:1::20 fd00:1::21", "only6 fd00:1::30", "shadow fd00:1::66")
	return Config{
		Domains: []Domain{
			{Name: "lab.lan", Networks: nets("10.0.0.0/24", "fd00:1::/64", "192.0.2.64/26"), Sources: []Source{lease, learnt}},
			{Name: "guest.lan.", Networks: nets("10.9.0.0/22"), Sources: []Source{lease}},
		},
		Names: []string{"router", "gw"},
		Records: rrs(t,
			"nas.lab.lan. 0 IN A 10.0.0.5", "nas.lab.lan. 77 IN TXT \"hello\"", "shadow.lab.lan. A 10.0.0.6",
			"www.lab.lan. CNAME nas.lab.lan.", "alias.lab.lan. CNAME alpha.lab.lan.", "out.lab.lan. CNAME www.example.org.",
			"dead.lab.lan. CNAME nothing.lab.lan.", "loop1.lab.lan. CNAME loop2.lab.lan.", "loop2.lab.lan. CNAME loop1.lab.lan.",
			"_sip._udp.lab.lan. SRV 1 2 5060 nas.lab.lan.", "lab.lan. MX 10 nas.lab.lan.", "deep.er.lab.lan. A 10.0.0.7",
			"*.apps.lab.lan. A 10.0.0.8", "there.apps.lab.lan. TXT x", "*.lab.lan. AAAA fd00:1::99",
			"ads.example. A 0.0.0.0", "*.ads.example. A 0.0.0.0", "pin.example. AAAA 2001:db8::1", "5.0.0.10.in-addr.arpa. PTR nas.lab.lan.",
			"vm.test. A 10.0.0.9",
		),
		Hosts: []Source{list("printer 10.0.0.30", "tv.lab.lan 10.0.0.31", "one.two.lab.lan 10.0.0.32", "site.example.org 203.0.113.9",
			"hosted 10.0.0.33", "self 127.0.1.1", "block.example 127.0.0.1", "camera.test 10.0.0.34")},
		ExpandHosts: true,
		Networks:    nets("10.0.0.0/24", "10.9.0.0/22", "192.0.2.64/26", "fd00:1::/61", "203.0.113.0/24", "10.0.0.0/16"),
		Routes:      routes, DomainNeeded: true, BogusPriv: true, NoAppDNS: true,
		TTL: 300, SourceTTL: 60, NegativeTTL: 10,
	}
}

// show is an answer in one line.
func show(a Answer, ok bool) string {
	if !ok {
		return "-"
	}
	var b strings.Builder
	b.WriteString(a.Kind.String())
	if a.Rcode != 0 && a.Kind != NXDomain {
		fmt.Fprintf(&b, " %s", dns.RcodeToString[a.Rcode])
	}
	for _, rr := range a.Answer {
		f := strings.Fields(rr.String())
		fmt.Fprintf(&b, "; %s %s", f[1], strings.Join(f[3:], " "))
	}
	if a.Chase != "" {
		fmt.Fprintf(&b, "; chase %s", a.Chase)
	}
	for _, rr := range a.Authority {
		fmt.Fprintf(&b, "; soa %s", rr.Header().Name)
	}
	return b.String() + " (" + a.Reason + ")"
}

func TestLookup(t *testing.T) {
	z, err := New(lab(t))
	if err != nil {
		t.Fatal(err)
	}
	view := &View{Own: addrs("10.0.0.1", "fe80::1", "fd00:1::1"), Machine: addrs("10.0.0.1", "10.9.0.1", "fd00:1::1")}
	for _, row := range strings.Split(strings.TrimSpace(`
alpha.lab.lan. A = local; 25 A 10.0.0.20 (source)
alpha.lab.lan. AAAA = local; 60 AAAA fd00:1::20; 60 AAAA fd00:1::21 (source)
alpha.lab.lan. MX = nodata; soa lab.lan. (source)
alpha.lab.lan. HTTPS = nodata; soa lab.lan. (source)
alpha.lab.lan. ANY = local; 300 HINFO "RFC8482" "" (source)
alpha.lab.lan. DS = nodata; soa lab.lan. (source)
alpha. A = local; 25 A 10.0.0.20 (source)
alpha. AAAA = local; 60 AAAA fd00:1::20; 60 AAAA fd00:1::21 (source)
alpha. TXT = nodata; soa alpha. (source)
beta.lab.lan. AAAA = nodata; soa lab.lan. (source)
only6.lab.lan. A = nodata; soa lab.lan. (source)
guest.lab.lan. A = nodata; soa lab.lan. (record)
guest.guest.lan. A = local; 25 A 10.9.0.5 (source)
guest. A = local; 25 A 10.9.0.5 (source)
nothing. A = nxdomain; soa nothing. (domain-needed)
nothing. DS = -
com. NS = -
lan. A = nodata; soa lan. (domain-needed)
org. A = nodata; soa org. (domain-needed)
arpa. A = nodata; soa arpa. (domain-needed)
. NS = -
. A = -
nothing.guest.lan. A = nxdomain; soa guest.lan. (local-domain)
x.nothing.guest.lan. A = nxdomain; soa guest.lan. (local-domain)
guest.lan. A = nodata; soa guest.lan. (local-domain)
guest.lan. SOA = local; 10 SOA router.guest.lan. nobody.invalid. 1 3600 1200 604800 10 (local-domain)
guest.lan. NS = local; 300 NS router.guest.lan. (local-domain)
guest.lan. ANY = local; 300 HINFO "RFC8482" "" (local-domain)
guest.lan. DS = nodata; soa guest.lan. (local-domain)
lab.lan. MX = local; 300 MX 10 nas.lab.lan. (record)
lab.lan. SOA = local; 10 SOA router.lab.lan. nobody.invalid. 1 3600 1200 604800 10 (record)
lab.lan. NS = local; 300 NS router.lab.lan. (record)
lab.lan. A = nodata; soa lab.lan. (record)
other.lan. A = -
router.lab.lan. A = local; 300 A 10.0.0.1 (own)
router.lab.lan. AAAA = local; 300 AAAA fd00:1::1 (own)
router.guest.lan. A = local; 300 A 10.0.0.1 (own)
gw. A = local; 300 A 10.0.0.1 (own)
gw.lab.lan. TXT = nodata; soa lab.lan. (own)
nas.lab.lan. A = local; 300 A 10.0.0.5 (record)
nas.lab.lan. TXT = local; 77 TXT "hello" (record)
nas.lab.lan. AAAA = nodata; soa lab.lan. (record)
shadow.lab.lan. A = local; 300 A 10.0.0.6 (record)
shadow.lab.lan. AAAA = nodata; soa lab.lan. (record)
www.lab.lan. A = local; 300 CNAME nas.lab.lan.; 300 A 10.0.0.5 (record)
www.lab.lan. AAAA = local; 300 CNAME nas.lab.lan.; soa lab.lan. (record)
www.lab.lan. CNAME = local; 300 CNAME nas.lab.lan. (record)
alias.lab.lan. A = local; 300 CNAME alpha.lab.lan.; 25 A 10.0.0.20 (source)
out.lab.lan. A = local; 300 CNAME www.example.org.; chase www.example.org. (record)
loop1.lab.lan. A = failed SERVFAIL (loop)
_sip._udp.lab.lan. SRV = local; 300 SRV 1 2 5060 nas.lab.lan. (record)
_sip._udp.lab.lan. A = nodata; soa lab.lan. (record)
_udp.lab.lan. A = nodata; soa lab.lan. (local-domain)
er.lab.lan. A = nodata; soa lab.lan. (local-domain)
er.lab.lan. AAAA = nodata; soa lab.lan. (local-domain)
x.er.lab.lan. AAAA = nxdomain; soa lab.lan. (local-domain)
apps.lab.lan. A = nodata; soa lab.lan. (local-domain)
x.apps.lab.lan. A = local; 300 A 10.0.0.8 (record)
x.y.apps.lab.lan. A = local; 300 A 10.0.0.8 (record)
x.apps.lab.lan. AAAA = nodata; soa lab.lan. (record)
there.apps.lab.lan. A = nodata; soa lab.lan. (record)
x.there.apps.lab.lan. A = nxdomain; soa lab.lan. (local-domain)
whatever.lab.lan. AAAA = local; 300 AAAA fd00:1::99 (record)
whatever.lab.lan. A = nodata; soa lab.lan. (record)
x.alpha.lab.lan. AAAA = nxdomain; soa lab.lan. (local-domain)
x.tv.lab.lan. AAAA = nxdomain; soa lab.lan. (local-domain)
x.y.lab.lan. AAAA = local; 300 AAAA fd00:1::99 (record)
dead.lab.lan. AAAA = local; 300 CNAME nothing.lab.lan.; 300 AAAA fd00:1::99 (record)
host.dev.lab.lan. AAAA = -
dev.lab.lan. AAAA = -
b._dns-sd._udp.guest.lan. PTR = nxdomain; soa guest.lan. (local-domain)
foo\.lab.lan. A = -
foo\.alpha.lab.lan. A = nodata; soa lab.lan. (record)
printer.lab.lan. A = local; 300 A 10.0.0.30 (hosts)
printer. A = local; 300 A 10.0.0.30 (hosts)
printer. AAAA = nodata; soa printer. (hosts)
tv.lab.lan. A = local; 300 A 10.0.0.31 (hosts)
tv.lab.lan. MX = nodata; soa lab.lan. (hosts)
tv. A = nxdomain; soa tv. (domain-needed)
two.lab.lan. A = nodata; soa lab.lan. (local-domain)
one.two.lab.lan. A = local; 300 A 10.0.0.32 (hosts)
hosted.lab.lan. A = local; 300 A 10.0.0.33 (hosts)
self.guest.lan. A = nxdomain; soa guest.lan. (local-domain)
self. A = nxdomain; soa self. (domain-needed)
block.example. A = local; 300 A 127.0.0.1 (hosts)
block.example. AAAA = nodata; soa block.example. (hosts)
block.example. HTTPS = nodata; soa block.example. (hosts)
block.example. MX = -
block.example. ANY = local; 300 HINFO "RFC8482" "" (hosts)
site.example.org. A = local; 300 A 203.0.113.9 (hosts)
example.org. A = -
camera.test. A = local; 300 A 10.0.0.34 (hosts)
camera.test. MX = nodata; soa test. (special-use)
vm.test. A = local; 300 A 10.0.0.9 (record)
vm.test. AAAA = nodata; soa vm.test. (record)
vm.test. MX = nodata; soa test. (special-use)
test. A = nodata; soa test. (special-use)
x.test. A = nxdomain; soa test. (special-use)
ads.example. A = local; 300 A 0.0.0.0 (record)
ads.example. AAAA = nodata; soa ads.example. (record)
ads.example. TXT = -
x.ads.example. A = local; 300 A 0.0.0.0 (record)
x.ads.example. HTTPS = nodata; soa x.ads.example. (record)
x.ads.example. TXT = -
pin.example. AAAA = local; 300 AAAA 2001:db8::1 (record)
pin.example. A = nodata; soa pin.example. (record)
www.example.org. A = -
www.example.org. ANY = local; 300 HINFO "RFC8482" "" (any)
www.example.org. AXFR = refused REFUSED (type)
x.blocked.example. A = nxdomain; soa blocked.example. (never-forwarded)
x.corp.example. A = -
localhost. A = local; 300 A 127.0.0.1 (special-use)
a.localhost. AAAA = local; 300 AAAA ::1 (special-use)
localhost. MX = nodata; soa localhost. (special-use)
x.invalid. A = nxdomain; soa invalid. (special-use)
x.onion. A = nxdomain; soa onion. (special-use)
local. SOA = nxdomain; soa local. (special-use)
x.local. A = nxdomain; soa local. (special-use)
dc.ad.local. A = -
home.arpa. SOA = local; 10 SOA router.lab.lan. nobody.invalid. 1 3600 1200 604800 10 (special-use)
home.arpa. DS = -
x.home.arpa. A = nxdomain; soa home.arpa. (special-use)
_dns.resolver.arpa. SVCB = nodata; soa resolver.arpa. (special-use)
use-application-dns.net. A = nxdomain; soa use-application-dns.net. (canary)
ipv4only.arpa. A = -
ipv4only.arpa. AAAA = -
20.0.0.10.in-addr.arpa. PTR = local; 25 PTR alpha.lab.lan. (source)
20.0.0.10.in-addr.arpa. A = nodata; soa 0.0.10.in-addr.arpa. (source)
20.0.0.10.in-addr.arpa. ANY = local; 300 HINFO "RFC8482" "" (source)
5.0.9.10.in-addr.arpa. PTR = local; 25 PTR guest.guest.lan. (source)
1.0.0.10.in-addr.arpa. PTR = local; 300 PTR router.lab.lan. (own)
1.0.9.10.in-addr.arpa. PTR = local; 300 PTR router.guest.lan. (own)
5.0.0.10.in-addr.arpa. PTR = local; 300 PTR nas.lab.lan. (record)
30.0.0.10.in-addr.arpa. PTR = local; 300 PTR printer.lab.lan. (hosts)
31.0.0.10.in-addr.arpa. PTR = local; 300 PTR tv.lab.lan. (hosts)
9.113.0.203.in-addr.arpa. PTR = local; 300 PTR site.example.org. (hosts)
99.0.0.10.in-addr.arpa. PTR = nxdomain; soa 0.0.10.in-addr.arpa. (local-reverse)
0.0.10.in-addr.arpa. SOA = local; 10 SOA router.lab.lan. nobody.invalid. 1 3600 1200 604800 10 (local-reverse)
0.0.10.in-addr.arpa. PTR = nodata; soa 0.0.10.in-addr.arpa. (local-reverse)
b._dns-sd._udp.0.0.0.10.in-addr.arpa. PTR = nxdomain; soa 0.0.10.in-addr.arpa. (local-reverse)
3.9.10.in-addr.arpa. NS = local; 300 NS router.lab.lan. (local-reverse)
5.3.9.10.in-addr.arpa. PTR = nxdomain; soa 3.9.10.in-addr.arpa. (local-reverse)
5.4.9.10.in-addr.arpa. PTR = nxdomain; soa 10.in-addr.arpa. (bogus-priv)
4.9.10.in-addr.arpa. A = nxdomain; soa 10.in-addr.arpa. (bogus-priv)
9.10.in-addr.arpa. A = nodata; soa 10.in-addr.arpa. (local-reverse)
10.in-addr.arpa. SOA = local; 10 SOA router.lab.lan. nobody.invalid. 1 3600 1200 604800 10 (bogus-priv)
10.in-addr.arpa. DS = -
5.7.0.10.in-addr.arpa. PTR = -
5.8.0.10.in-addr.arpa. PTR = nxdomain; soa 0.10.in-addr.arpa. (local-reverse)
70.2.0.192.in-addr.arpa. PTR = nxdomain; soa 2.0.192.in-addr.arpa. (local-reverse)
10.2.0.192.in-addr.arpa. PTR = nxdomain; soa 2.0.192.in-addr.arpa. (bogus-priv)
1.1.168.192.in-addr.arpa. PTR = -
1.16.172.in-addr.arpa. PTR = nxdomain; soa 16.172.in-addr.arpa. (bogus-priv)
1.32.172.in-addr.arpa. PTR = -
1.1.64.100.in-addr.arpa. PTR = nxdomain; soa 64.100.in-addr.arpa. (bogus-priv)
1.1.1.1.in-addr.arpa. PTR = -
1.0.0.127.in-addr.arpa. PTR = local; 300 PTR localhost. (special-use)
2.0.0.127.in-addr.arpa. PTR = nxdomain; soa 127.in-addr.arpa. (special-use)
1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa. PTR = local; 300 PTR localhost. (special-use)
0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa. PTR = local; 60 PTR alpha.lab.lan. (source)
0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa. A = nodata; soa 0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa. (source)
9.9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.7.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa. PTR = nxdomain; soa 7.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa. (local-reverse)
9.9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa. PTR = nxdomain; soa d.f.ip6.arpa. (bogus-priv)
1.0.0.0.0.0.d.f.ip6.arpa. NS = nodata; soa d.f.ip6.arpa. (local-reverse)
x.8.e.f.ip6.arpa. PTR = nxdomain; soa 8.e.f.ip6.arpa. (bogus-priv)
`), "\n") {
		ask, want, _ := strings.Cut(row, " = ")
		name, typ, _ := strings.Cut(ask, " ")
		q := Question{Name: name, Type: dns.StringToType[typ], Class: dns.ClassINET}
		if got := show(z.Lookup(q, view)); got != want {
			t.Errorf("%s\n got %s\nwant %s", ask, got, want)
		}
	}
}
