package wireguard

import (
	"net/netip"
	"slices"
	"sort"
)

// Proxy is a LAN on which this machine answers for peers: questions of ARP and of neighbour discovery.
type Proxy struct {
	Device    string // the tunnel
	Interface string
	Addresses []netip.Addr
}

// lan has the machine answer on the LAN for the peers that have an address in its networks. Nobody there
// asks for others: those are sent to a router.
func (p *planner) lan(name string, i Interface) {
	if i.LANAccess == "" {
		return
	}
	at := name + ".lan-access"
	l, ok := p.Facts.LinkByName(i.LANAccess)
	if !ok {
		p.note("warning", at, "there is no %s now: peers are answered for when it is there at the next apply", i.LANAccess)
		return
	}
	var nets []netip.Prefix
	for _, a := range p.Facts.Addrs {
		if a.Link == l.Index && !a.Prefix.IsSingleIP() && !a.Prefix.Addr().IsLinkLocalUnicast() {
			nets = append(nets, a.Prefix.Masked())
		}
	}
	var list []netip.Addr
	for _, peer := range i.Peers {
		for _, text := range peer.AllowedIPs {
			a, why := ParseAllowed(text)
			if why == "" && a.IsSingleIP() && slices.ContainsFunc(nets, func(n netip.Prefix) bool { return n.Contains(a.Addr()) }) {
				list = append(list, a.Addr())
			}
		}
	}
	if len(list) == 0 {
		p.note("warning", at, "no peer has an address in the networks of %s %v, and for others nobody asks there: give peers such addresses, outside of what its DHCP server gives out", i.LANAccess, nets)
		return
	}
	sort.Slice(list, func(a, b int) bool { return list[a].Less(list[b]) })
	p.r.Proxies = append(p.r.Proxies, Proxy{name, i.LANAccess, slices.Compact(list)})
}
