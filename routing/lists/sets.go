package lists

import (
	"net/netip"

	"github.com/provision-net/provision/routing/lists/plain"
	"github.com/provision-net/provision/routing/lists/span"
)

// never are destinations that no list can capture, whatever it says: what does not leave a link or
// the machine, and what is no destination (RFC 6890).
func never() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
		netip.MustParsePrefix("224.0.0.0/4"), netip.MustParsePrefix("240.0.0.0/4"),
		netip.MustParsePrefix("::/127"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("ff00::/8"),
	}
}

// Sets are the addresses of every list: the copies and what is written down, less what Except names
// and what no list can capture. Copies that were made from something else do not count.
func (c Config) Sets(copies map[string]Copy) map[string]span.Set {
	var b span.Builder
	for _, p := range never() {
		_ = b.AddPrefix(p) // they are good
	}
	no := b.Set()
	whole := map[string]span.Set{}
	for n, l := range c {
		if cp, ok := copies[n]; ok && l.Fetched() && cp.Spec == l.Spec() {
			b.AddSet(cp.Set)
		}
		for _, a := range l.Addresses {
			_ = plain.Entry(&b, a) // Problems has told
		}
		whole[n] = b.Set()
	}
	done := map[string]span.Set{}
	var of func(n string) span.Set
	of = func(n string) span.Set {
		if s, ok := done[n]; ok {
			return s
		}
		s := whole[n]
		done[n] = s // a circle, which Problems refuses, ends here
		for _, e := range c[n].Except {
			s = s.Minus(of(e))
		}
		done[n] = s
		return s
	}
	out := map[string]span.Set{}
	for n := range c {
		out[n] = of(n).Minus(no)
	}
	return out
}
