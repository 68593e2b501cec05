package watch

import (
	"net/netip"
	"slices"

	"github.com/provision-net/provision/provision/facts"
)

// device says which device a table belongs to: that of its connected networks, else that of the
// rules' source addresses. network is the one that the gateway should be in, if known. why says
// what is wrong where it cannot be told.
func (t *Tables) device(s *State, k tableKey, v *view) (l facts.Link, network netip.Prefix, why string) {
	index := 0
	if len(v.networks) > 0 {
		for _, i := range v.networks {
			r := &s.Routes[i]
			switch {
			case index != 0 && index != r.Link:
				return l, network, "its connected networks are on several devices"
			case network.IsValid() && network != r.Dst.Masked():
				network = netip.Prefix{}
			case index == 0:
				network = r.Dst.Masked()
			}
			index = r.Link
		}
		l, _, _ = s.link(index)
		if !fits(t.patterns(), l) {
			return l, network, "its networks are on " + l.Name + ", which is not to be touched"
		}
		return l, network, ""
	}
	if len(v.hosts) > 0 {
		return l, network, "its hosts on the link do not tell which one is the gateway"
	}
	index, why = t.ruled(s, k)
	if why != "" {
		return l, network, why
	}
	l, _, _ = s.link(index)
	return l, networkOf(s, k.family, index), ""
}

// ruled is the device that the rules pointing to the table name (oif), or that has their source
// addresses. All of them have to agree; sources that no device has say nothing.
func (t *Tables) ruled(s *State, k tableKey) (index int, why string) {
	agree := func(i int) bool {
		if index != 0 && index != i {
			return false
		}
		index = i
		return true
	}
	for i := range s.Rules {
		r := &s.Rules[i]
		if r.Family != k.family || r.Table != k.table || r.Action != "lookup" || r.Invert {
			continue
		}
		if r.Oif != "" {
			l, _, ok := s.byName(r.Oif)
			if ok && fits(t.patterns(), l) && !agree(l.Index) {
				return 0, "the rules pointing to it are of several devices"
			}
			continue
		}
		if !r.From.IsValid() || r.From.Bits() == 0 {
			continue
		}
		for _, a := range s.Addrs {
			if a.Scope == "host" || !r.From.Contains(a.Prefix.Addr()) {
				continue
			}
			l, _, ok := s.link(a.Link)
			if !ok || !fits(t.patterns(), l) {
				return 0, "a rule pointing to it is for addresses on a device that is not to be touched"
			}
			if !agree(a.Link) {
				return 0, "the rules pointing to it are for addresses on several devices"
			}
		}
	}
	if index == 0 {
		return 0, "neither it nor the rules say which device it belongs to"
	}
	return index, ""
}

// networkOf is the only network that the device has addresses in.
func networkOf(s *State, fam, index int) (network netip.Prefix) {
	for _, a := range s.Addrs {
		p := a.Prefix.Masked()
		if a.Link != index || family(p.Addr()) != fam || p.IsSingleIP() || p.Addr().IsLinkLocalUnicast() || p == network {
			continue
		}
		if network.IsValid() {
			return netip.Prefix{}
		}
		network = p
	}
	return network
}

// gateway finds the gateway behind a device: that of another default route through it, now or
// seen before, else what the configuration says.
func (t *Tables) gateway(s *State, k tableKey, l facts.Link, network netip.Prefix) (g netip.Addr, from string) {
	fitting := func(a netip.Addr) bool {
		return a.IsValid() && family(a) == k.family && (!network.IsValid() || network.Contains(a) || a.IsLinkLocalUnicast())
	}
	best, other := facts.Route{}, facts.Route{}
	for i := range s.Routes {
		r := &s.Routes[i]
		if !r.Default() || r.Type != "unicast" || r.Link != l.Index || family(r.Dst.Addr()) != k.family || !fitting(r.Gateway) {
			continue
		}
		if r.Table == tableMain {
			if !best.Dst.IsValid() || r.Metric < best.Metric {
				best = *r
			}
		} else if !other.Dst.IsValid() || r.Table < other.Table {
			other = *r
		}
	}
	if best.Dst.IsValid() {
		return best.Gateway, "as in the main table"
	}
	if seen, ok := t.mem.Gateways[gatewayKey(k.family, l.Name)]; ok && seen.MAC == l.MAC && fitting(seen.Addr) {
		return seen.Addr, "as the main table had it"
	}
	if other.Dst.IsValid() {
		return other.Gateway, "as in another table"
	}
	if k.family == 6 {
		return t.Gateway6, "as configured"
	}
	if first := network.Addr().Next(); t.First4 && network.IsValid() && network.Bits() < 31 {
		if !slices.ContainsFunc(s.Addrs, func(a facts.Address) bool { return a.Prefix.Addr() == first }) {
			return first, "the first address of " + network.String()
		}
	}
	return netip.Addr{}, ""
}

// reaches reports whether the kernel will take the gateway: it is in a network that the table, or
// main, has on that device (net/ipv4/fib_semantics.c fib_check_nh, net/ipv6/route.c
// ip6_route_check_nh), or a link-local address.
func reaches(s *State, v *view, k tableKey, index int, gateway netip.Addr) bool {
	if gateway.Is6() && gateway.IsLinkLocalUnicast() {
		return true
	}
	on := func(r *facts.Route) bool {
		return r.Link == index && r.Type == "unicast" && !r.Default() && !r.Gateway.IsValid() && r.Dst.Contains(gateway)
	}
	for i := range s.Routes {
		if r := &s.Routes[i]; (r.Table == tableMain || r.Table == k.table) && on(r) {
			return true
		}
	}
	return false
}
