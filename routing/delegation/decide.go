package delegation

import (
	"fmt"
	"net/netip"
	"sort"

	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/routing/tunnel"
)

// Intents is what the firewall, forwarding and the server have to know. zoneOf says which zone an
// interface is in.
func (c Config) Intents(zoneOf func(iface string) string) intent.Set {
	var out intent.Set
	for i, l := range c.LAN {
		at := fmt.Sprintf("routing.delegation.lan[%d]", i)
		out.Forwards = append(out.Forwards, intent.Forward{From: zoneOf(l.Interface), To: zoneOf(c.Interface), Interfaces: []string{l.Interface},
			Destinations: []netip.Prefix{route.Any(6)}, NAT: "no", Why: at})
	}
	out.Served = c.Served()
	return out
}

// Served are the links on which prefixes are announced.
func (c Config) Served() []intent.Served {
	var out []intent.Served
	for i, l := range c.LAN {
		if l.Serve == nil || *l.Serve {
			out = append(out, intent.Served{Interface: l.Interface, Why: fmt.Sprintf("routing.delegation.lan[%d]", i)})
		}
	}
	return out
}

// protoDHCP is RTPROT_DHCP (linux/rtnetlink.h).
const protoDHCP = 16

// Managed are the prefixes that the uplink's manager was given, the longest lived first as it has
// them: networkd, dhcpcd and others refuse what of a delegated prefix is nowhere by a route of their own
// (RFC 7084 section 4.3, WPD-5), which tells it whatever the manager's own interface is.
func Managed(routes []facts.Route) []netip.Prefix {
	var out []netip.Prefix
	for _, r := range routes {
		if r.Proto == protoDHCP && (r.Type == "unreachable" || r.Type == "blackhole" || r.Type == "prohibit") && usable(r.Dst) {
			out = append(out, r.Dst)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Addr().Less(out[j].Addr()) })
	return out
}

func usable(p netip.Prefix) bool {
	return p.IsValid() && p.Addr().Is6() && p.Bits() >= 16 && p.Bits() <= 64 && p.Addr().IsGlobalUnicast()
}

// Network is what one interface has of a prefix.
type Network struct {
	Interface string
	Address   netip.Prefix
}

// Networks are the addresses of c's interfaces in a prefix; wrong names those for which it is too
// small.
func (c Config) Networks(p netip.Prefix) (out []Network, wrong []string) {
	for i, l := range c.LAN {
		n := l.subnet(i)
		if uint64(n) >= 1<<min(63, 64-p.Bits()) {
			wrong = append(wrong, l.Interface)
			continue
		}
		out = append(out, Network{l.Interface, tunnel.Router(tunnel.Subnet(p, uint64(n)))})
	}
	return out, wrong
}
