package netdef

import (
	"net/netip"
	"net/url"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/provision-net/provision/backends/networkd/unit"
	"github.com/provision-net/provision/provision/facts"
)

// Metrics that netplan writes for systemd-networkd by default (networkd.c:
// "NetworkManager compatible route metrics").
const (
	DefaultMetric     = 100
	DefaultMetricWifi = 600
)

// physical types match existing devices; definitions of every other type create a
// device called like their id.
func physical(typ string) bool {
	return typ == "ethernets" || typ == "wifis" || typ == "modems" || typ == "nm-devices"
}

// Settings is what a definition says about default routes.
type Settings struct {
	DHCP4, DHCP6 bool
	RA           bool // router advertisements may be accepted
	Over4, Over6 *Value
	DHCP4Pos     *Value
	DHCP6Pos     *Value
	RAPos        *Value
	Static       []Static
	// Passthrough are keyfile keys that NetworkManager wrote back; nil when it wrote
	// none.
	Passthrough   map[string]*Value
	defaultMetric uint32
}

// Static is a default route that the definition itself configures.
type Static struct {
	Family  int
	Gateway string
	Metric  string
	Pos     Position
}

// Settings reads the definition.
func (d *ID) Settings() Settings {
	var s Settings
	s.DHCP4Pos, s.DHCP6Pos, s.RAPos = d.Def.Get("dhcp4"), d.Def.Get("dhcp6"), d.Def.Get("accept-ra")
	s.DHCP4, _ = s.DHCP4Pos.Bool()
	s.DHCP6, _ = s.DHCP6Pos.Bool()
	s.RA = true
	if v, ok := s.RAPos.Bool(); ok {
		s.RA = v
	}
	if ll := d.Def.Get("link-local"); ll != nil {
		s.RA = s.RA && slices.ContainsFunc(ll.List, func(v *Value) bool { return v.String() == "ipv6" })
	}
	s.Over4 = d.Def.Get("dhcp4-overrides", "route-metric")
	s.Over6 = d.Def.Get("dhcp6-overrides", "route-metric")
	s.defaultMetric = DefaultMetric
	if d.Type == "wifis" {
		s.defaultMetric = DefaultMetricWifi
	}
	for i, key := range []string{"gateway4", "gateway6"} {
		if g := d.Def.Get(key); g != nil {
			s.Static = append(s.Static, Static{Family: 4 + 2*i, Gateway: g.String(), Pos: g.Pos})
		}
	}
	if routes := d.Def.Get("routes"); routes != nil {
		for _, r := range routes.List {
			if st, ok := staticRoute(r); ok {
				s.Static = append(s.Static, st)
			}
		}
	}
	if p := d.Def.Get("networkmanager", "passthrough"); p != nil && p.Kind == Mapping {
		s.Passthrough = p.Items
	}
	return s
}

// NoMetric is what "unset" is inside netplan (NETPLAN_METRIC_UNSPEC), so as a metric
// it cannot be expressed.
const NoMetric = 1<<32 - 1

// Metric reads a route metric; ok is false when there is none.
func (v *Value) Metric() (metric uint32, ok bool) {
	m, ok := v.Uint()
	if !ok || m == NoMetric {
		return 0, false
	}
	return m, true
}

func staticRoute(r *Value) (Static, bool) {
	table := r.Get("table").String()
	typ := r.Get("type").String()
	if table != "" && table != "254" || typ != "" && typ != "unicast" {
		return Static{}, false
	}
	st := Static{Gateway: r.Get("via").String(), Metric: r.Get("metric").String(), Pos: r.Pos}
	switch to := r.Get("to").String(); to {
	case "default":
		a, err := netip.ParseAddr(st.Gateway)
		if err != nil {
			return Static{}, false
		}
		st.Family = 4
		if a.Is6() {
			st.Family = 6
		}
	default:
		p, err := netip.ParsePrefix(to)
		if err != nil || p.Bits() != 0 {
			return Static{}, false
		}
		st.Family = 4
		if p.Addr().Is6() {
			st.Family = 6
		}
	}
	return st, true
}

// StaticOf returns the first static default route of a family.
func (s Settings) StaticOf(family int) (Static, bool) {
	for _, r := range s.Static {
		if r.Family == family {
			return r, true
		}
	}
	return Static{}, false
}

// Networkd returns the RouteMetric= that netplan writes for systemd-networkd into the
// legacy section [DHCP], where it counts for DHCPv4 and router advertisements alike.
// Without dhcp4 and dhcp6 there is none. agree is false when both are on and their
// overrides differ: then netplan refuses the whole tree.
func (s Settings) Networkd() (metric uint32, written, agree bool) {
	metric4, have4 := s.Over4.Metric()
	metric6, have6 := s.Over6.Metric()
	pick := func(m uint32, have bool) uint32 {
		if have {
			return m
		}
		return s.defaultMetric
	}
	switch {
	case s.DHCP4 && s.DHCP6:
		return pick(metric4, have4), true, have4 == have6 && metric4 == metric6
	case s.DHCP4:
		return pick(metric4, have4), true, true
	case s.DHCP6:
		return pick(metric6, have6), true, true
	}
	return 0, false, true
}

// NetworkFile is the name of the file that netplan renders for systemd-networkd.
func NetworkFile(id string) string { return "10-netplan-" + id + ".network" }

// MatchEntries is the [Match] section that netplan writes for the definition.
func (d *ID) MatchEntries() []unit.Entry {
	var out []unit.Entry
	add := func(key, value string) {
		if value != "" {
			out = append(out, unit.Entry{Section: "Match", Key: key, Value: value})
		}
	}
	if !physical(d.Type) {
		add("Name", d.Name)
		return out
	}
	match := d.Def.Get("match")
	add("Driver", strings.Join(match.Drivers(), " "))
	add("PermanentMACAddress", match.Get("macaddress").String())
	switch setName := d.Def.Get("set-name").String(); {
	case setName != "":
		add("Name", setName)
	case match.Get("name").String() != "":
		add("Name", match.Get("name").String())
	case d.named:
		add("Name", d.Name)
	}
	return out
}

// Drivers are the patterns of a match: one string or a list.
func (v *Value) Drivers() []string {
	d := v.Get("driver")
	if d == nil {
		return nil
	}
	if d.Kind == Scalar {
		return []string{d.Text}
	}
	var out []string
	for _, one := range d.List {
		out = append(out, one.String())
	}
	return out
}

// Fits reports whether the definition, as its renderer would see it, is about l.
func (d *ID) Fits(f *facts.Facts, l facts.Link) bool {
	if d.Renderer != RendererNM {
		return unit.ReadMatch(d.MatchEntries()).Fits(f, l, unit.Version(f)) == unit.Yes
	}
	if !physical(d.Type) {
		return l.Name == d.Name
	}
	// A profile for Ethernet or Wi-Fi is not for a bridge, or for a VLAN that has the
	// MAC of what it stands on.
	if (d.Type == "wifis") != (l.DevType == "wlan") || l.ARPHRD != 1 || l.Kind != "" && l.Kind != "veth" {
		return false
	}
	match := d.Def.Get("match")
	name := match.Get("name").String()
	if setName := d.Def.Get("set-name").String(); setName != "" {
		name = setName
	}
	if d.named && name == "" {
		name = d.Name
	}
	if name != "" && !slices.ContainsFunc(append([]string{l.Name}, l.Alt...), func(n string) bool { return unit.Glob(name, n) }) {
		return false
	}
	if mac := match.Get("macaddress").String(); mac != "" && !strings.EqualFold(mac, l.PermMAC) && !strings.EqualFold(mac, l.MAC) {
		return false
	}
	drivers := match.Drivers()
	// NetworkManager writes a profile that is bound to no device back with an empty
	// match: it could be activated anywhere and is nobody's until it is.
	if name == "" && match.Get("macaddress") == nil && len(drivers) == 0 && strings.HasPrefix(d.Name, "NM-") {
		return false
	}
	return len(drivers) == 0 || slices.ContainsFunc(drivers, func(p string) bool { return unit.Glob(p, l.Driver) })
}

// For returns the definition that configures l: the one whose generated file or
// profile the daemon reports, else the first that fits in the order in which
// systemd-networkd would take their files. fits are all that fit, that one first.
func (t *Tree) For(f *facts.Facts, l facts.Link) (d *ID, fits []*ID) {
	for _, id := range t.IDs {
		if id.Fits(f, l) {
			fits = append(fits, id)
		}
	}
	sort.SliceStable(fits, func(i, j int) bool {
		a, b := fits[i], fits[j]
		if a.Renderer != b.Renderer && (a.Renderer == RendererNM || b.Renderer == RendererNM) {
			// systemd-networkd takes what it finds a file for; NetworkManager keeps off then.
			if a.Renderer == RendererNM {
				return false
			}
			return true
		}
		return NetworkFile(a.Name) < NetworkFile(b.Name)
	})
	if live := t.named(liveID(f, l)); live != nil {
		fits = slices.DeleteFunc(fits, func(id *ID) bool { return id == live })
		return live, append([]*ID{live}, fits...)
	}
	if len(fits) == 0 {
		return nil, nil
	}
	return fits[0], fits
}

// named is the definition that a generated file is called after. Those of Wi-Fi carry
// the SSID too: netplan-ID-SSID.nmconnection.
func (t *Tree) named(name string) *ID {
	if d := t.Find(name); d != nil {
		return d
	}
	for _, d := range t.IDs {
		if d.Type == "wifis" && strings.HasPrefix(name, d.Name+"-") {
			return d
		}
	}
	return nil
}

// liveID is the id whose generated file or profile the running daemon uses for l.
func liveID(f *facts.Facts, l facts.Link) string {
	if file := f.Networkd.Links[l.Index].Network; path.Dir(file) == unit.RunDir {
		if id, ok := strings.CutPrefix(path.Base(file), "10-netplan-"); ok {
			return strings.TrimSuffix(id, ".network")
		}
	}
	dev := f.NM.Devices[l.Index]
	if dev.UUID == "" || dev.External || dev.Managed == "unmanaged" {
		return ""
	}
	for _, p := range f.NM.Profiles {
		if p.UUID == dev.UUID {
			if id, ok := strings.CutPrefix(path.Base(p.Path), "netplan-"); ok {
				id = strings.TrimSuffix(id, ".nmconnection")
				if plain, err := url.PathUnescape(id); err == nil {
					return plain
				}
				return id
			}
		}
	}
	return ""
}

// Sharers are the names of the links other than l that the definition configures.
func (t *Tree) Sharers(f *facts.Facts, d *ID, l facts.Link) []string {
	var out []string
	for _, other := range f.Links {
		if other.Index == l.Index || other.ARPHRD == 772 {
			continue
		}
		if id, _ := t.For(f, other); id == d {
			out = append(out, other.Name)
		}
	}
	return out
}

// Users are the definitions that name d as their link or port.
func (t *Tree) Users(d *ID) []string {
	var out []string
	for _, id := range t.IDs {
		used := id.Def.Get("link").String() == d.Name
		if ports := id.Def.Get("interfaces"); ports != nil {
			used = used || slices.ContainsFunc(ports.List, func(v *Value) bool { return v.String() == d.Name })
		}
		if used {
			out = append(out, id.Name)
		}
	}
	return out
}
