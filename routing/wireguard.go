package routing

import (
	"github.com/provision-net/provision/routing/policy"
	"github.com/provision-net/provision/routing/wireguard"
)

// wireguardPlan plans the devices of WireGuard. What those that are a way out send themselves has the
// mark of what no tunnel takes, or it would go into the tunnel it comes from.
func wireguardPlan(in Input, tunnels []string, numbers policy.Numbers, w wireguard.Input, c wireguard.Config) (wireguard.Result, error) {
	w.Facts, w.Marks = in.Facts, make(map[string]uint32, len(tunnels))
	for _, t := range tunnels {
		w.Marks[t] = numbers.Direct
	}
	return wireguard.Plan(w, c)
}
