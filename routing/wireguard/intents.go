package wireguard

import (
	"net/netip"

	"github.com/provision-net/provision/provision/intent"
)

// intents say what the firewall and the rest have to know. The interface joins a firewall that is
// there, and asks for none: a tunnel is no reason to close the machine's other sides.
func (p *planner) intents(name string, i Interface) {
	why := "routing.wireguard." + name
	zone := i.FirewallZone()
	if zone != "" {
		m := intent.Member{Zone: zone, Interfaces: []string{name}, Joins: true, Why: why}
		if i.Management != nil {
			m.Manage = map[bool]string{true: "yes", false: "no"}[*i.Management]
		}
		p.r.Intents.Members = append(p.r.Intents.Members, m)
	}
	if i.ListenPort != 0 {
		p.r.Intents.Services = append(p.r.Intents.Services, intent.Service{Name: "wireguard", Proto: "udp", Ports: []uint16{i.ListenPort}, Why: why + ".listen-port"})
	}
	for _, r := range i.Reach {
		f := intent.Forward{From: zone, Interfaces: []string{name}, NAT: "no", Why: why + ".reach: " + r}
		switch r {
		case ReachInternet:
			f.NAT = i.NAT
			if f.NAT == "" {
				f.NAT = "auto"
			}
		case ReachPeers:
			f.To, f.Destinations = zone, p.networks(i)
		default:
			f.To = r
		}
		p.r.Intents.Forwards = append(p.r.Intents.Forwards, f)
	}
}

// networks are those of the tunnel itself.
func (p *planner) networks(i Interface) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range i.Addresses {
		if a, err := netip.ParsePrefix(text); err == nil {
			out = append(out, a.Masked())
		}
	}
	return out
}

// Endpoints are those that are given by address.
func (c Config) Endpoints() []intent.Endpoint {
	var out []intent.Endpoint
	for _, device := range sortedKeys(c) {
		for _, name := range sortedKeys(c[device].Peers) {
			host, port, _ := SplitEndpoint(c[device].Peers[name].Endpoint, false)
			if a, err := netip.ParseAddr(host); err == nil {
				out = append(out, intent.Endpoint{Tunnel: device, Proto: "udp", Addr: a.WithZone(""), Port: port, Mark: c[device].FwMark, Why: "peer " + name + " of " + device})
			}
		}
	}
	return out
}
