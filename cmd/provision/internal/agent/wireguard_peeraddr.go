package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/provision-net/provision/routing/wireguard"
	"github.com/provision-net/provision/routing/wireguard/addressing"
)

// next are the first addresses that are nobody's: one of each network of the interface, with the same
// number in all of them.
func (t *tunnels) next(i wireguard.Interface) ([]netip.Prefix, error) {
	used := used(i)
	var nets []netip.Prefix
	for _, text := range i.Addresses {
		if p, err := netip.ParsePrefix(text); err == nil && !p.IsSingleIP() {
			nets = append(nets, p)
		}
	}
	plan := addressing.Of(nets)
	for {
		own, err := plan.Next(used)
		if err != nil {
			return nil, err
		}
		number := uint32(0)
		last := own[len(own)-1].Addr().AsSlice()
		for n, b := range plan.Networks()[len(own)-1].Addr().AsSlice() {
			number = number<<8 | uint32(last[n]^b)
		}
		clash := false
		for _, n := range nets {
			more := addressing.Of([]netip.Prefix{n})
			if slices.Contains(plan.Networks(), n.Masked()) {
				continue
			}
			host, err := more.Host(number)
			if err != nil {
				return nil, err
			}
			a := netip.PrefixFrom(host[0].Addr(), host[0].Addr().BitLen())
			clash = clash || slices.ContainsFunc(used, func(u netip.Prefix) bool { return u.Bits() > 0 && u.Overlaps(a) })
			own = append(own, a)
		}
		if !clash {
			return own, nil
		}
		used = append(used, own...)
	}
}

// used are all addresses that somebody in the tunnel has.
func used(i wireguard.Interface) []netip.Prefix {
	var out []netip.Prefix
	add := func(list []string) {
		for _, text := range list {
			if p, err := netip.ParsePrefix(text); err == nil {
				out = append(out, p)
			} else if a, err := netip.ParseAddr(text); err == nil {
				out = append(out, netip.PrefixFrom(a, a.BitLen()))
			}
		}
	}
	for _, text := range i.Addresses {
		if p, err := netip.ParsePrefix(text); err == nil {
			out = append(out, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
		}
	}
	for _, p := range i.Peers {
		add(p.AllowedIPs)
		if p.Client != nil {
			add(p.Client.Addresses)
		}
	}
	return out
}

// routesOf is what the peer sends by the tunnel; nil is everything.
func (t *tunnels) routesOf(i wireguard.Interface, o WireguardPeer, out *WireguardOutcome) ([]netip.Prefix, error) {
	if len(o.AllowedIPs) > 0 {
		return o.AllowedIPs, nil
	}
	if len(o.Except) > 0 {
		if o.Route != "" && o.Route != PeerFull {
			return nil, UsageError{errors.New("--except leaves something out of everything: it goes with --route full")}
		}
		return addressing.Except(o.Except), nil
	}
	var list []netip.Prefix
	for _, text := range i.Addresses {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			continue
		}
		if o.Route == PeerLAN {
			p = netip.PrefixFrom(p.Addr(), p.Addr().BitLen())
		}
		list = append(list, p.Masked())
	}
	switch o.Route {
	case "", PeerFull:
		return nil, nil
	case PeerSplit, PeerLAN:
	default:
		return nil, UsageError{fmt.Errorf("--route %q is not one of %s, %s, %s", o.Route, PeerFull, PeerSplit, PeerLAN)}
	}
	lans := addressing.LANs(t.facts, t.device)
	switch {
	case len(lans) == 0 && o.Route == PeerLAN:
		return nil, UsageError{errors.New("this machine is in no private network that could be reached: name networks with --allowed-ips")}
	case len(i.Reach) == 0:
		out.note("warning", t.device, "its reach is empty, so peers reach this machine alone: `provision wireguard init %s --reach internet` lets them through", t.device)
	}
	return addressing.Tidy(append(list, lans...)), nil
}
