package watch

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/provision-net/provision/provision/facts"
)

// ProxyJob makes the machine answer for addresses on an interface: hosts that are reached through
// another one (a tunnel, a point-to-point link) look to the LAN as if they were on it. That is
// set on the LAN's interface, for there the question is asked; on a tunnel, which has no ARP, it
// does nothing, and on "all" the machine would answer everywhere for every address that it can
// reach.
type ProxyJob struct{ Links []ProxyLink }

// ProxyLink is one LAN interface.
type ProxyLink struct {
	Interface string // name, no pattern
	// All answers for every IPv4 address that is reached through another interface
	// (net.ipv4.conf.NAME.proxy_arp).
	All       bool
	Addresses []netip.Addr // single ones of both families
}

// Name is "proxy".
func (j *ProxyJob) Name() string { return "proxy" }

// Needs devices and the list of what is answered for. The kernel tells nothing of that, but
// drops it only with the device (net/core/neighbour.c pneigh_ifdown_and_unlock).
func (j *ProxyJob) Needs() Needs {
	return Needs{Parts: facts.PartLinks, Proxies: true, Every: time.Minute}
}

// Look finds what is not answered for.
func (j *ProxyJob) Look(s *State) []Repair {
	var out []Repair
	for _, p := range j.Links {
		l, c, ok := s.byName(p.Interface)
		if !ok || !l.Up {
			continue
		}
		key := "proxy on " + p.Interface
		if l.ARPHRD == arphrdNone {
			out = append(out, Repair{Key: key, Why: fmt.Sprintf("%s has no neighbours to be answered (a tunnel): name the interface of the LAN in watch.proxy", l.Name)})
			continue
		}
		is4 := p.All || slices.ContainsFunc(p.Addresses, netip.Addr.Is4)
		is6 := slices.ContainsFunc(p.Addresses, netip.Addr.Is6)
		if is4 && c.Forwarding4 == 0 || is6 && s.All.Forwarding6 == 0 {
			out = append(out, Repair{Key: key + ": forwarding", Why: fmt.Sprintf("%s answers for others only while the machine forwards: set routing.forwarding", l.Name)})
		}
		if p.All && c.ProxyARP == 0 {
			out = append(out, Repair{Key: key + ": ARP", Why: "asked for by watch.proxy", Sysctl: &Sysctl{"ipv4", l.Name, "proxy_arp", "1"}})
		}
		if is6 && c.ProxyNDP == 0 {
			out = append(out, Repair{Key: key + ": NDP", Why: "asked for by watch.proxy", Sysctl: &Sysctl{"ipv6", l.Name, "proxy_ndp", "1"}})
		}
		for _, a := range p.Addresses {
			if !slices.Contains(s.Proxies, Neighbour{l.Index, a}) {
				out = append(out, Repair{Key: key + ": " + a.String(), Why: "asked for by watch.proxy", Proxy: &Proxy{l.Name, l.Index, a}})
			}
		}
	}
	return out
}
