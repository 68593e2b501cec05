package wireguard

import (
	"net/netip"
	"slices"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/facts/fib"
)

// Overhead is what WireGuard puts around a packet with IPv6 outside: 40 bytes IPv6, 8 UDP, 32 its own.
// With IPv4 outside it is 20 less.
const Overhead = 80

// MTU where nothing is known: what any path carries IPv6 with (RFC 8200 section 5).
const minMTU = 1280

// mtu is what is written, what somebody measured, what the smallest way to an endpoint leaves, or, where
// peers come to this machine, the smallest way out.
func (p *planner) mtu(name string, i Interface, own []netip.Prefix) int {
	if i.MTU != 0 {
		return int(i.MTU)
	}
	n := p.MTU[name]
	if n == 0 {
		n = p.pathMTU(name, i)
	}
	if n == 0 {
		for _, l := range p.Facts.Links {
			if l.Name == name || l.MTU == 0 || len(p.Facts.Defaults(l.Index, 4)) == 0 && len(p.Facts.Defaults(l.Index, 6)) == 0 {
				continue
			}
			if m := l.MTU - Overhead; n == 0 || m < n {
				n = m
			}
		}
	}
	if n < minMTU && (n == 0 || slices.ContainsFunc(own, func(a netip.Prefix) bool { return a.Addr().Is6() })) {
		return minMTU
	}
	return n
}

// pathMTU is what the smallest way to an endpoint leaves; 0 where that is not known of one of them.
func (p *planner) pathMTU(name string, i Interface) int {
	mark := i.FwMark
	if mark == 0 {
		mark = p.Marks[name]
	}
	least := 0
	for _, peer := range sortedKeys(i.Peers) {
		if i.Peers[peer].Endpoint == "" {
			if i.ListenPort != 0 {
				return 0 // it comes by any way, and as either family
			}
			continue
		}
		host, _, _ := SplitEndpoint(i.Peers[peer].Endpoint, false) // judged before
		list := p.Resolved[host]
		if a, err := netip.ParseAddr(host); err == nil {
			list = []netip.Addr{a}
		}
		if len(list) == 0 {
			return 0
		}
		for _, a := range list {
			m := p.routeMTU(name, a, mark)
			if m < 0 {
				continue // a family that this machine has not
			}
			if m == 0 {
				return 0
			}
			if m -= overhead(a); least == 0 || m < least {
				least = m
			}
		}
	}
	return least
}

// routeMTU is that of the way to a host; 0 where it is not known, less where there is none.
func (p *planner) routeMTU(device string, to netip.Addr, mark uint32) int {
	r := fib.Lookup(p.Facts, fib.Query{Dst: to.Unmap().WithZone(""), Mark: mark})
	if r.Kind != fib.Unicast {
		return -1
	}
	if r.Route.MTU != 0 {
		return int(r.Route.MTU)
	}
	n := 0
	hops := r.Hops
	if len(hops) == 0 {
		hops = []facts.Hop{{Link: r.Link}}
	}
	for _, h := range hops {
		l, ok := p.Facts.LinkByIndex(h.Link)
		if !ok || l.Name == device || l.MTU == 0 {
			return 0
		}
		if n == 0 || l.MTU < n {
			n = l.MTU
		}
	}
	return n
}

func overhead(outside netip.Addr) int {
	if outside.Unmap().Is4() {
		return Overhead - 20
	}
	return Overhead
}
