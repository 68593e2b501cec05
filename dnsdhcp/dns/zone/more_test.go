package zone

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func mustNew(t testing.TB, c Config) *Zone {
	t.Helper()
	z, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func ask(z *Zone, v *View, name, typ string) string {
	return show(z.Lookup(Question{Name: name, Type: dns.StringToType[typ], Class: dns.ClassINET}, v))
}

func TestClass(t *testing.T) {
	z := mustNew(t, lab(t))
	a, ok := z.Lookup(Question{Name: "version.bind.", Type: dns.TypeTXT, Class: dns.ClassCHAOS}, &View{})
	if !ok || a.Rcode != dns.RcodeRefused || len(a.Answer) != 0 {
		t.Fatal(a, ok)
	}
}

func TestAuthoritative(t *testing.T) {
	z := mustNew(t, lab(t))
	for name, want := range map[string]bool{"alpha.lab.lan.": true, "nothing.guest.lan.": true, "x.invalid.": true, "out.lab.lan.": false} {
		if a, _ := z.Lookup(Question{Name: name, Type: dns.TypeA, Class: dns.ClassINET}, &View{}); a.Authoritative != want {
			t.Errorf("%s: authoritative %v", name, a.Authoritative)
		}
	}
}

func TestFilter(t *testing.T) {
	v := &View{Filter: []uint16{dns.TypeAAAA, dns.TypeHTTPS}}
	for q, want := range map[string]string{
		"alpha.lab.lan. AAAA":     "nodata; soa lab.lan. (filtered)",
		"alpha.lab.lan. A":        "local; 60 A 10.0.0.20 (source)",
		"www.example.org. AAAA":   "nodata (filtered)",
		"www.example.org. HTTPS":  "nodata (filtered)",
		"www.example.org. A":      "-",
		"x.invalid. AAAA":         "nxdomain; soa invalid. (filtered)",
		"nothing.guest.lan. AAAA": "nxdomain; soa guest.lan. (filtered)",
		"www.lab.lan. AAAA":       "local; 300 CNAME nas.lab.lan.; soa lab.lan. (filtered)",
		"out.lab.lan. AAAA":       "local; 300 CNAME www.example.org.; chase www.example.org. (filtered)",
	} {
		name, typ, _ := strings.Cut(q, " ")
		c := lab(t)
		c.Domains[0].Sources[0].(*source).left = 0
		if got := ask(mustNew(t, c), v, name, typ); got != want {
			t.Errorf("%s\n got %s\nwant %s", q, got, want)
		}
	}
}

func TestOptionsOff(t *testing.T) {
	z := mustNew(t, Config{TTL: 1, NegativeTTL: 1})
	for _, q := range []string{"single. A", "10.in-addr.arpa. PTR", "use-application-dns.net. A", "_ldap._tcp.x.org. SRV", "a.org. SOA"} {
		name, typ, _ := strings.Cut(q, " ")
		if got := ask(z, &View{}, name, typ); got != "-" {
			t.Errorf("%s: %s", q, got)
		}
	}
	// What no option turns off.
	for _, q := range []string{"x.onion. A", "2.0.0.127.in-addr.arpa. PTR"} {
		name, typ, _ := strings.Cut(q, " ")
		if got := ask(z, &View{}, name, typ); !strings.HasPrefix(got, "nxdomain") {
			t.Errorf("%s: %s", q, got)
		}
	}
}

// A route takes a name out of a zone only if it is for that zone or a part of it.
func TestShorterRoutes(t *testing.T) {
	routes, err := NewRoutes(map[string]Group{"10.in-addr.arpa": "x", "in-addr.arpa": "y", "lan": "z"})
	if err != nil {
		t.Fatal(err)
	}
	z := mustNew(t, Config{
		Domains:  []Domain{{Name: "lab.lan", Sources: []Source{list("two fd00::1"), list("two fd00::2 10.0.0.1")}}},
		Networks: nets("10.0.0.0/24"), Routes: routes, BogusPriv: true, TTL: 1, SourceTTL: 1, NegativeTTL: 1,
	})
	for q, want := range map[string]string{
		"9.0.0.10.in-addr.arpa. PTR":    "nxdomain; soa 0.0.10.in-addr.arpa. (local-reverse)",
		"9.0.1.10.in-addr.arpa. PTR":    "-",
		"9.0.168.192.in-addr.arpa. PTR": "nxdomain; soa 168.192.in-addr.arpa. (bogus-priv)",
		"x.lab.lan. A":                  "nxdomain; soa lab.lan. (local-domain)",
		"x.lan. A":                      "-",
		// Nor are the addresses of two sources mixed, but each family has its own first one.
		"two.lab.lan. AAAA": "local; 1 AAAA fd00::1 (source)",
		"two.lab.lan. A":    "local; 1 A 10.0.0.1 (source)",
	} {
		name, typ, _ := strings.Cut(q, " ")
		if got := ask(z, &View{}, name, typ); got != want {
			t.Errorf("%s: %s, want %s", q, got, want)
		}
	}
}

func TestFilterWin2k(t *testing.T) {
	z := mustNew(t, Config{FilterWin2k: true})
	for q, want := range map[string]string{
		"_ldap._tcp.dc._msdcs.x.org. SRV": "nodata (filterwin2k)", "x.org. SOA": "nodata (filterwin2k)",
		"_x.org. ANY": "nodata (filterwin2k)", "x.org. A": "-", "_x.org. TXT": "-",
	} {
		name, typ, _ := strings.Cut(q, " ")
		if got := ask(z, &View{}, name, typ); got != want {
			t.Errorf("%s: %s, want %s", q, got, want)
		}
	}
}

func TestNAT64(t *testing.T) {
	z := mustNew(t, Config{NAT64: netip.MustParsePrefix("64:ff9b::/96"), TTL: 5})
	for q, want := range map[string]string{
		"ipv4only.arpa. AAAA":  "local; 5 AAAA 64:ff9b::c000:aa; 5 AAAA 64:ff9b::c000:ab (special-use)",
		"ipv4only.arpa. A":     "local; 5 A 192.0.0.170; 5 A 192.0.0.171 (special-use)",
		"ipv4only.arpa. TXT":   "nodata; soa ipv4only.arpa. (special-use)",
		"ipv4only.arpa. DS":    "-",
		"x.ipv4only.arpa. TXT": "nxdomain; soa ipv4only.arpa. (special-use)",
	} {
		name, typ, _ := strings.Cut(q, " ")
		if got := ask(z, &View{}, name, typ); got != want {
			t.Errorf("%s: %s, want %s", q, got, want)
		}
	}
	// RFC 6052 section 2.4.
	for p, want := range map[string]string{
		"2001:db8::/32": "2001:db8:c000:221::", "2001:db8:100::/40": "2001:db8:1c0:2:21::",
		"2001:db8:122::/48": "2001:db8:122:c000:2:2100::", "2001:db8:122:300::/56": "2001:db8:122:3c0:0:221::",
		"2001:db8:122:344::/64": "2001:db8:122:344:c0:2:2100::", "2001:db8:122:344::/96": "2001:db8:122:344::192.0.2.33",
	} {
		prefix, v4 := netip.MustParsePrefix(p), netip.MustParseAddr("192.0.2.33")
		got, err := embed(prefix, v4)
		if err != nil || got != netip.MustParseAddr(want) || unembed(prefix.Bits(), got) != v4 {
			t.Errorf("%s: %s, want %s, back %s: %v", p, got, want, unembed(prefix.Bits(), got), err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]Config{
		"domain":      {Domains: []Domain{{Name: ""}}},
		"root":        {Domains: []Domain{{Name: "."}}},
		"twice":       {Domains: []Domain{{Name: "a.b"}, {Name: "A.b."}}},
		"own":         {Names: []string{"a..b"}},
		"two aliases": {Records: rrs(t, "a.b. CNAME c.d.", "a.b. CNAME e.f.")},
		"alias +":     {Records: rrs(t, "a.b. CNAME c.d.", "a.b. A 1.2.3.4")},
		"+ alias":     {Records: rrs(t, "a.b. A 1.2.3.4", "a.b. CNAME c.d.")},
		"own alias":   {Names: []string{"r"}, Domains: []Domain{{Name: "a.b"}}, Records: rrs(t, "r.a.b. CNAME c.d.")},
		"apex alias":  {Domains: []Domain{{Name: "a.b"}}, Records: rrs(t, "a.b. CNAME c.d.")},
		"class":       {Records: rrs(t, "a.b. CH TXT x")},
		"soa":         {Records: rrs(t, "a.b. SOA a. b. 1 2 3 4 5")},
		"asterisk":    {Records: rrs(t, "a.*.b. A 1.2.3.4")},
		"asterisks":   {Records: rrs(t, "*.*.b. A 1.2.3.4")},
		"nil address": {Records: []dns.RR{&dns.AAAA{Hdr: dns.RR_Header{Name: "a.b.", Rrtype: dns.TypeAAAA, Class: dns.ClassINET}, AAAA: []byte{1}}}},
		"network":     {Networks: []netip.Prefix{{}}},
		"nat64":       {NAT64: netip.MustParsePrefix("64:ff9b::/97")},
		"nat64 v4":    {NAT64: netip.MustParsePrefix("10.0.0.0/32")},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestReverseZones(t *testing.T) {
	for p, want := range map[string]string{
		"10.0.0.0/8":      "10.in-addr.arpa.",
		"10.0.4.0/23":     "4.0.10.in-addr.arpa. 5.0.10.in-addr.arpa.",
		"10.0.0.64/30":    "64.0.0.10.in-addr.arpa. 65.0.0.10.in-addr.arpa. 66.0.0.10.in-addr.arpa. 67.0.0.10.in-addr.arpa.",
		"10.0.0.1/32":     "1.0.0.10.in-addr.arpa.",
		"0.0.0.0/0":       "in-addr.arpa.",
		"::/0":            "ip6.arpa.",
		"fe80::/10":       "8.e.f.ip6.arpa. 9.e.f.ip6.arpa. a.e.f.ip6.arpa. b.e.f.ip6.arpa.",
		"fd00:1:2:3::/63": "2.0.0.0.2.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa. 3.0.0.0.2.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa.",
	} {
		if got := strings.Join(ReverseZones(netip.MustParsePrefix(p)), " "); got != want {
			t.Errorf("%s: %s, want %s", p, got, want)
		}
	}
	if n := len(ReverseZones(netip.MustParsePrefix("172.16.0.0/12"))); n != 16 {
		t.Error(n)
	}
	// Every zone of a prefix reads back as a part of it.
	for _, p := range []string{"10.1.0.0/9", "192.0.2.128/25", "2001:db8::/29", "fd00::/127"} {
		want := netip.MustParsePrefix(p).Masked()
		for _, z := range ReverseZones(want) {
			r, ok := parseReverse(z)
			if !ok || r.below || !want.Contains(r.prefix.Addr()) || r.prefix.Bits() < want.Bits() {
				t.Errorf("%s: %s is %v", p, z, r)
			}
		}
	}
}

func TestRoutes(t *testing.T) {
	r, err := NewRoutes(map[string]Group{"example.": "a", "Sub.Example": "b", "x.sub.example": Default, "none.example": Never, "10.in-addr.arpa": "r"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"example.": "a true", "www.example.": "a true", "notexample.": " false", "sub.example.": "b true", "a.b.c.d.sub.example.": "b true",
		"q.x.sub.example.": " true", "no.none.example.": "# true", "other.": " false", ".": " false", "5.10.in-addr.arpa.": "r true",
		`w\.example.`: " false", `w\.sub.example.`: "a true",
	} {
		g, ok := r.Route(name)
		if got := fmt.Sprintf("%s %v", g, ok); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if g, ok := (*Routes)(nil).Route("a."); g != Default || ok {
		t.Error("nil routes")
	}
	root, _ := NewRoutes(map[string]Group{".": "all", "a.": "x"})
	if g, _ := root.Route("q.b."); g != "all" {
		t.Error(g)
	}
	if g, _ := root.Route("."); g != "all" {
		t.Error(g)
	}
	for _, bad := range []map[string]Group{{"a..b": "x"}, {"": "x"}, {"a.": "x", "A": "y"}, {strings.Repeat("a", 64) + ".b": "x"}} {
		if _, err := NewRoutes(bad); err == nil {
			t.Errorf("%v: no error", bad)
		}
	}
}

func TestRebinds(t *testing.T) {
	ok, err := NewRoutes(map[string]Group{"plex.direct": Default})
	if err != nil {
		t.Fatal(err)
	}
	r := &Rebind{Exempt: ok, NAT64: nets("2001:67c:27e4::/96", "2001:67c:27e5::/48")}
	for line, want := range map[string]bool{
		"a. A 10.1.2.3": true, "a. A 172.31.0.1": true, "a. A 172.32.0.1": false, "a. A 192.168.0.1": true, "a. A 169.254.1.1": true,
		"a. A 127.0.0.1": true, "a. A 0.0.0.0": true, "a. A 255.255.255.255": true, "a. A 100.64.0.1": false, "a. A 8.8.8.8": false,
		"a. A 192.0.0.170": false, "a. A 203.0.113.1": true,
		"a. AAAA ::": true, "a. AAAA ::1": true, "a. AAAA fd00::1": true, "a. AAAA fe80::1": true, "a. AAAA fec0::1": true, "a. AAAA 2600::1": false,
		"a. AAAA ::ffff:10.0.0.1": true, "a. AAAA ::ffff:8.8.8.8": false, "a. AAAA ::10.0.0.1": true, "a. AAAA ::ffff:0:10.0.0.1": true,
		"a. AAAA 64:ff9b::10.0.0.1": true, "a. AAAA 64:ff9b::8.8.8.8": false, "a. AAAA 64:ff9b:1::10.0.0.1": true,
		"a. AAAA 2002:a00:1::1": true, "a. AAAA 2002:808:808::1": false,
		"a. AAAA 2001:67c:27e4::10.0.0.1": true, "a. AAAA 2001:67c:27e4::8.8.8.8": false, "a. AAAA 2001:67c:27e5:a00:0:100::": true,
		"a. HTTPS 1 . ipv4hint=8.8.8.8,10.0.0.1": true, "a. HTTPS 1 . ipv4hint=8.8.8.8": false, "a. SVCB 1 . ipv6hint=fd00::1": true,
		"a. TXT 10.0.0.1": false, "a. CNAME localhost.": false,
	} {
		if got := r.Rebinds(rrs(t, line)[0]); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
	mapped := &dns.HTTPS{SVCB: dns.SVCB{Value: []dns.SVCBKeyValue{&dns.SVCBIPv6Hint{Hint: []net.IP{net.ParseIP("::ffff:192.168.1.1")}}}}}
	if !r.Rebinds(mapped) {
		t.Error("a mapped address in a hint")
	}
	lax := &Rebind{LocalhostOK: true}
	for line, want := range map[string]bool{"a. A 127.0.0.1": false, "a. AAAA ::1": false, "a. AAAA ::ffff:127.0.0.1": false, "a. A 10.0.0.1": true, "a. A 0.0.0.0": true} {
		if got := lax.Rebinds(rrs(t, line)[0]); got != want {
			t.Errorf("localhost allowed: %s: %v", line, got)
		}
	}
	for name, want := range map[string]bool{"a.plex.direct.": true, "plex.direct.": true, "direct.": false, "ipv4only.arpa.": true} {
		if r.Allowed(name) != want {
			t.Error(name)
		}
	}
}

// FuzzLookup: whatever is asked, the answer has the asked name as owner of its first record, packs, denies only with
// an SOA that is at or above the name, and never denies a name that has data of another type.
func FuzzLookup(f *testing.F) {
	for _, s := range []string{"alpha.lab.lan.", "a\\.b.lab.lan.", "x.apps.lab.lan.", "1.0.0.10.in-addr.arpa.", "_x.64.2.0.192.in-addr.arpa.", "d.f.ip6.arpa.", ".", "\\000.lab.lan.", "loop1.lab.lan."} {
		f.Add(s, uint16(1))
		f.Add(s, uint16(28))
		f.Add(s, uint16(12))
		f.Add(s, uint16(255))
	}
	z := mustNew(f, lab(f))
	v := &View{Own: addrs("10.0.0.1", "fd00:1::1")}
	f.Fuzz(func(t *testing.T, name string, qtype uint16) {
		// Only what the codec may give us.
		var m dns.Msg
		m.SetQuestion(dns.CanonicalName(name), qtype)
		wire, err := m.Pack()
		if err != nil || m.Unpack(wire) != nil {
			return
		}
		name = dns.CanonicalName(m.Question[0].Name)
		a, ok := z.Lookup(Question{Name: name, Type: qtype, Class: dns.ClassINET}, v)
		if !ok {
			return
		}
		if len(a.Answer) > 0 && a.Answer[0].Header().Name != name {
			t.Fatalf("%s: first owner is %s", name, a.Answer[0].Header().Name)
		}
		r := dns.Msg{Question: m.Question, Answer: a.Answer, Ns: a.Authority}
		if _, err := r.Pack(); err != nil {
			t.Fatal(err)
		}
		last := name
		for _, rr := range a.Answer {
			if c, ok := rr.(*dns.CNAME); ok {
				last = c.Target
			}
		}
		for _, rr := range a.Authority {
			if !dns.IsSubDomain(rr.Header().Name, last) {
				t.Fatalf("%s: SOA of %s", last, rr.Header().Name)
			}
		}
		if a.Kind == NXDomain {
			if len(a.Authority) != 1 {
				t.Fatal("denied without an SOA")
			}
			for _, other := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypePTR, dns.TypeTXT} {
				if b, ok := z.Lookup(Question{Name: name, Type: other, Class: dns.ClassINET}, v); ok && b.Kind == Local {
					t.Fatalf("%s does not exist as %d and exists as %d", name, qtype, other)
				}
			}
		}
	})
}

func BenchmarkLease(b *testing.B) {
	z := mustNew(b, lab(b))
	v := &View{}
	b.ReportAllocs()
	for b.Loop() {
		if a, ok := z.Lookup(Question{Name: "alpha.lab.lan.", Type: dns.TypeA, Class: dns.ClassINET}, v); !ok || len(a.Answer) != 1 {
			b.Fatal(a)
		}
	}
}

func BenchmarkPTR(b *testing.B) {
	z := mustNew(b, lab(b))
	v := &View{}
	b.ReportAllocs()
	for b.Loop() {
		if a, ok := z.Lookup(Question{Name: "0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa.", Type: dns.TypePTR, Class: dns.ClassINET}, v); !ok || len(a.Answer) != 1 {
			b.Fatal(a)
		}
	}
}

func BenchmarkNotOurs(b *testing.B) {
	z := mustNew(b, lab(b))
	v := &View{}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := z.Lookup(Question{Name: "www.cdn.example.org.", Type: dns.TypeA, Class: dns.ClassINET}, v); ok {
			b.Fatal("ours")
		}
	}
}

func manyRoutes(n int) map[string]Group {
	m := make(map[string]Group, n)
	for i := range n {
		m[fmt.Sprintf("host%d.sub%d.example%d.org", i, i%1000, i%77)] = "g"
	}
	return m
}

func BenchmarkRoute(b *testing.B) {
	r, err := NewRoutes(manyRoutes(200_000))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := r.Route("a.b.host199.sub199.example45.org."); !ok {
			b.Fatal("not found")
		}
		if _, ok := r.Route("www.nowhere.example.com."); ok {
			b.Fatal("found")
		}
	}
}

func BenchmarkNewRoutes(b *testing.B) {
	m := manyRoutes(100_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewRoutes(m); err != nil {
			b.Fatal(err)
		}
	}
}
