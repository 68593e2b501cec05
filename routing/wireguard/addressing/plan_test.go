package addressing

import (
	"bytes"
	"crypto/rand"
	"errors"
	mrand "math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/facts"
)

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestULA(t *testing.T) {
	p, err := ULA(bytes.NewReader([]byte{0x12, 0x34, 0x56, 0x78, 0x9a}))
	if err != nil || p.String() != "fd12:3456:789a::/48" {
		t.Fatal(p, err)
	}
	if s := Subnet(p, 1); s.String() != "fd12:3456:789a:1::/64" {
		t.Error(s)
	}
	if s := Subnet(p, 0xfffe); s.String() != "fd12:3456:789a:fffe::/64" {
		t.Error(s)
	}
	if _, err := ULA(bytes.NewReader([]byte{1, 2})); err == nil {
		t.Error("two bytes are enough")
	}
	// All 40 bits come from the source.
	var and, or [5]byte
	for i := range and {
		and[i] = 0xff
	}
	for range 200 {
		p, err := ULA(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		b := p.Addr().As16()
		if b[0] != 0xfd || !p.Addr().IsPrivate() {
			t.Fatal(p)
		}
		for i := range and {
			and[i] &= b[i+1]
			or[i] |= b[i+1]
		}
	}
	if and != [5]byte{} || or != [5]byte{0xff, 0xff, 0xff, 0xff, 0xff} {
		t.Errorf("bits that never change: %x %x", and, or)
	}
}

func TestDraw4(t *testing.T) {
	// 10.8.0, 10.0.2 and the taken one are passed over.
	p, err := Draw4(bytes.NewReader([]byte{8, 0, 0, 2, 97, 98, 97, 99}), prefixes("10.97.98.128/25"))
	if err != nil || p.String() != "10.97.99.0/24" {
		t.Fatal(p, err)
	}
	if _, err := Draw4(rand.Reader, prefixes("10.0.0.0/8")); err == nil || !strings.Contains(err.Error(), "name one") {
		t.Error(err)
	}
	if _, err := Draw4(bytes.NewReader(nil), nil); err == nil {
		t.Error("no bytes are enough")
	}
}

func TestNext(t *testing.T) {
	p := Of(prefixes("10.97.98.1/24", "10.1.1.1/24", "fd12:3456:789a:1::1/64"))
	for _, tt := range []struct {
		used []netip.Prefix
		want string
	}{
		{nil, "10.97.98.2/32 fd12:3456:789a:1::2/128"},
		{prefixes("10.97.98.2/32", "fd12:3456:789a:1::3/128", "0.0.0.0/0", "::/0"), "10.97.98.4/32 fd12:3456:789a:1::4/128"},
		{prefixes("10.97.98.0/28"), "10.97.98.16/32 fd12:3456:789a:1::10/128"},
	} {
		got, err := p.Next(tt.used)
		if err != nil || joined(got) != tt.want {
			t.Errorf("%v: %v %v", tt.used, got, err)
		}
	}
	if _, err := p.Next(prefixes("10.97.98.0/24")); err == nil || !strings.Contains(err.Error(), "full") {
		t.Error(err)
	}
	var used []netip.Prefix
	for n := 0; ; n++ {
		a, err := p.Next(used)
		if err != nil {
			if n != 253 {
				t.Errorf("%d peers fit", n)
			}
			break
		}
		used = append(used, a...)
	}
	if _, err := (Plan{}).Next(nil); err == nil {
		t.Error("nothing has addresses")
	}
	if a, err := (Plan{V6: netip.MustParsePrefix("2001:db8::/127")}).Host(1); err != nil || joined(a) != "2001:db8::1/127" {
		t.Error(a, err)
	}
	if a, err := (Plan{V4: netip.MustParsePrefix("192.0.2.4/31")}).Host(1); err != nil || joined(a) != "192.0.2.5/31" {
		t.Error(a, err)
	}
	if _, err := (Plan{V4: netip.MustParsePrefix("192.0.2.4/32")}).Host(1); err == nil {
		t.Error("a single address has another one")
	}
}

func joined(list []netip.Prefix) string {
	var s []string
	for _, p := range list {
		s = append(s, p.String())
	}
	return strings.Join(s, " ")
}

func TestExcept(t *testing.T) {
	if got := joined(Except(nil)); got != "0.0.0.0/0 ::/0" {
		t.Error(got)
	}
	if got := Except(prefixes("192.168.1.0/24", "::/0")); len(got) != 24 || slices.ContainsFunc(got, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		t.Error(got)
	}
	if got := joined(Except(prefixes("0.0.0.0/1", "128.0.0.0/2", "8000::/1"))); got != "192.0.0.0/2 ::/1" {
		t.Error(got)
	}
	// Every address is either in a hole or in exactly one of the rest.
	r := mrand.New(mrand.NewPCG(1, 2))
	for range 200 {
		var holes []netip.Prefix
		for range r.IntN(6) {
			p, _ := netip.AddrFrom4([4]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())}).Prefix(r.IntN(33))
			holes = append(holes, p)
		}
		rest := Except(holes)
		for range 200 {
			a := netip.AddrFrom4([4]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32())})
			if r.IntN(2) == 0 && len(holes) > 0 {
				a = holes[r.IntN(len(holes))].Addr()
			}
			has := func(p netip.Prefix) bool { return p.Contains(a) }
			n := 0
			for _, p := range rest {
				if p.Contains(a) {
					n++
				}
			}
			if hole := slices.ContainsFunc(holes, has); hole && n != 0 || !hole && n != 1 {
				t.Fatalf("%s without %s is in %d of %s", a, joined(holes), n, joined(rest))
			}
		}
	}
}

func TestLANs(t *testing.T) {
	f := &facts.Facts{
		Links: []facts.Link{{Index: 1, Name: "lo", ARPHRD: 772}, {Index: 2, Name: "eth0", ARPHRD: 1}, {Index: 3, Name: "eth1", ARPHRD: 1}, {Index: 4, Name: "wg0", ARPHRD: 65534, Kind: "wireguard"}},
		Addrs: []facts.Address{
			{Link: 1, Prefix: netip.MustParsePrefix("127.0.0.1/8"), Scope: "host"},
			{Link: 2, Prefix: netip.MustParsePrefix("203.0.113.5/24"), Scope: "global"},
			{Link: 2, Prefix: netip.MustParsePrefix("2001:db8:ffff::5/64"), Scope: "global"},
			{Link: 3, Prefix: netip.MustParsePrefix("192.168.7.1/24"), Scope: "global"},
			{Link: 3, Prefix: netip.MustParsePrefix("2001:db8:1::1/64"), Scope: "global"},
			{Link: 3, Prefix: netip.MustParsePrefix("fe80::1/64"), Scope: "link"},
			{Link: 4, Prefix: netip.MustParsePrefix("10.97.98.1/24"), Scope: "global"},
		},
		Routes: []facts.Route{{Dst: netip.MustParsePrefix("0.0.0.0/0")}, {Dst: netip.MustParsePrefix("10.0.0.0/8")}, {Dst: netip.MustParsePrefix("10.50.0.0/16")}},
	}
	if got := joined(LANs(f, "wg0")); got != "192.168.7.0/24 2001:db8:1::/64" {
		t.Error(got)
	}
	taken := Taken(f)
	if c := (Plan{V4: netip.MustParsePrefix("10.50.7.0/24")}).Clash(taken); c.String() != "10.50.0.0/16" {
		t.Error(c)
	}
	if c := (Plan{V4: netip.MustParsePrefix("10.51.7.0/24")}).Clash(taken); c.IsValid() {
		t.Error(c)
	}
	if p, err := Draw(rand.Reader, taken); err != nil || p.V4.Bits() != 24 || p.V6.Bits() != 64 || p.Clash(taken).IsValid() {
		t.Error(p, err)
	}
	if _, err := Draw(errReader{}, taken); err == nil {
		t.Error("no error")
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("none") }
