package link

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
)

// mainTable is RT_TABLE_MAIN of rtnetlink.h.
const mainTable = 254

// Default is one default route, or one hop of a default route that has several.
type Default struct {
	V6      bool
	Index   int        // of the interface; 0 if the kernel names a nexthop object only
	Gateway netip.Addr // the zero Addr if the route has none
	Metric  uint32
	Table   uint32 // 254 is the main one
}

func (d Default) compare(o Default) int {
	b := func(v bool) int {
		if v {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(b(d.V6), b(o.V6)), cmp.Compare(d.Table, o.Table), cmp.Compare(d.Metric, o.Metric),
		cmp.Compare(d.Index, o.Index), d.Gateway.Compare(o.Gateway))
}

// Routing is what a router must know before it calls itself one. It is shared and must not be written to.
type Routing struct {
	Defaults []Default // ordered by family, table, metric
	Forward4 Forwarding
	Forward6 Forwarding
}

// Forwarding is the sysctl "forwarding" of one family (ip-sysctl.rst).
type Forwarding struct {
	All  bool
	Link map[int]bool // by index; those that have it
}

// Forwards6 says whether an IPv6 packet goes on. Only conf.all decides that; conf.IF.forwarding decides whether the link
// behaves as a router's in other things (ip6_forward in net/ipv6/ip6_output.c). force_forwarding of newer kernels is left
// out: netlink does not report it.
func (r Routing) Forwards6() bool { return r.Forward6.All }

// Forwards4 says whether an IPv4 packet that comes in on the link goes on (IN_DEV_FORWARD in linux/inetdevice.h).
func (r Routing) Forwards4(index int) bool { return r.Forward4.Link[index] }

func (r Routing) equal(o Routing) bool {
	return slices.Equal(r.Defaults, o.Defaults) && r.Forward4.equal(o.Forward4) && r.Forward6.equal(o.Forward6)
}

func (f Forwarding) equal(o Forwarding) bool {
	return f.All == o.All && maps.Equal(f.Link, o.Link)
}
