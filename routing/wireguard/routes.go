package wireguard

import (
	"net/netip"
	"slices"
	"sort"
)

// missing are the prefixes, sorted and each once, that need a route of their own: neither default
// routes, which lanes have, nor what lies within the networks of the interface, which the kernel routes
// with the address.
func missing(list, own []netip.Prefix) []netip.Prefix {
	out := make([]netip.Prefix, 0, len(list))
	for _, p := range list {
		if p.Bits() > 0 && !slices.ContainsFunc(own, func(o netip.Prefix) bool { return o.Bits() <= p.Bits() && o.Contains(p.Addr()) }) {
			out = append(out, p)
		}
	}
	sort.Slice(out, func(a, b int) bool { return less(out[a], out[b]) })
	return slices.Compact(out)
}

func less(a, b netip.Prefix) bool {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c < 0
	}
	return a.Bits() < b.Bits()
}
