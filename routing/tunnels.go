package routing

import (
	"fmt"
	"slices"
	"sort"

	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/routing/policy"
	"github.com/provision-net/provision/routing/tunnel"
	"github.com/provision-net/provision/routing/tunnel/update"
)

// tunnels plans those of protocol 41, whose outer packets have those marks.
func (c Config) tunnels(in Input, marks map[string]uint32) (tunnel.Result, error) {
	return tunnel.Plan(tunnel.Input{Facts: in.Facts, Outside: c.Zones.Outside(), Marks: marks,
		ZoneOf: func(iface string) string { return c.Zones.Of(iface, in.Intents.Members) }}, c.Tunnels)
}

// tunnelMarks are those of outer packets of protocol 41. Where something else is the way out, they go
// beside it: the server knows its client by the IPv4 address that they come from, and through another
// tunnel they had that one's. No list of addresses takes them either.
func (c Config) tunnelMarks(full []string, n policy.Numbers) map[string]uint32 {
	if len(full) == 0 && len(c.Smart) == 0 {
		return nil
	}
	out := make(map[string]uint32, len(c.Tunnels))
	for name := range c.Tunnels {
		out[name] = n.Direct
	}
	return out
}

// Served are the links on which prefixes are announced, as far as the configuration alone tells.
func (c Config) Served() []intent.Served {
	return append(c.Tunnels.Served(), c.Delegation.Served()...)
}

// delegated is what delegated prefixes ask of the others. Hosts with public addresses are reached from
// everywhere, so there has to be a firewall that knows inside from outside.
func (c Config) delegated(in Input) (intent.Set, error) {
	if !c.Delegation.Enabled() {
		return intent.Set{}, nil
	}
	zone := func(iface string) string { return c.Zones.Of(iface, in.Intents.Members) }
	if z := zone(c.Delegation.Interface); z == "" || !c.Zones.FacesOutside(z) {
		return intent.Set{}, fmt.Errorf("routing.delegation: hosts would have public addresses and no firewall before them: write zones: {outside: {interfaces: [%s]}, home: {interfaces: [...]}} under routing", c.Delegation.Interface)
	}
	return c.Delegation.Intents(zone), nil
}

// Updates are the tunnels whose servers are told this machine's address.
func (c Config) Updates() []update.Tunnel {
	var out []update.Tunnel
	for name, t := range c.Tunnels {
		if t.Update.Wanted() {
			out = append(out, update.Tunnel{Name: name, Interface: t.Interface, Config: t.Update})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return slices.Clip(out)
}

// lines are the ways out that others than this program make: nobody advertises himself as a router
// in a tunnel of ours.
func (c Config) lines(outside []string) []string {
	return slices.DeleteFunc(slices.Clone(outside), func(name string) bool {
		_, ours := c.Tunnels[name]
		return ours || c.WireGuard.Has(name)
	})
}
