package zone

import (
	"testing"

	"github.com/miekg/dns"
)

// The name by which the world knows this machine: who asks from inside meets it there, who came in by a
// tunnel gets what the world gets, and nothing but addresses is ours to answer.
func TestInside(t *testing.T) {
	z, err := New(Config{Domains: []Domain{{Name: "lan"}}, Names: []string{"box"}, Inside: []string{"VPN.example.org"}, TTL: 60})
	if err != nil {
		t.Fatal(err)
	}
	home := View{Own: addrs("192.168.1.2", "fe80::1", "fd00:1::2")}
	only4 := View{Own: addrs("192.168.1.2")}
	away := View{Own: addrs("10.97.98.1", "fd00:2::1"), Outside: true}
	for _, tt := range []struct {
		v    View
		name string
		typ  uint16
		want string // -: asked upstream
	}{
		{home, "vpn.example.org.", dns.TypeA, "local; 60 A 192.168.1.2 (own)"},
		{home, "vpn.example.org.", dns.TypeAAAA, "local; 60 AAAA fd00:1::2 (own)"},
		{only4, "vpn.example.org.", dns.TypeAAAA, "nodata; soa vpn.example.org. (own)"},
		{home, "vpn.example.org.", dns.TypeMX, "-"},
		{home, "example.org.", dns.TypeA, "-"},
		{home, "x.vpn.example.org.", dns.TypeA, "-"},
		{away, "vpn.example.org.", dns.TypeA, "-"},
		{away, "vpn.example.org.", dns.TypeAAAA, "-"},
		{away, "box.", dns.TypeA, "local; 60 A 10.97.98.1 (own)"},
	} {
		a, ours := z.Lookup(Question{Name: tt.name, Type: tt.typ, Class: dns.ClassINET}, &tt.v)
		if got := show(a, ours); got != tt.want {
			t.Errorf("%s %s, outside %v: %q, want %q", tt.name, dns.TypeToString[tt.typ], tt.v.Outside, got, tt.want)
		}
	}
	if _, err := New(Config{Inside: []string{"box"}}); err == nil {
		t.Error("a name without a dot is taken")
	}
}
