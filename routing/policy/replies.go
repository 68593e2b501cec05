package policy

import (
	"net/netip"
	"slices"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/rule"
)

// nic is one NIC whose replies have to leave by it.
type nic struct {
	link     facts.Link
	defaults map[int]facts.Route // by family, its own best default route
}

// nics are those that get a table. The NIC of the best default route needs none: what leaves by
// main leaves by it. (A rule for it would send its packets to containers and other inside networks
// by the gateway as soon as their routes are not in its table: amazon-ec2-net-utils makes none
// either.)
func (in *survey) nics() []nic {
	if !in.Config.PerNICReplies {
		return nil
	}
	var out []nic
	best := map[int]int{4: in.best(4), 6: in.best(6)}
	for _, l := range in.Facts.Links {
		listed := slices.ContainsFunc(in.Config.ReplyInterfaces, func(p string) bool { return fits(p, l.Name) })
		if l.ARPHRD == loopbackType || len(in.Config.ReplyInterfaces) > 0 && !listed {
			continue
		}
		moves := in.Config.ReplyPrimary || slices.Contains(in.Uplinks, l.Name)
		n := nic{l, map[int]facts.Route{}}
		for _, family := range []int{4, 6} {
			if best[family] == l.Index && !moves {
				continue
			}
			if r, ok := in.ownDefault(l.Index, family, listed); ok && len(in.sources(l.Index, family)) > 0 {
				n.defaults[family] = r
			}
		}
		if len(n.defaults) > 0 {
			out = append(out, n)
		}
	}
	return out
}

const loopbackType = 772 // ARPHRD_LOOPBACK

// replies are the tables and then the rules.
func (in *survey) replies(nics []nic, n Numbers) []provision.Want {
	var routes, rules []provision.Want
	for _, nic := range nics {
		table := n.table(nicOwner(nic.link))
		dev := nic.link.Selector()
		for _, family := range []int{4, 6} {
			def, ok := nic.defaults[family]
			if !ok {
				continue
			}
			why := "replies leave by " + nic.link.Name
			nets := in.connected(nic.link.Index, family)
			for _, p := range nets {
				routes = append(routes, route.Want(route.Spec{Key: route.Key{Family: family, Table: table, Dst: p, Dev: dev}}, why))
			}
			for _, p := range in.inside(family) {
				if !slices.Contains(nets, p) {
					routes = append(routes, route.Want(route.Spec{Key: route.Key{Family: family, Table: table, Type: route.Throw, Dst: p}}, why+", but not what is for a network inside"))
				}
			}
			s := route.Spec{Key: route.Key{Family: family, Table: table, Dev: dev}, Gateway: def.Gateway, OnLink: def.OnLink}
			if g := def.Gateway; g.IsValid() && !g.IsLinkLocalUnicast() && familyOf(g) == family {
				s.OnLink = s.OnLink || !slices.ContainsFunc(nets, func(p netip.Prefix) bool { return p.Contains(g) })
			}
			routes = append(routes, route.Want(s, why))
			for _, src := range in.sources(nic.link.Index, family) {
				k := rule.Key{Family: family, Priority: n.Replies, From: src.prefix, Target: table}
				if src.network {
					k.Iif = "name:lo"
				}
				rules = append(rules, rule.Want(rule.Spec{Key: k}, why))
			}
		}
	}
	return append(routes, rules...)
}
