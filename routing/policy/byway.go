package policy

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/rule"
)

// Byway is a way that packets with a mark take, whatever everything else does.
type Byway struct {
	Name string
	// Mark under Mask leads to Table.
	Mark, Mask uint32
	Table      uint32
	// Priority of the first of two rules.
	Priority uint32
	// NoIPv6: this machine's kernel has none.
	NoIPv6 bool
}

func bywayOwner(name string) string { return "byway " + name }

// Byway is the one of that name in Input.Byways. An error says that the marks of a byte are used up:
// each of a NIC, a tunnel and a byway takes one of 254.
func (n Numbers) Byway(name string) (Byway, error) {
	b := Byway{Name: name, Mask: n.Mask, Table: n.table(bywayOwner(name)), Priority: n.marked, NoIPv6: n.noIPv6}
	i := b.Table - firstTable + 2
	if b.Table < firstTable || i > 255 || n.Mask == 0 {
		return b, fmt.Errorf("there is no mark left for %s: delete %s to forget tables of devices that are gone", name, MemoryPath)
	}
	b.Mark = i * (n.Mask & -n.Mask)
	return b, nil
}

// Way says where a byway leads.
type Way struct {
	// Device is its name; empty: nowhere.
	Device string
	// Gateways behind the device, at most one of a family. With one, the other family has no way.
	Gateways []netip.Addr
	// Open: what the device does not carry takes the usual way. Otherwise it is unreachable.
	Open bool
}

// Wants are the routes of the byway's table and then the rules that lead to it, both families. The
// route by the device is pending until the device is there.
func (b Byway) Wants(w Way, why string) []provision.Want {
	var out []provision.Want
	for _, family := range b.families() {
		switch {
		case w.Device == "":
			out = append(out, route.Want(route.Spec{Key: route.Key{Family: family, Table: b.Table, Type: route.Prohibit, Dst: route.Any(family)}}, why))
		case !w.Open:
			out = append(out, route.Want(route.Spec{Key: route.Key{Family: family, Table: b.Table, Type: route.Unreachable, Dst: route.Any(family), Metric: route.Worst}}, why+", or not at all"))
		}
	}
	for _, family := range b.families() {
		i := slices.IndexFunc(w.Gateways, func(a netip.Addr) bool { return familyOf(a) == family })
		if w.Device == "" || i < 0 && len(w.Gateways) > 0 {
			continue
		}
		s := route.Spec{Key: route.Key{Family: family, Table: b.Table, Dst: route.Any(family), Dev: "name:" + w.Device}}
		if i >= 0 {
			s.Gateway = w.Gateways[i]
		}
		out = append(out, route.Want(s, why))
	}
	return append(out, b.rules(b.Table, true, why)...)
}

// Around leads to the main table as a whole, past all tunnels.
func (b Byway) Around(why string) []provision.Want { return b.rules(tableMain, false, why) }

// rules lead marked packets to a table; with specific, not those to networks that the main table has
// a route of their own for.
func (b Byway) rules(table uint32, specific bool, why string) []provision.Want {
	var out []provision.Want
	for _, family := range b.families() {
		if specific {
			none := 0
			out = append(out, rule.Want(rule.Spec{Key: rule.Key{Family: family, Priority: b.Priority, Mark: b.Mark, Mask: b.Mask, Target: tableMain}, Suppress: &none}, why+", except to networks that have a route of their own"))
		}
		out = append(out, rule.Want(rule.Spec{Key: rule.Key{Family: family, Priority: b.Priority + 1, Mark: b.Mark, Mask: b.Mask, Target: table}}, why))
	}
	return out
}

func (b Byway) families() []int {
	if b.NoIPv6 {
		return []int{4}
	}
	return []int{4, 6}
}
