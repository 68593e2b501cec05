package backends

import (
	"slices"

	"github.com/provision-net/provision/provision/facts"
)

// penalty is what NetworkManager adds to the metrics of a device whose connectivity
// check fails.
const penalty = 20000

// Penalised reports whether NetworkManager has added its penalty to the default
// routes of a family on l: the metric that it is told then reaches the kernel as
// metric + 20000.
func Penalised(f *facts.Facts, l facts.Link, o Ownership, family int) bool {
	if o.Owner != NetworkManager && o.Renderer != NetworkManager {
		return false
	}
	for _, r := range f.Defaults(l.Index, family) {
		if r.Metric >= penalty && r.Metric < 2*penalty && (r.Proto == facts.ProtoDHCP || r.Proto == facts.ProtoRA) {
			return true
		}
	}
	return false
}

// brought are the default routes of l that somebody else brings. What this program makes (a tunnel's, a static one, an uplink's copy) has the
// metric that its part of the configuration gives it: if the metrics of others went by it, the plan that makes it and the next one differed.
func brought(f *facts.Facts, l facts.Link, family int) []facts.Route {
	return slices.DeleteFunc(f.Defaults(l.Index, family), func(r facts.Route) bool { return r.Proto == facts.ProtoOurs })
}

// present is the largest metric that a default route of l has now.
func present(f *facts.Facts, l facts.Link, family int) (metric uint32, ok bool) {
	for _, r := range brought(f, l, family) {
		metric, ok = max(metric, r.Metric), true
	}
	return metric, ok
}

// expected is the metric that the next default route of l would get from its manager
// when nobody tells it otherwise. Sources: NetworkManager.conf(5) and its
// nm_device_get_route_metric_default, systemd.network(5) RouteMetric=, netplan's
// generated RouteMetric, dhcpcd's if_metric (1000 plus index since 9.4, 2000 more on
// Wi-Fi), the kernel's IP6_RT_PRIO_USER.
func expected(l facts.Link, o Ownership, family int) uint32 {
	wifi := l.DevType == "wlan"
	switch {
	case o.Owner == NetworkManager || o.Renderer == NetworkManager || o.Owner == Netplan:
		if wifi {
			return 600
		}
		return 100
	case o.Owner == Networkd && family == 6:
		return 2048 // router preference low
	case o.Owner == Networkd:
		return 1024
	case o.Owner == Dhcpcd && wifi:
		return 3000 + uint32(l.Index)
	case o.Owner == Dhcpcd:
		return 1000 + uint32(l.Index)
	case family == 6:
		return 1024
	}
	return 0
}
