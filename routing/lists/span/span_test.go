package span

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func set(t testing.TB, words ...string) Set {
	t.Helper()
	var b Builder
	for _, w := range words {
		var err error
		if p, e := netip.ParsePrefix(w); e == nil {
			err = b.AddPrefix(p)
		} else {
			i := slices.Index([]byte(w), '-')
			err = b.Add(netip.MustParseAddr(w[:i]), netip.MustParseAddr(w[i+1:]))
		}
		if err != nil {
			t.Fatal(w, err)
		}
	}
	return b.Set()
}

func texts(ps []netip.Prefix) []string {
	out := []string{}
	for _, p := range ps {
		out = append(out, p.String())
	}
	return out
}

func TestPrefixes(t *testing.T) {
	for _, c := range []struct{ in, want []string }{
		{[]string{"27.0.0.0-27.0.5.255"}, []string{"27.0.0.0/22", "27.0.4.0/23"}}, // 1536 addresses
		{[]string{"0.0.0.0-255.255.255.255"}, []string{"0.0.0.0/0"}},
		{[]string{"0.0.0.0-255.255.255.254"}, nil},
		{[]string{"255.255.255.255-255.255.255.255"}, []string{"255.255.255.255/32"}},
		{[]string{"::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}, []string{"::/0"}},
		{[]string{"2001:db8::-2001:db8:0:2:ffff:ffff:ffff:ffff"}, []string{"2001:db8::/63", "2001:db8:0:2::/64"}},
		{[]string{"10.0.0.0/25", "10.0.0.128/25", "10.0.1.0/24"}, []string{"10.0.0.0/23"}},
		{[]string{"10.0.0.0/8", "10.1.0.0/16", "9.255.255.255-10.0.0.0"}, []string{"9.255.255.255/32", "10.0.0.0/8"}},
		{[]string{"::1-::2"}, []string{"::1/128", "::2/128"}},
	} {
		s := set(t, c.in...)
		got := texts(s.Prefixes())
		if c.want != nil && !slices.Equal(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.in, got, c.want)
		}
		back, err := Of(s.Prefixes()...)
		if err != nil || !Equal(back, s) {
			t.Errorf("%v: the prefixes are another set: %v", c.in, err)
		}
	}
}

func TestRefused(t *testing.T) {
	var b Builder
	a4, a6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for _, r := range []Range{{a4, a6}, {a4.Next(), a4}, {netip.Addr{}, a4}, {a6.WithZone("x"), a6}} {
		if err := b.Add(r.From, r.To); err == nil {
			t.Errorf("%v was taken", r)
		}
	}
	if err := b.AddPrefix(netip.Prefix{}); err == nil || !b.Set().Empty() {
		t.Error("a prefix that is none was taken")
	}
}

func TestCounts(t *testing.T) {
	s := set(t, "27.0.0.0-27.0.5.255", "2001:db8::/62", "2001:db8:0:8::5-2001:db8:0:8::9", "2001:db8:0:8::b-2001:db8:0:9::")
	if s.Count4() != 1536 || s.Count6() != 6 || s.Runs(4) != 1 || s.Runs(6) != 3 {
		t.Error(s.Count4(), s.Count6(), s.Runs(4), s.Runs(6))
	}
	if a := All(); a.Count4() != 1<<32 || a.Count6() != 1<<64-1 || !a.Complement().Empty() {
		t.Error("all is not all")
	}
}

// TestAlgebra compares with sets of numbers, in a corner of the address space that is small and in one that
// is the end of it.
func TestAlgebra(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, base := range []string{"10.0.0.0", "255.255.255.192", "0.0.0.0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffc0", "2001:db8::ffff:ffff:ffff:ffe0", "::"} {
		start := netip.MustParseAddr(base)
		at := func(n int) netip.Addr {
			a := start
			for range n {
				a = a.Next()
			}
			return a
		}
		for range 300 {
			build := func() (Set, [64]bool) {
				var b Builder
				var in [64]bool
				for range r.IntN(6) {
					from := r.IntN(64)
					to := from + r.IntN(64-from)
					if err := b.Add(at(from), at(to)); err != nil {
						t.Fatal(err)
					}
					for i := from; i <= to; i++ {
						in[i] = true
					}
				}
				return b.Set(), in
			}
			a, ina := build()
			b, inb := build()
			u, x, m, c := Union(a, b), Intersect(a, b), a.Minus(b), a.Complement()
			for i := range 64 {
				p := at(i)
				if a.Has(p) != ina[i] || u.Has(p) != (ina[i] || inb[i]) || x.Has(p) != (ina[i] && inb[i]) || m.Has(p) != (ina[i] && !inb[i]) || c.Has(p) == ina[i] {
					t.Fatalf("%s: %v and %v", p, a.Prefixes(), b.Prefixes())
				}
			}
			for _, family := range []int{4, 6} {
				rs := u.Ranges(family)
				for i := 1; i < len(rs); i++ {
					if !rs[i-1].To.Next().Less(rs[i].From) {
						t.Fatalf("%v and %v touch", rs[i-1], rs[i])
					}
				}
			}
			if !Equal(c.Complement(), a) || !Equal(Intersect(a, c), Set{}) || !Equal(Union(a, c), All()) {
				t.Fatal("a complement is none", a.Prefixes())
			}
			if back, err := Of(a.Prefixes()...); err != nil || !Equal(back, a) {
				t.Fatal(err, a.Prefixes())
			}
		}
	}
}

func BenchmarkWorld(b *testing.B) {
	r := rand.New(rand.NewPCG(3, 4))
	const n = 250000
	var rs []run[v4]
	for range n {
		from := v4(r.Uint32())
		rs = append(rs, run[v4]{from, from | v4(r.IntN(4096))})
	}
	b.ReportAllocs()
	for b.Loop() {
		build := Builder{Set{four: slices.Clone(rs)}}
		s := build.Set()
		if s.Complement().Runs(4) < 1000 {
			b.Fatal("too few")
		}
	}
}
