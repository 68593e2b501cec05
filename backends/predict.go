package backends

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/facts/fib"
	"github.com/provision-net/provision/provision/resource/file"
	"github.com/provision-net/provision/provision/resource/leaseroute"
	"github.com/provision-net/provision/provision/resource/routemetric"
)

// Winner is the route that a packet to Dst takes.
type Winner struct {
	Family  int    `json:"family"`
	Dst     string `json:"dst"`
	Link    string `json:"link,omitempty"` // empty: unreachable
	Gateway string `json:"gateway,omitempty"`
	Metric  uint32 `json:"metric"`
	Why     string `json:"why"`
}

// Predict is the routing table now, after an apply of d, and after the next boot.
// After an apply those routes have moved whose metric d wants or expects; at the next
// boot also those of NICs that only have files (lazy ones, and paths that would lose
// packets). Default routes of leases that had no room in the table are added without
// their gateway; those of NICs that get their first lease cannot be predicted.
func Predict(f *facts.Facts, nics []NIC, d provision.Desired) (now, after, afterBoot []facts.Route) {
	now = slices.Clone(f.Routes)
	after = slices.Clone(f.Routes)
	for _, w := range slices.Concat(d.Wants, d.Expect) {
		if w.Kind != routemetric.Kind && w.Kind != routemetric.DaemonKind {
			continue
		}
		family, l, ok := metricRef(f, w.Name)
		m, err := strconv.ParseUint(w.Attrs[routemetric.AttrMetrics], 10, 32)
		lazy := slices.ContainsFunc(nics, func(n NIC) bool { return n.Lazy && n.Link.Index == l.Index })
		if ok && err == nil && !lazy {
			after = moved(after, l.Index, family, uint32(m))
		}
	}
	after = leased(f, d, after)
	afterBoot = slices.Clone(after)
	if !slices.ContainsFunc(d.Wants, func(w provision.Want) bool { return w.Kind == file.Kind || w.Kind == file.SecretKind }) {
		return now, after, afterBoot
	}
	for _, n := range nics {
		if n.Metric4 != nil {
			afterBoot = moved(afterBoot, n.Link.Index, 4, *n.Metric4)
		}
		if n.Metric6 != nil {
			afterBoot = moved(afterBoot, n.Link.Index, 6, *n.Metric6)
		}
	}
	return now, after, afterBoot
}

// leased adds the default routes that a lease names and that had no room in the table
// so far; facts do not know their gateway.
func leased(f *facts.Facts, d provision.Desired, routes []facts.Route) []facts.Route {
	for _, t := range d.Triggers {
		if t.Do.Kind != leaseroute.Kind {
			continue
		}
		l, ok := BySelector(f, t.Do.Args["selector"])
		m, err := strconv.ParseUint(t.Do.Args["metric"], 10, 32)
		if !ok || err != nil || len(f.Defaults(l.Index, 4)) > 0 {
			continue
		}
		routes = append(routes, facts.Route{Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Link: l.Index, Metric: uint32(m),
			Proto: facts.ProtoBoot, Table: 254, Type: "unicast", Scope: "global"})
	}
	return routes
}

// moved gives every default route of one family through a link the metric; a
// multipath route loses its hops through that link to a route of their own.
func moved(routes []facts.Route, index, family int, metric uint32) []facts.Route {
	var out []facts.Route
	add := func(r facts.Route) {
		if !slices.ContainsFunc(out, func(o facts.Route) bool {
			return o.Dst == r.Dst && o.Gateway == r.Gateway && o.Link == r.Link && o.Metric == r.Metric && o.Table == r.Table && o.Type == r.Type && len(o.Hops) == 0 && len(r.Hops) == 0
		}) {
			out = append(out, r)
		}
	}
	for _, r := range routes {
		if !r.Default() || r.Table != 254 || r.Type != "unicast" || r.Dst.Addr().Is4() != (family == 4) {
			out = append(out, r)
			continue
		}
		if len(r.Hops) == 0 {
			if r.Link == index {
				r.Metric = metric
				add(r)
			} else {
				out = append(out, r)
			}
			continue
		}
		var rest []facts.Hop
		for _, h := range r.Hops {
			if h.Link != index {
				rest = append(rest, h)
				continue
			}
			one := r
			one.Hops, one.Gateway, one.Link, one.Metric = nil, h.Gateway, index, metric
			add(one)
		}
		switch {
		case len(rest) == len(r.Hops):
			out = append(out, r)
		case len(rest) == 1:
			r.Hops, r.Gateway, r.Link = nil, rest[0].Gateway, rest[0].Link
			add(r)
		case len(rest) > 1:
			r.Hops = rest
			out = append(out, r)
		}
	}
	return out
}

// Winners says which route packets to 1.1.1.1 and 2606:4700::1111 take among routes,
// and why.
func Winners(f *facts.Facts, routes []facts.Route) []Winner {
	view := *f
	view.Routes = routes
	var out []Winner
	for _, dst := range []netip.Addr{netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("2606:4700::1111")} {
		w := Winner{Family: 4, Dst: dst.String()}
		if dst.Is6() {
			w.Family = 6
		}
		r, ok := fib.Winner(&view, dst)
		if !ok {
			w.Why = "no route"
			out = append(out, w)
			continue
		}
		index, gateway := r.Link, r.Gateway
		if len(r.Hops) > 0 {
			index, gateway = r.Hops[0].Link, r.Hops[0].Gateway
		}
		if l, ok := f.LinkByIndex(index); ok {
			w.Link = l.Name
		}
		if gateway.IsValid() {
			w.Gateway = gateway.String()
		}
		w.Metric, w.Why = r.Metric, reason(&view, r, w.Family)
		out = append(out, w)
	}
	return out
}

// reason explains why r beats the other default routes.
func reason(f *facts.Facts, r facts.Route, family int) string {
	if !r.Default() {
		return fmt.Sprintf("%s is more specific than a default route", r.Dst)
	}
	if r.Table != 254 {
		return fmt.Sprintf("a policy rule leads to table %d", r.Table)
	}
	if len(r.Hops) > 1 {
		return fmt.Sprintf("one multipath route shares the traffic over %d next hops: their metrics are equal", len(r.Hops))
	}
	var equal, worse []string
	for _, l := range f.Links {
		for _, o := range f.Defaults(l.Index, family) {
			switch {
			case l.Index == r.Link && o.Metric == r.Metric:
			case o.Metric == r.Metric:
				equal = append(equal, l.Name)
			default:
				worse = append(worse, fmt.Sprintf("%s has %d", l.Name, o.Metric))
			}
		}
	}
	switch {
	case len(equal) > 0:
		return fmt.Sprintf("the same metric %d as %s: which one wins is chance", r.Metric, strings.Join(equal, ", "))
	case len(worse) == 0:
		return "the only default route"
	case r.Metric == 0 && family == 4:
		return "no metric is 0 in IPv4 and beats everything: " + strings.Join(worse, ", ")
	}
	return fmt.Sprintf("the lowest metric %d: %s", r.Metric, strings.Join(worse, ", "))
}
