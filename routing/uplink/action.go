package uplink

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/provision-net/provision/provision/facts"
)

// Action is one thing to be done about the routes: exactly one field is given.
type Action struct {
	Prefer   *Prefer
	Withdraw *Prefer // a route of ours
	// Stuck says, for people, why nothing can be done.
	Stuck string
	// Family it is about.
	Family int
}

// Prefer is a default route of our own in the main table, a copy of a manager's.
type Prefer struct {
	Family    int        `json:"family"`
	Interface string     `json:"interface"`
	Link      int        `json:"link"`
	Gateway   netip.Addr `json:"gateway,omitzero"`
	Source    netip.Addr `json:"source,omitzero"`
	OnLink    bool       `json:"onlink,omitempty"`
	Metric    uint32     `json:"metric"`
}

// Route is the form of routing/watch.
func (p Prefer) Route() facts.Route {
	return facts.Route{Dst: anywhere(p.Family), Gateway: p.Gateway, Link: p.Link, Metric: p.Metric, Proto: facts.ProtoOurs, Table: mainTable, Src: p.Source, OnLink: p.OnLink}
}

// same reports whether the route o, as it was read, is p. The source address is the kernel's when
// none was asked for.
func (p Prefer) same(o Prefer) bool {
	return o.Link == p.Link && o.Metric == p.Metric && o.Gateway == p.Gateway && (!p.Source.IsValid() || o.Source == p.Source)
}

// at reports whether r is in the place of p.
func (p Prefer) at(r facts.Route) bool {
	return r.Proto == facts.ProtoOurs && r.Table == mainTable && r.Link == p.Link && r.Metric == p.Metric && r.Dst == anywhere(p.Family)
}

// ours reports whether a default route is one that this package made: the remembered one, or,
// after memory was lost, one with our protocol number that is a copy of a manager's.
func (s State) ours(r facts.Route, all []facts.Route, family int) bool {
	if r.Proto != facts.ProtoOurs {
		return false
	}
	if slices.ContainsFunc(s.Own[family], func(p Prefer) bool { return p.at(r) }) {
		return true
	}
	return slices.ContainsFunc(all, func(o facts.Route) bool {
		return o.Proto != facts.ProtoOurs && o.Link == r.Link && o.Gateway == r.Gateway && o.Metric > r.Metric
	})
}

// actions says what makes the chosen uplink the one that the kernel takes.
func (s State) actions(family int, candidates []candidate, all []facts.Route, uplinks map[int]string, links []facts.Link) []Action {
	var own []Prefer
	var others []facts.Route
	for _, r := range all {
		if !s.ours(r, all, family) {
			others = append(others, r)
			continue
		}
		p := Prefer{Family: family, Link: r.Link, Gateway: r.Gateway, Source: r.Src, OnLink: r.OnLink, Metric: r.Metric}
		if i := slices.IndexFunc(links, func(l facts.Link) bool { return l.Index == r.Link }); i >= 0 {
			p.Interface = links[i].Name
		}
		own = append(own, p)
	}
	delete(s.Own, family)
	if own != nil {
		s.Own[family] = own
	}
	withdraw := func(except uint32) (out []Action) {
		for _, p := range own {
			if p.Metric != except { // at the same one the new takes the place of the old
				out = append(out, Action{Family: family, Withdraw: &p})
			}
		}
		return out
	}
	i := slices.IndexFunc(candidates, func(c candidate) bool { return c.Interface == s.Chosen[family].Interface })
	if i < 0 || natural(candidates[i], others, uplinks) {
		return withdraw(0)
	}
	c := candidates[i]
	p := Prefer{Family: family, Interface: c.Interface, Link: c.route.Link, Gateway: c.route.Gateway, Source: c.route.Src, OnLink: c.route.OnLink}
	var why string
	if p.Metric, why = metric(c, others, uplinks); why != "" {
		return append(withdraw(0), Action{Family: family, Stuck: why})
	}
	if slices.ContainsFunc(own, p.same) {
		return withdraw(p.Metric)
	}
	s.Own[family] = append(slices.Clone(own), p)
	return append([]Action{{Family: family, Prefer: &p}}, withdraw(p.Metric)...)
}

// natural reports whether the managers' own metrics lead through c.
func natural(c candidate, others []facts.Route, uplinks map[int]string) bool {
	return !slices.ContainsFunc(others, func(o facts.Route) bool {
		return o.Link != c.route.Link && uplinks[o.Link] != "" && o.Metric <= c.route.Metric
	})
}

// metric is better than those of the uplinks, and not better than that of anything else that
// beats them: a tunnel that takes everything goes on taking everything.
func metric(c candidate, others []facts.Route, uplinks map[int]string) (uint32, string) {
	lowest, dev := c.route.Metric, c.Interface
	for _, o := range others {
		if name := uplinks[o.Link]; name != "" && o.Metric < lowest {
			lowest, dev = o.Metric, name
		}
	}
	floor := uint32(0) // IPv4 routes of metric 0 are the best, and IPv6 has no metric 0
	for _, o := range others {
		if o.Metric < lowest && o.Metric > floor {
			floor = o.Metric
		}
	}
	if lowest <= floor+1 {
		return 0, fmt.Sprintf("cannot prefer %s: the default route of %s has the metric %d, and there is no room to be better; give it a greater metric in its network manager", c.Interface, dev, lowest)
	}
	m := c.Metric
	switch {
	case m == 0:
		return lowest - 1, ""
	case m >= lowest:
		return 0, fmt.Sprintf("cannot prefer %s: the metric %d is not better than that of the default route of %s, %d; leave the metric out, or make it less", c.Interface, m, dev, lowest)
	case m <= floor:
		return 0, fmt.Sprintf("cannot prefer %s: the metric %d is not worse than that of another default route, %d, which is no uplink; leave the metric out, or make it greater", c.Interface, m, floor)
	}
	return m, ""
}
