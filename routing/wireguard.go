package routing

import (
	"cmp"
	"net/netip"

	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/routing/match"
	"github.com/provision-net/provision/routing/policy"
	"github.com/provision-net/provision/routing/wireguard"
)

// wireguardPlan plans the devices of WireGuard. What those that are a way out send themselves has the
// mark of what no tunnel takes, or it would go into the tunnel it comes from.
func wireguardPlan(in Input, tunnels []string, numbers policy.Numbers, static []wireguard.Way, w wireguard.Input, c wireguard.Config) (wireguard.Result, error) {
	w.Facts, w.Marks, w.Tables = in.Facts, make(map[string]uint32, len(tunnels)), map[string]uint32{}
	for _, t := range tunnels {
		w.Marks[t] = numbers.Direct
		if n := numbers.Tunnel(t).Table; n != 0 {
			w.Tables[t] = n
		}
	}
	w.Static, w.Judged = static, true // Plan has judged all of the configuration
	return wireguard.Plan(w, c)
}

// static are the routes of the main table that the configuration has.
func (c Config) static() []wireguard.Way {
	var out []wireguard.Way
	for _, r := range c.Policy.Routes {
		if r.Table != 0 && r.Table != tableMain || r.Type != "" && r.Type != "unicast" {
			continue
		}
		w := wireguard.Way{Device: r.Interface, Metric: r.Metric}
		if p, err := netip.ParsePrefix(r.To); err == nil {
			w.Dst = p.Masked()
			out = append(out, w)
			continue
		}
		for _, family := range []int{4, 6} {
			if a, err := netip.ParseAddr(cmp.Or(r.Via, r.From)); err != nil || match.Family(a) == family {
				w.Dst = route.Any(family)
				out = append(out, w)
			}
		}
	}
	return out
}
