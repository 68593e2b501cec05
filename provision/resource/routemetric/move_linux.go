package routemetric

import (
	"slices"
	"sort"

	"golang.org/x/sys/unix"
)

// unit is the part of a route that leaves through one device: what has a metric to
// be moved.
type unit struct {
	route         // with the hops of this device only
	others []hop  // hops of other devices, which keep the old metric
	whole  *route // the route as it is, where it must be split because there are others
}

// units picks what leaves through link. The hops of an IPv6 multipath route are
// routes of their own to the kernel, which it shows together
// (net/ipv6/ip6_fib.c, fib6_siblings); those of an IPv4 one stand and fall together.
func units(routes []route, link int) []unit {
	var out []unit
	for _, r := range routes {
		var ours, others []hop
		for _, h := range r.hops {
			if h.link == link {
				ours = append(ours, h)
			} else {
				others = append(others, h)
			}
		}
		switch {
		case len(ours) == 0:
		case r.family == unix.AF_INET6 && r.nexthop == 0:
			for _, h := range ours {
				out = append(out, unit{route: r.with([]hop{h})})
			}
		case len(others) > 0:
			out = append(out, unit{route: r.with(ours), others: others, whole: &r})
		default:
			out = append(out, unit{route: r})
		}
	}
	return out
}

func metricsOf(us []unit) []uint32 {
	var out []uint32
	for _, u := range us {
		out = append(out, u.metric)
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return slices.Compact(out)
}

// change is what brings the metrics of some units to a wanted set.
type change struct {
	add  []route // beside what is there
	drop []unit  // afterwards
}

// move adds every unit whose metric is not wanted again with one that is, and then
// drops it. Several units go to the missing metrics in ascending order, which is
// how they were told apart if they ever came from there.
func move(us []unit, want []uint32) change {
	var c change
	have := metricsOf(us)
	var missing []uint32
	for _, m := range want {
		if !slices.Contains(have, m) {
			missing = append(missing, m)
		}
	}
	for _, u := range us {
		if !slices.Contains(want, u.metric) {
			c.drop = append(c.drop, u)
		}
	}
	targets := missing
	if len(targets) == 0 {
		targets = want
	}
	for i, u := range c.drop {
		c.add = append(c.add, u.at(targets[min(i, len(targets)-1)]))
	}
	// More metrics than routes to carry them: the last one carries several.
	if len(us) > 0 {
		last := us[len(us)-1]
		if len(c.drop) > 0 {
			last = c.drop[len(c.drop)-1]
		}
		for i := len(c.drop); i < len(missing); i++ {
			c.add = append(c.add, last.at(missing[i]))
		}
	}
	return c
}

// prune drops the units whose metric is not wanted.
func prune(us []unit, want []uint32) change {
	var c change
	for _, u := range us {
		if !slices.Contains(want, u.metric) {
			c.drop = append(c.drop, u)
		}
	}
	return c
}
