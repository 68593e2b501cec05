package watch

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision/facts"
)

// memoryOfTabs is what was seen of tables while they were well.
type memoryOfTabs struct {
	Pictures map[tableKey]*picture `json:"tables,omitempty"`
	Gateways map[string]gateway    `json:"gateways,omitempty"` // by family and device: main's default route
}

// picture is a table's default routes and what its gateways need: the routes on the link.
type picture struct {
	Routes []seenRoute `json:"routes"`
}

// seenRoute is a route through a device that may have another index when it comes back.
type seenRoute struct {
	facts.Route
	Name string `json:"device"`
	MAC  string `json:"mac,omitempty"`
}

type gateway struct {
	Addr netip.Addr `json:"addr"`
	MAC  string     `json:"mac,omitempty"`
}

// Bounds of what is remembered: a machine has one table per NIC.
const (
	mostPictures = 4096
	mostRoutes   = 16
)

// learn takes a table's picture. Only a table that has a default route is worth one, so a
// table that is just being flushed never spoils it.
func (m *memoryOfTabs) learn(s *State, k tableKey, v *view, patterns []string, changed *bool) {
	n := 0
	old := m.Pictures[k]
	same := old != nil
	var routes []seenRoute
	take := func(i int) bool {
		r := s.Routes[i]
		l, _, ok := s.link(r.Link)
		if !ok || r.Type != "unicast" || len(r.Hops) > 0 || !fits(patterns, l) || n >= mostRoutes {
			return false
		}
		r.Expires = 0
		sr := seenRoute{Route: r, Name: l.Name, MAC: l.MAC}
		// In most looks nothing is new, and nothing is made.
		if same = same && n < len(old.Routes) && sameRoute(old.Routes[n], sr); !same {
			if routes == nil && old != nil {
				routes = append(routes, old.Routes[:n]...)
			}
			routes = append(routes, sr)
		}
		n++
		return true
	}
	defaults := 0
	for _, i := range v.defaults {
		if take(i) {
			defaults++
		}
	}
	if defaults == 0 {
		return
	}
	for _, i := range v.hosts {
		take(i)
	}
	for _, i := range v.networks {
		take(i)
	}
	if same && n == len(old.Routes) {
		return
	}
	if same { // fewer than before
		routes = slices.Clone(old.Routes[:n])
	}
	if m.Pictures == nil {
		m.Pictures = map[tableKey]*picture{}
	}
	if old == nil && len(m.Pictures) >= mostPictures {
		return
	}
	m.Pictures[k] = &picture{routes}
	*changed = true
}

func sameRoute(a, b seenRoute) bool {
	return a.Name == b.Name && a.MAC == b.MAC && a.Dst == b.Dst && a.Gateway == b.Gateway && a.Metric == b.Metric && a.Src == b.Src && a.OnLink == b.OnLink
}

// What restore can say.
const (
	unknown = iota // nothing is remembered, or of devices that are gone
	waiting        // its device is down
	ready
)

// restore is what has to be put back for the table to be as it was seen.
func (p *picture) restore(s *State, v *view) (routes []facts.Route, names string, state int) {
	if p == nil {
		return nil, "", unknown
	}
	var ways, gateways []facts.Route
	var through []string
	for _, sr := range p.Routes {
		l, _, ok := s.byName(sr.Name)
		if !ok || l.MAC != sr.MAC {
			continue
		}
		if !l.Up {
			if sr.Default() {
				state = max(state, waiting)
			}
			continue
		}
		r := sr.Route
		r.Link, r.Proto = l.Index, facts.ProtoOurs
		if r.Src.IsValid() && !slices.ContainsFunc(s.Addrs, func(a facts.Address) bool { return a.Prefix.Addr() == r.Src }) {
			r.Src = netip.Addr{}
		}
		if r.Default() {
			state = ready
			gateways = append(gateways, r)
			if !slices.Contains(through, l.Name) {
				through = append(through, l.Name)
			}
		} else if !has(s, v, r) {
			ways = append(ways, r)
		}
	}
	if state != ready {
		return nil, "", state
	}
	return append(ways, gateways...), strings.Join(through, " and "), ready
}

// has reports whether the table has a route to the same destination through the same device.
func has(s *State, v *view, r facts.Route) bool {
	same := func(i int) bool { return s.Routes[i].Dst == r.Dst && s.Routes[i].Link == r.Link }
	return slices.ContainsFunc(v.hosts, same) || slices.ContainsFunc(v.networks, same)
}

// goesBy reports whether the picture's default route is by this gateway on this device: then it
// knows more than the host route does.
func (p *picture) goesBy(l facts.Link, gateway netip.Addr) bool {
	return p != nil && slices.ContainsFunc(p.Routes, func(r seenRoute) bool {
		return r.Default() && r.Name == l.Name && r.MAC == l.MAC && r.Gateway == gateway
	})
}

// gateways notes the gateway of main's default route of each device.
func (m *memoryOfTabs) gateways(s *State, patterns []string, changed *bool) {
	for i := range s.Routes {
		r := &s.Routes[i]
		if r.Table != tableMain || !r.Default() || r.Type != "unicast" || !r.Gateway.IsValid() {
			continue
		}
		l, _, ok := s.link(r.Link)
		if !ok || !fits(patterns, l) {
			continue
		}
		key, g := gatewayKey(family(r.Dst.Addr()), l.Name), gateway{r.Gateway, l.MAC}
		if m.Gateways[key] != g && len(m.Gateways) < mostPictures {
			if m.Gateways == nil {
				m.Gateways = map[string]gateway{}
			}
			m.Gateways[key] = g
			*changed = true
		}
	}
}

func gatewayKey(family int, link string) string { return fmt.Sprintf("IPv%d %s", family, link) }
