package watch

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"sort"

	"github.com/provision-net/provision/provision/facts"
)

// Tables are the tables that the kernel or everybody fills (linux/rtnetlink.h).
const (
	tableDefault = 253
	tableMain    = 254
	tableLocal   = 255
)

// Tables sees to it that every table that a rule points to has a default route. Where one is
// missing, the route is found out from, in this order:
//
//   - the only host route on the link in the table (192.0.2.1 dev eth1 scope link): that host;
//   - what the table had before it vanished;
//   - the only device of the table's connected networks, or, of an empty table, the only device
//     that has the source addresses of the rules pointing to it; the gateway is then the one that
//     another default route through that device has, or what the configuration says.
//
// A table that none of this explains is left alone, and told. The main table's gateway is
// never taken for another device.
type Tables struct {
	Interfaces []string     // patterns; empty: hardware
	Except     []uint32     // tables that are left alone
	First4     bool         // the gateway of an IPv4 network is its first address, where nothing else tells
	Gateway6   netip.Addr   // the gateway of IPv6 where nothing else tells
	FixCopies  bool         // replace a default route that was copied from main, device and all
	mem        memoryOfTabs // what was seen
	changed    bool
	views      map[tableKey]*view
	order      []tableKey
}

// tableKey is a table of one family.
type tableKey struct {
	family int
	table  uint32
}

func (k tableKey) String() string { return fmt.Sprintf("IPv%d table %d", k.family, k.table) }

// MarshalText makes it a key of a JSON object.
func (k tableKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads it.
func (k *tableKey) UnmarshalText(text []byte) error {
	if _, err := fmt.Sscanf(string(text), "IPv%d table %d", &k.family, &k.table); err != nil || k.family != 4 && k.family != 6 {
		return fmt.Errorf("%q is no table", text)
	}
	return nil
}

// view is what the state says of one table: positions in State.Routes.
type view struct {
	ruled    bool // a rule points to it
	defaults []int
	hosts    []int // to a single address, on the link
	networks []int // connected
}

// Name is "tables".
func (t *Tables) Name() string { return "tables" }

// Needs all of the routing state.
func (t *Tables) Needs() Needs { return Needs{Parts: facts.AllParts} }

func (t *Tables) patterns() []string {
	if len(t.Interfaces) == 0 {
		return []string{hardware}
	}
	return t.Interfaces
}

// Look finds the tables without a default route.
func (t *Tables) Look(s *State) []Repair {
	t.survey(s)
	t.mem.gateways(s, t.patterns(), &t.changed)
	var out []Repair
	for _, k := range t.order {
		v := t.views[k]
		if len(v.defaults) > 0 {
			r, wrong := t.copied(s, k, v)
			switch {
			case wrong && v.ruled:
				out = append(out, r)
			case !wrong:
				t.mem.learn(s, k, v, t.patterns(), &t.changed)
			}
			continue
		}
		if v.ruled {
			if r, ok := t.missing(s, k, v); ok {
				out = append(out, r)
			}
		}
	}
	return out
}

// survey sorts routes by table and notes which tables rules point to.
func (t *Tables) survey(s *State) {
	if t.views == nil {
		t.views = map[tableKey]*view{}
	}
	for _, v := range t.views {
		*v = view{defaults: v.defaults[:0], hosts: v.hosts[:0], networks: v.networks[:0]}
	}
	at := func(k tableKey) *view {
		v := t.views[k]
		if v == nil {
			v = &view{}
			t.views[k] = v
		}
		return v
	}
	for i := range s.Rules {
		r := &s.Rules[i]
		// A rule that refuses default routes does not miss one; VRF rules name no table.
		if r.Action == "lookup" && !t.spared(r.Table) && !(r.Suppresses && r.Suppress >= 0) {
			at(tableKey{r.Family, r.Table}).ruled = true
		}
	}
	for i := range s.Routes {
		r := &s.Routes[i]
		if t.spared(r.Table) {
			continue
		}
		v := at(tableKey{family(r.Dst.Addr()), r.Table})
		switch a := r.Dst.Addr(); {
		case r.Default():
			v.defaults = append(v.defaults, i)
		case r.Type != "unicast" || r.Gateway.IsValid() || len(r.Hops) > 0 || a.IsMulticast() || a.IsLinkLocalUnicast() && a.Is6() && r.Dst.Bits() < 128:
		case r.Dst.IsSingleIP():
			v.hosts = append(v.hosts, i)
		default:
			v.networks = append(v.networks, i)
		}
	}
	t.order = t.order[:0]
	for k, v := range t.views {
		if !v.ruled && len(v.defaults) == 0 {
			delete(t.views, k)
			continue
		}
		t.order = append(t.order, k)
	}
	sort.Slice(t.order, func(i, j int) bool {
		a, b := t.order[i], t.order[j]
		return cmp.Or(a.family-b.family, cmp.Compare(a.table, b.table)) < 0
	})
}

// spared are tables that are nobody's or everybody's, and those that were named.
func (t *Tables) spared(table uint32) bool {
	return table == 0 || table >= tableDefault && table <= tableLocal || slices.Contains(t.Except, table)
}

// missing makes the default route of a table that has none.
func (t *Tables) missing(s *State, k tableKey, v *view) (Repair, bool) {
	key := k.String() + ": default route"
	note := func(format string, args ...any) (Repair, bool) {
		return Repair{Key: key, Why: fmt.Sprintf("%s has no default route though a rule points to it, and ", k) + fmt.Sprintf(format, args...), Harmless: true}, true
	}
	p := t.mem.Pictures[k]
	if host, l, ok := t.onlyHost(s, v); ok {
		if !l.Up {
			return Repair{}, false // the device's next event brings us back
		}
		if !p.goesBy(l, host.Dst.Addr()) {
			return Repair{Key: key, Routes: []facts.Route{defaultRoute(k, l.Index, host.Dst.Addr())},
				Why: fmt.Sprintf("%s has no default route though a rule points to it; its only host on the link is %s on %s", k, host.Dst.Addr(), l.Name)}, true
		}
	}
	if routes, names, state := p.restore(s, v); state == ready {
		return Repair{Key: key, Routes: routes, Why: fmt.Sprintf("%s has lost its default route through %s: as it was seen before", k, names)}, true
	} else if state == waiting {
		return Repair{}, false
	}
	l, network, why := t.device(s, k, v)
	if why != "" {
		return note("%s: it is left alone", why)
	}
	if !l.Up {
		return Repair{}, false
	}
	gateway, from := t.gateway(s, k, l, network)
	if !gateway.IsValid() {
		return note("nothing tells the gateway behind %s: it is left alone", l.Name)
	}
	routes := []facts.Route{defaultRoute(k, l.Index, gateway)}
	if !reaches(s, v, k, l.Index, gateway) {
		onLink := defaultRoute(k, l.Index, netip.Addr{})
		onLink.Dst = netip.PrefixFrom(gateway, gateway.BitLen())
		routes = append([]facts.Route{onLink}, routes...)
	}
	return Repair{Key: key, Routes: routes,
		Why: fmt.Sprintf("%s has no default route though a rule points to it; it belongs to %s, whose gateway is %s (%s)", k, l.Name, gateway, from)}, true
}

// Remember implements Rememberer.
func (t *Tables) Remember() (any, bool) {
	changed := t.changed
	t.changed = false
	return &t.mem, changed
}

// Recall implements Rememberer.
func (t *Tables) Recall(state json.RawMessage) error {
	var m memoryOfTabs
	if err := json.Unmarshal(state, &m); err != nil {
		return err
	}
	t.mem = m
	return nil
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 4
	}
	return 6
}

// defaultRoute is ours, with the metric that the kernel gives by itself.
func defaultRoute(k tableKey, link int, gateway netip.Addr) facts.Route {
	r := facts.Route{Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Gateway: gateway, Link: link, Proto: facts.ProtoOurs, Table: k.table, Type: "unicast"}
	if k.family == 6 {
		r.Dst, r.Metric = netip.PrefixFrom(netip.IPv6Unspecified(), 0), 1024 // net/ipv6/route.c, IP6_RT_PRIO_USER
	}
	return r
}
