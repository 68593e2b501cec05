package firewall

import (
	"slices"

	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/routing/match"
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

// Outside is the first zone, in the order of names, that faces outside; empty when none is written.
func (z Zones) Outside() string {
	for _, name := range sorted(z) {
		if z[name].side(name) == outside {
			return name
		}
	}
	return ""
}

// Of is the zone that an interface is in, written or asked for; empty when it is in none.
func (z Zones) Of(iface string, members []intent.Member) string {
	has := func(list []string) bool {
		return slices.ContainsFunc(list, func(n string) bool { return n == iface || match.Covers(n, iface) })
	}
	for _, name := range sorted(z) {
		if has(z[name].Interfaces) {
			return name
		}
	}
	for _, m := range members {
		if has(m.Interfaces) {
			return m.Zone
		}
	}
	return ""
}

// FacesOutside reports whether a zone, written or not, faces outside.
func (z Zones) FacesOutside(name string) bool { return z[name].side(name) == outside }
