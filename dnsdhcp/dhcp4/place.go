package dhcp4

import (
	"net/netip"
	"slices"

	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
	"github.com/provision-net/provision/dnsdhcp/link"
)

// network finds the network that the packet is about, and who we are in it.
func (x *exchange) network(kind uint8) bool {
	p, l := &x.p, x.in.Link
	about := p.CIAddr
	if about.IsUnspecified() {
		if a, ok := p.Addr(wire.OptRequestedIP); ok {
			about = a
		}
	}
	if !p.GIAddr.IsUnspecified() {
		at := p.GIAddr
		if a := p.Sub(wire.SubLinkSelection); len(a) == 4 {
			at = netip.AddrFrom4([4]byte(a))
		} else if a, ok := p.Addr(wire.OptSubnetSelection); ok {
			at, x.selected = a, true
		}
		x.n = x.r.relayed(l.Name, at)
		if x.n == nil {
			// A relay agent on the link itself, such as an access point that adds option 82.
			if n := x.r.direct(l, at); n != nil && n.Prefix.Contains(at) {
				x.n = n
			}
		}
	} else {
		x.n = x.r.direct(l, about)
		// A client behind a relay agent renews without it, straight from its address to ours.
		if !p.CIAddr.IsUnspecified() && x.in.From.Addr() == p.CIAddr && (x.n == nil || !x.n.Prefix.Contains(p.CIAddr)) {
			if n := x.r.relayed(l.Name, p.CIAddr); n != nil {
				x.n = n
			}
		}
	}
	if x.n == nil {
		x.because(ReasonNoNetwork, "")
		return false
	}
	x.self = x.serverID()
	if !x.self.IsValid() {
		x.because(ReasonNoAddress, "")
		return false
	}
	return true
}

func (r *Rules) relayed(name string, at netip.Addr) *network {
	for i := range r.networks {
		if n := &r.networks[i]; n.Relayed && n.Prefix.Contains(at) && (n.Link == "" || n.onLink(name)) {
			return n
		}
	}
	return nil
}

// direct chooses among the networks of a link: the one that the packet's address is of, else the first that the link has
// an address in, else the first.
func (r *Rules) direct(l *link.Link, about netip.Addr) (first *network) {
	usable := false
	for i := range r.networks {
		n := &r.networks[i]
		if n.Relayed || !n.onLink(l.Name) {
			continue
		}
		here := n.ServerID.IsValid() || own(l, n.Prefix).IsValid()
		if here && n.Prefix.Contains(about) {
			return n
		}
		if first == nil || here && !usable {
			first, usable = n, here
		}
	}
	return first
}

// own returns the link's address inside of a network.
func own(l *link.Link, p netip.Prefix) netip.Addr {
	for i := range l.Addrs {
		if a := l.Addrs[i].Prefix.Addr(); !l.Addrs[i].Tentative && p.Contains(a) {
			return a
		}
	}
	return netip.Addr{}
}

func isOwn(l *link.Link, a netip.Addr) bool {
	for i := range l.Addrs {
		if l.Addrs[i].Prefix.Addr() == a {
			return true
		}
	}
	return false
}

// serverID is what clients shall know us by: an address that they reach us at.
func (x *exchange) serverID() netip.Addr {
	// The relay agent wants renewals to go through it (RFC 5107 section 4).
	if a := x.p.Sub(wire.SubServerIDOverride); len(a) == 4 && !x.p.GIAddr.IsUnspecified() {
		return netip.AddrFrom4([4]byte(a))
	}
	if x.n.ServerID.IsValid() {
		return x.n.ServerID
	}
	if !x.n.Relayed {
		return own(x.in.Link, x.n.Prefix)
	}
	if isOwn(x.in.Link, x.in.To) {
		return x.in.To
	}
	for i := range x.in.Link.Addrs {
		if a := x.in.Link.Addrs[i].Prefix.Addr(); a.Is4() && !x.in.Link.Addrs[i].Tentative {
			return a
		}
	}
	return netip.Addr{}
}

// ours says whether a server identifier means us: any address of the link does, as the first one may have changed.
func (x *exchange) ours(id netip.Addr) bool {
	return id == x.self || id == x.n.ServerID || isOwn(x.in.Link, id)
}

// Networks returns the names of the networks that a link may serve, in order; for status.
func (r *Rules) Networks(linkName string) (names []string) {
	for i := range r.networks {
		if n := &r.networks[i]; n.Link != "" && n.onLink(linkName) || n.Relayed && n.Link == "" {
			names = append(names, n.Name)
		}
	}
	return slices.Clip(names)
}
