package networkd

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/provision-net/provision/backends/networkd/unit"
)

// Defaults of networkd: RouteMetric= of [DHCPv4], and of [IPv6AcceptRA] for a router
// of medium preference.
const (
	DefaultMetric4 = 1024
	DefaultMetric6 = 1024
)

// Value is a setting and where it stands; Source is empty for a default.
type Value struct {
	Metric uint32
	Source string
}

// Static is a default route that the file itself configures.
type Static struct {
	Family  int // 4 or 6
	Gateway string
	Metric  string // as written, empty for none
	Source  string
}

// Settings is what a file and its drop-ins say about default routes.
type Settings struct {
	DHCP4, DHCP6 bool
	RA           bool // router advertisements may be accepted
	DHCPSource   string
	RASource     string
	// Metric4 and Metric6 are the metrics of default routes by DHCPv4 and by router
	// advertisement. A value that differs by router preference counts as not set.
	Metric4, Metric6 Value
	Static           []Static
	Unmanaged        bool
	DNSDefaultRoute  string
}

// StaticOf returns the static default routes of one family.
func (s Settings) StaticOf(family int) []Static {
	var out []Static
	for _, r := range s.Static {
		if r.Family == family {
			out = append(out, r)
		}
	}
	return out
}

// ReadSettings evaluates assignments in their order, as networkd of that version
// does. RouteMetric= of the legacy section [DHCP] counts for both families unless
// the family's own section sets it: [DHCPv4], and for router advertisements [DHCPv6]
// from 246 to 248 and [IPv6AcceptRA] from 249. Up to 245 there is one value for both.
func ReadSettings(entries []unit.Entry, version int) Settings {
	s := Settings{RA: true, Metric4: Value{Metric: DefaultMetric4}, Metric6: Value{Metric: DefaultMetric6}}
	modern := version == 0 || version >= 249
	own4, own6 := false, false
	linkLocal6 := true
	routes := map[string]*route{}
	var order []string
	for _, e := range entries {
		switch e.Section + "." + e.Key {
		case "Network.DHCP":
			s.DHCP4, s.DHCP6 = dhcp(e.Value)
			s.DHCPSource = e.Source()
		case "Network.IPv6AcceptRA", "Network.IPv6AcceptRouterAdvertisements":
			if v, ok := unit.Bool(e.Value); ok {
				s.RA, s.RASource = v, e.Source()
			}
		case "Network.LinkLocalAddressing":
			v, ok := unit.Bool(e.Value)
			linkLocal6 = ok && v || e.Value == "ipv6"
		case "Network.Gateway":
			if r, ok := (route{gateway: e.Value, source: e.Source()}).static(); ok {
				s.Static = append(s.Static, r)
			}
		case "Network.DNSDefaultRoute":
			s.DNSDefaultRoute = e.Value
		case "Link.Unmanaged":
			s.Unmanaged, _ = unit.Bool(e.Value)
		case "DHCP.RouteMetric":
			if m, ok := number(e.Value); ok {
				if !own4 || version > 0 && version <= 245 {
					s.Metric4 = Value{m, e.Source()}
				}
				if !own6 {
					s.Metric6 = Value{m, e.Source()}
				}
			}
		case "DHCPv4.RouteMetric":
			if m, ok := number(e.Value); ok {
				own4 = true
				s.Metric4 = Value{m, e.Source()}
				if version > 0 && version <= 245 {
					s.Metric6 = s.Metric4
				}
			}
		case "DHCPv6.RouteMetric":
			if m, ok := number(e.Value); ok && version >= 246 && version <= 248 {
				own6 = true
				s.Metric6 = Value{m, e.Source()}
			}
		case "IPv6AcceptRA.RouteMetric":
			if m, ok := preference(e.Value); ok && modern {
				own6 = true
				s.Metric6 = Value{m, e.Source()}
			}
		default:
			if e.Section != "Route" {
				continue
			}
			key := e.File + "\x00" + strconv.Itoa(e.Block)
			r := routes[key]
			if r == nil {
				r = &route{source: e.Source()}
				routes[key] = r
				order = append(order, key)
			}
			r.set(e)
		}
	}
	for _, key := range order {
		if r, ok := routes[key].static(); ok {
			s.Static = append(s.Static, r)
		}
	}
	s.RA = s.RA && linkLocal6
	return s
}

// dhcp reads DHCP=, with the values of old versions.
func dhcp(v string) (four, six bool) {
	if on, ok := unit.Bool(v); ok {
		return on, on
	}
	switch v {
	case "both":
		return true, true
	case "ipv4", "v4":
		return true, false
	case "ipv6", "v6":
		return false, true
	}
	return false, false
}

func number(v string) (uint32, bool) {
	m, err := strconv.ParseUint(v, 0, 32)
	return uint32(m), err == nil && !strings.HasPrefix(v, "+") && !strings.Contains(v, "_")
}

// preference reads one number, or high:medium:low of which medium is returned.
func preference(v string) (uint32, bool) {
	parts := strings.Split(v, ":")
	if len(parts) == 1 {
		return number(v)
	}
	if len(parts) != 3 {
		return 0, false
	}
	for _, p := range parts {
		if _, ok := number(p); !ok {
			return 0, false
		}
	}
	return number(parts[1])
}

type route struct {
	gateway, destination, metric, table, typ, source string
}

func (r *route) set(e unit.Entry) {
	switch e.Key {
	case "Gateway":
		r.gateway, r.source = e.Value, e.Source()
	case "Destination":
		r.destination = e.Value
	case "Metric":
		r.metric = e.Value
	case "Table":
		r.table = e.Value
	case "Type":
		r.typ = e.Value
	}
}

// static tells whether the section makes a default route in the main table.
func (r route) static() (Static, bool) {
	if r.gateway == "" || r.table != "" && r.table != "main" && r.table != "254" || r.typ != "" && r.typ != "unicast" {
		return Static{}, false
	}
	if r.destination != "" {
		if p, err := netip.ParsePrefix(r.destination); err != nil || p.Bits() != 0 {
			return Static{}, false
		}
	}
	out := Static{Family: 4, Gateway: r.gateway, Metric: r.metric, Source: r.source}
	switch r.gateway {
	case "_dhcp4", "dhcp":
		return out, true
	case "_dhcp6", "_ipv6ra":
		out.Family = 6
		return out, true
	}
	a, err := netip.ParseAddr(r.gateway)
	if err != nil {
		return Static{}, false
	}
	if a.Is6() {
		out.Family = 6
	}
	return out, true
}
