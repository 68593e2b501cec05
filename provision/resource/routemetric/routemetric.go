// Package routemetric is the metric of a device's default routes.
//
// A reference's name is "inet SELECTOR" or "inet6 SELECTOR". Attribute: "metrics",
// the set of the metrics of all unicast default routes of the main table of that
// family through that device, hops of multipath routes included: ascending,
// comma-joined, "100" or "100,1000". Without any default route the reference is
// absent.
//
// A metric is part of a route's identity in the kernel (net/ipv4/fib_trie.c,
// net/ipv6/ip6_fib.c): a route cannot be given another one, only a second route
// can be added beside it.
//
// The two kinds differ in who may add. With "route-metric", Set adds the same
// route with the wanted metric and deletes the others: for routes that nobody
// refreshes (dhclient, static by ifup, kernel). With "daemon-route-metric" the
// daemon adds, and Set only deletes what is left over.
package routemetric

import (
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
)

// Kinds of reference.
const (
	Kind       = "route-metric"
	DaemonKind = "daemon-route-metric"
)

// AttrMetrics is the ascending, comma-joined set of metrics.
const AttrMetrics = "metrics"

// Ref names the default routes of one family (4 or 6) through a device.
func Ref(family int, selector string) provision.Ref {
	return provision.Ref{Kind: Kind, Name: name(family, selector)}
}

// DaemonRef names the same routes where only a daemon may add.
func DaemonRef(family int, selector string) provision.Ref {
	return provision.Ref{Kind: DaemonKind, Name: name(family, selector)}
}

func name(family int, selector string) string {
	if family == 6 {
		return "inet6 " + selector
	}
	return "inet " + selector
}

// Move asks that the default routes of the device have this metric and no other;
// Set adds, verifies and deletes.
func Move(family int, selector string, metric uint32, why string) provision.Want {
	return want(Ref(family, selector), metric, why)
}

// Prune asks for the same where a daemon brings the wanted metric: Set deletes
// routes with other metrics once one with the wanted metric exists, and answers
// provision.ErrPending until then.
func Prune(family int, selector string, metric uint32, why string) provision.Want {
	return want(DaemonRef(family, selector), metric, why)
}

// Expect is Move for Desired.Expect: verified, never written.
func Expect(family int, selector string, metric uint32, why string) provision.Want {
	return want(Ref(family, selector), metric, why)
}

func want(ref provision.Ref, metric uint32, why string) provision.Want {
	return provision.Want{
		Ref:   ref,
		Attrs: provision.Attrs{AttrMetrics: Format(metric)},
		Why:   why,
		Mode:  provision.IfPresent,
	}
}

// Format is the canonical text of a set of metrics; empty for none.
func Format(metrics ...uint32) string {
	set := slices.Clone(metrics)
	sort.Slice(set, func(i, j int) bool { return set[i] < set[j] })
	set = slices.Compact(set)
	text := make([]string, len(set))
	for i, m := range set {
		text[i] = strconv.FormatUint(uint64(m), 10)
	}
	return strings.Join(text, ",")
}
