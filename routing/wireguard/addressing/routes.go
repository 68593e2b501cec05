package addressing

import (
	"net/netip"
	"slices"
	"sort"

	"github.com/provision-net/provision/provision/facts"
)

// Everything is what a full tunnel takes.
func Everything() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
}

// LANs are the networks inside that this machine is in by hardware or bridges: private ones, and on the
// same links the global IPv6 ones, as a peer that shall reach the LAN needs them. Networks of except
// (the tunnel itself) are left out.
func LANs(f *facts.Facts, except string) []netip.Prefix {
	links := map[int]bool{}
	for _, l := range f.Links {
		links[l.Index] = l.Name != except && (l.Kind == "" || l.Kind == "bridge" || l.Kind == "vlan" || l.Kind == "bond" || l.Kind == "veth") && l.ARPHRD == 1 && l.Master == 0
	}
	private := map[int]bool{}
	for _, a := range f.Addrs {
		if links[a.Link] && a.Prefix.Addr().IsPrivate() {
			private[a.Link] = true
		}
	}
	var out []netip.Prefix
	for _, a := range f.Addrs {
		p := a.Prefix.Masked()
		if private[a.Link] && !p.IsSingleIP() && p.Bits() > 0 && a.Scope == "global" && (p.Addr().IsPrivate() || p.Addr().Is6()) {
			out = append(out, p)
		}
	}
	return Tidy(out)
}

// Tidy is list masked, in order, without what lies within another entry.
func Tidy(list []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(list))
	for _, p := range list {
		out = append(out, p.Masked())
	}
	sort.Slice(out, func(a, b int) bool {
		if c := out[a].Addr().Compare(out[b].Addr()); c != 0 {
			return c < 0
		}
		return out[a].Bits() < out[b].Bits()
	})
	n := 0
	for _, p := range out {
		if n == 0 || !out[n-1].Overlaps(p) {
			out[n] = p
			n++
		}
	}
	return out[:n]
}

// Except is all of Everything but holes, exactly and with the fewest prefixes.
func Except(holes []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	holes = Tidy(holes)
	for _, all := range Everything() {
		out = cut(out, all, slices.DeleteFunc(slices.Clone(holes), func(p netip.Prefix) bool { return p.Addr().Is4() != all.Addr().Is4() }))
	}
	return out
}

// cut adds what is left of p without holes, which all lie within it.
func cut(out []netip.Prefix, p netip.Prefix, holes []netip.Prefix) []netip.Prefix {
	switch {
	case len(holes) == 0:
		return append(out, p)
	case holes[0] == p:
		return out
	}
	low := netip.PrefixFrom(p.Addr(), p.Bits()+1)
	n := sort.Search(len(holes), func(i int) bool { return !low.Contains(holes[i].Addr()) })
	b := p.Addr().AsSlice()
	b[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	a, _ := netip.AddrFromSlice(b)
	return cut(cut(out, low, holes[:n]), netip.PrefixFrom(a, p.Bits()+1), holes[n:])
}
