package ra

import (
	"net/netip"

	"github.com/provision-net/provision/dnsdhcp/link"
)

// Self is our IPv6 address on a link that hosts are told for services of ours: a unique local one outlives the
// provider's prefixes, a global one the link's scope, and a link-local one is nearly always there. It is not valid where
// there is none.
func Self(l link.Link) netip.Addr {
	rank := func(ip netip.Addr) int {
		switch {
		case ip.IsPrivate():
			return 0
		case ip.IsGlobalUnicast():
			return 1
		}
		return 2
	}
	var best netip.Addr
	for _, a := range l.Addrs {
		ip := a.Prefix.Addr()
		if !ip.Is6() || ip.Is4In6() || a.Tentative || a.Temporary || a.Deprecated || !ip.IsGlobalUnicast() && !ip.IsLinkLocalUnicast() {
			continue
		}
		if !best.IsValid() || rank(ip) < rank(best) || rank(ip) == rank(best) && ip.Less(best) {
			best = ip
		}
	}
	return best
}
