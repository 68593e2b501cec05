package firewall

import (
	"slices"

	"github.com/provision-net/provision/provision/intent"
)

// Sides are the interfaces (names and patterns) of the zones inside and outside, sorted: what
// forwards from, and the ways out.
func (z Zones) Sides(members []intent.Member) (in, out []string) {
	add := func(name string, c Zone, interfaces []string) {
		if c.side(name) == outside {
			out = append(out, interfaces...)
		} else {
			in = append(in, interfaces...)
		}
	}
	for name, c := range z {
		add(name, c, c.Interfaces)
	}
	for _, m := range members {
		add(m.Zone, z[m.Zone], m.Interfaces)
	}
	slices.Sort(in)
	slices.Sort(out)
	return slices.Compact(in), slices.Compact(out)
}
