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

// table is where the route to dst of a device's allowed-ips is, and whether there is one of its own. By
// which everything leaves, the two halves of everything need none. What its own peers are called in goes
// into its table, in which its own packets do not look; the main table (0) is before that.
func (p *planner) table(name string, i Interface, dst netip.Prefix) (table uint32, wanted bool) {
	lane := p.Tables[name]
	switch {
	case lane == 0:
		return 0, true
	case dst.Bits() == 1 && i.everything(familyOf(dst)):
		return 0, false
	case slices.ContainsFunc(p.calls, func(x call) bool { return x.device == name && dst.Contains(x.to) }):
		return lane, true
	}
	return 0, true
}

func less(a, b netip.Prefix) bool {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c < 0
	}
	return a.Bits() < b.Bits()
}
