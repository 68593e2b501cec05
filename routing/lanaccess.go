package routing

import (
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/routing/watch"
	"github.com/provision-net/provision/routing/wireguard"
)

// lanForwards let a LAN and the peers that are answered for on it reach each other, where there are zones
// for both. Addresses stay as they are: they are of one network.
func (c Config) lanForwards(list []wireguard.Proxy, in intent.Set) []intent.Forward {
	var out []intent.Forward
	for _, p := range list {
		tunnel, lan := c.Zones.Of(p.Device, in.Members), c.Zones.Of(p.Interface, in.Members)
		if tunnel == "" || lan == "" {
			continue
		}
		why := "routing.wireguard." + p.Device + ".lan-access"
		out = append(out, intent.Forward{From: tunnel, Interfaces: []string{p.Device}, To: lan, NAT: "no", Why: why},
			intent.Forward{From: lan, Interfaces: []string{p.Interface}, To: tunnel, NAT: "no", Why: why})
	}
	return out
}

// reasonsToForward are those where there are no zones.
func reasonsToForward(list []wireguard.Proxy) []intent.Forward {
	var out []intent.Forward
	for _, p := range list {
		out = append(out, intent.Forward{From: p.Device, To: p.Interface, NAT: "no", Why: "routing.wireguard." + p.Device + ".lan-access"})
	}
	return out
}

// proxies are what the watch keeps of them.
func proxies(list []wireguard.Proxy) []watch.ProxyLink {
	var out []watch.ProxyLink
	for _, p := range list {
		out = append(out, watch.ProxyLink{Interface: p.Interface, Addresses: p.Addresses})
	}
	return out
}
