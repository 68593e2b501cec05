package zone

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"
)

// TestCheck: what Check says is what New says.
func TestCheck(t *testing.T) {
	rr := func(text string) dns.RR {
		r, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	wrong := 0
	for _, c := range []Config{
		{},
		{Domains: []Domain{{Name: "lan"}}, Names: []string{"box"}, BogusPriv: true, NoAppDNS: true},
		{Domains: []Domain{{Name: "lan"}, {Name: "LAN."}, {Name: "."}}, Names: []string{"a..b"}},
		{Domains: []Domain{{Name: "10.in-addr.arpa"}}, Inside: []string{"box"}, BogusPriv: true},
		{NAT64: netip.MustParsePrefix("64:ff9b::/33")},
		{Networks: []netip.Prefix{{}, netip.MustParsePrefix("10.0.0.0/8")}},
		{Records: []dns.RR{rr("a.lan. CNAME b.lan."), rr("a.lan. A 10.0.0.1"), rr("localhost. CNAME b.lan."), rr("onion. A 10.0.0.1")}, NoAppDNS: true},
		{Records: []dns.RR{rr("use-application-dns.net. CNAME b.lan."), rr("1.0.0.10.in-addr.arpa. PTR b.lan."), rr("x.*.lan. A 10.0.0.1")}, NoAppDNS: true, BogusPriv: true},
	} {
		_, err := New(c)
		if err != nil {
			wrong++
		}
		if got := Check(c); (got == nil) != (err == nil) || got != nil && got.Error() != err.Error() {
			t.Errorf("%+v: %v, of New %v", c, got, err)
		}
	}
	if wrong < 4 {
		t.Errorf("only %d of them are wrong", wrong)
	}
}
