package policy

import (
	"cmp"
	"net/netip"
	"slices"
	"sort"

	"github.com/provision-net/provision/provision/facts"
)

// survey is what facts say, sorted by link. Machines have a thousand NICs.
type survey struct {
	Input
	addrs     map[int][]facts.Address
	routes    map[int][]facts.Route // unicast, not ours; of a multipath route each hop under its link
	prefixes  map[netip.Prefix]int  // IPv6 networks of addresses: the link, or -1 for several
	insideNow map[int][]netip.Prefix
}

func (in Input) survey() *survey {
	s := &survey{Input: in, addrs: map[int][]facts.Address{}, routes: map[int][]facts.Route{}, prefixes: map[netip.Prefix]int{}, insideNow: map[int][]netip.Prefix{}}
	for _, a := range in.Facts.Addrs {
		s.addrs[a.Link] = append(s.addrs[a.Link], a)
		if p := a.Prefix.Masked(); p.Addr().Is6() && !p.Addr().IsLinkLocalUnicast() {
			if l, ok := s.prefixes[p]; ok && l != a.Link {
				s.prefixes[p] = -1
			} else {
				s.prefixes[p] = a.Link
			}
		}
	}
	for _, r := range in.Facts.Routes {
		if r.Type != "unicast" || r.Proto == facts.ProtoOurs {
			continue
		}
		for _, h := range append([]facts.Hop{{Gateway: r.Gateway, Link: r.Link}}, r.Hops...) {
			if h.Link != 0 {
				r.Gateway, r.Link = h.Gateway, h.Link
				s.routes[h.Link] = append(s.routes[h.Link], r)
			}
		}
	}
	return s
}

// best is the index of the link with the best default route of the main table, without those that
// this program makes; 0 without any.
func (in *survey) best(family int) int {
	var found []facts.Route
	for _, r := range in.Facts.Routes {
		if r.Default() && r.Table == tableMain && r.Type == "unicast" && r.Proto != facts.ProtoOurs && familyOf(r.Dst.Addr()) == family {
			found = append(found, r)
		}
	}
	if len(found) == 0 {
		return 0
	}
	r := slices.MinFunc(found, compareDefaults)
	if r.Link == 0 && len(r.Hops) > 0 {
		return r.Hops[0].Link
	}
	return r.Link
}

func compareDefaults(a, b facts.Route) int {
	pref := map[string]int{"high": 0, "": 1, "medium": 1, "low": 2}
	return cmp.Or(cmp.Compare(a.Metric, b.Metric), cmp.Compare(pref[a.Pref], pref[b.Pref]))
}

// ownDefault is the NIC's best default route: that of the main table, and of a NIC that was asked
// for by name also one of somebody else's table.
func (in *survey) ownDefault(index, family int, anywhere bool) (facts.Route, bool) {
	var found, others []facts.Route
	for _, r := range in.routes[index] {
		switch {
		case !r.Default() || familyOf(r.Dst.Addr()) != family:
		case r.Table == tableMain:
			found = append(found, r)
		default:
			others = append(others, r)
		}
	}
	if len(found) == 0 && anywhere {
		found = others
	}
	if len(found) == 0 {
		return facts.Route{}, false
	}
	return slices.MinFunc(found, compareDefaults), true
}

// source is what replies of a NIC come from.
type source struct {
	prefix netip.Prefix
	// network: the prefix is more than an address, so only what this machine itself sends is meant.
	network bool
}

// sources are the addresses of a NIC. For IPv6 it is the network on the link, because addresses in
// it come and go by the day (RFC 8981), unless another NIC has an address in it too.
func (in *survey) sources(index, family int) []source {
	var out []source
	for _, a := range in.addrs[index] {
		p := a.Prefix
		if familyOf(p.Addr()) != family || a.Scope != "global" {
			continue
		}
		s := source{prefix: netip.PrefixFrom(p.Addr(), p.Addr().BitLen())}
		if family == 6 && !p.IsSingleIP() && !in.shared(index, p.Masked()) {
			s = source{p.Masked(), true}
		} else if a.Temporary {
			continue
		}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		return cmp.Or(a.prefix.Addr().Compare(b.prefix.Addr()), cmp.Compare(a.prefix.Bits(), b.prefix.Bits())) < 0
	})
	return out
}

// shared reports whether another link has an address in p too.
func (in *survey) shared(index int, p netip.Prefix) bool {
	for other, link := range in.prefixes {
		if link != index && p.Overlaps(other) {
			return true
		}
	}
	return false
}

// connected are the networks on a link.
func (in *survey) connected(index, family int) []netip.Prefix {
	var out []netip.Prefix
	add := func(p netip.Prefix) {
		p = p.Masked()
		if p.Bits() > 0 && !p.Addr().IsLinkLocalUnicast() && !p.Addr().IsMulticast() && familyOf(p.Addr()) == family && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	for _, a := range in.addrs[index] {
		if a.Scope == "global" && !a.Prefix.IsSingleIP() && !a.NoPrefix {
			add(a.Prefix)
		}
	}
	for _, r := range in.routes[index] {
		if r.Table == tableMain && !r.Gateway.IsValid() {
			add(r.Dst)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits())) < 0
	})
	return out
}

// inside are the networks of links without a way out: containers, virtual machines, gadgets, tunnels.
func (in *survey) inside(family int) []netip.Prefix {
	if out, ok := in.insideNow[family]; ok {
		return out
	}
	var out []netip.Prefix
	for _, l := range in.Facts.Links {
		if l.ARPHRD == loopbackType {
			continue
		}
		if _, ok := in.ownDefault(l.Index, family, true); !ok {
			out = append(out, in.connected(l.Index, family)...)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits())) < 0
	})
	in.insideNow[family] = slices.Compact(out)
	return in.insideNow[family]
}
