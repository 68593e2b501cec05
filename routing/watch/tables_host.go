package watch

import (
	"fmt"
	"slices"

	"github.com/provision-net/provision/provision/facts"
)

// copied reports a default route whose device and gateway are main's though the table's own host
// is on another device: the mark of a script that copies main's default route everywhere.
func (t *Tables) copied(s *State, k tableKey, v *view) (Repair, bool) {
	d := &s.Routes[v.defaults[0]]
	if len(v.defaults) != 1 || d.Type != "unicast" || len(d.Hops) > 0 || d.Proto == facts.ProtoDHCP || d.Proto == facts.ProtoRA ||
		!slices.ContainsFunc(v.hosts, func(i int) bool { return s.Routes[i].Link != d.Link }) {
		return Repair{}, false // as nearly always: found without a look at all addresses
	}
	host, l, ok := t.onlyHost(s, v)
	if !ok || !l.Up || l.Index == d.Link {
		return Repair{}, false
	}
	same := func(m *facts.Route) bool {
		return m.Table == tableMain && m.Default() && m.Type == "unicast" && m.Link == d.Link && m.Gateway == d.Gateway && m.Dst == d.Dst
	}
	for i := range s.Routes {
		if !same(&s.Routes[i]) {
			continue
		}
		r := Repair{Key: k.String() + ": default route", Why: fmt.Sprintf("%s sends everything to %s, a copy of the main table's default route, but its own host on the link is %s on %s", k, d.Gateway, host.Dst.Addr(), l.Name)}
		if t.FixCopies {
			route := defaultRoute(k, l.Index, host.Dst.Addr())
			route.Metric = d.Metric
			r.Routes = []facts.Route{route}
		}
		return r, true
	}
	return Repair{}, false
}

// onlyHost is the table's host route on the link, if there is one only and no address of ours.
func (t *Tables) onlyHost(s *State, v *view) (facts.Route, facts.Link, bool) {
	var found *facts.Route
	for _, i := range v.hosts {
		r := &s.Routes[i]
		switch {
		case slices.ContainsFunc(s.Addrs, func(a facts.Address) bool { return a.Prefix.Addr() == r.Dst.Addr() }):
		case found != nil && (found.Dst != r.Dst || found.Link != r.Link):
			return facts.Route{}, facts.Link{}, false
		default:
			found = r
		}
	}
	if found == nil {
		return facts.Route{}, facts.Link{}, false
	}
	l, _, ok := s.link(found.Link)
	return *found, l, ok && fits(t.patterns(), l)
}
