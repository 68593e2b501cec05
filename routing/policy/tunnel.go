package policy

import (
	"fmt"
	"slices"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/rule"
)

// Tunnel is a device by which everything leaves, except what the main table knows better than by
// a default route, and the tunnel's own outer packets.
type Tunnel struct {
	Device string // name
	// Mark under Mask is on packets that do not take the tunnel.
	Mark, Mask uint32
	Table      uint32
	// Priority of the first of two rules.
	Priority uint32
	// Families: 4, 6; nil is both. A family that the tunnel does not carry has a table too, in
	// which everything is unreachable: it does not leave beside the tunnel.
	Families []int
	// NoIPv6: this machine's kernel has none, so there is nothing to hold.
	NoIPv6 bool
}

// Wants are its routes and rules, both families, in the order in which they have to come: a route
// and what stands behind it before the rules that lead to them. The route is pending until the
// device is there; what is unreachable is so from the beginning, and stays when the device goes.
func (t Tunnel) Wants() []provision.Want {
	why := "everything leaves by " + t.Device
	families := []int{4, 6}
	if t.NoIPv6 {
		families = families[:1]
	}
	var out []provision.Want
	for _, family := range families {
		out = append(out, route.Want(route.Spec{Key: route.Key{Family: family, Table: t.Table, Type: route.Unreachable, Dst: route.Any(family), Metric: route.Worst}}, why+", or not at all"))
	}
	for _, family := range families {
		if t.carries(family) {
			out = append(out, route.Want(route.Spec{Key: route.Key{Family: family, Table: t.Table, Dst: route.Any(family), Dev: "name:" + t.Device}}, why))
		}
	}
	for _, family := range families {
		none := 0
		out = append(out,
			rule.Want(rule.Spec{Key: rule.Key{Family: family, Priority: t.Priority, Target: tableMain}, Suppress: &none}, why+", except to networks that have a route of their own"),
			rule.Want(rule.Spec{Key: rule.Key{Family: family, Priority: t.Priority + 1, Not: true, Mark: t.Mark, Mask: t.Mask, Target: t.Table}}, why+fmt.Sprintf(", except with the mark 0x%x", t.Mark)))
	}
	return out
}

func (t Tunnel) carries(family int) bool {
	return len(t.Families) == 0 || slices.Contains(t.Families, family)
}
