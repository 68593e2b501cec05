package backends

import (
	"fmt"
	"net"
	"path"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision/facts"
)

// Empty reports whether the configuration says nothing at all.
func (c Config) Empty() bool {
	return c.NATMetric == 0 && c.FirstMetric == 0 && c.DNS == "" && !c.Lazy && !c.AllowGap && c.BringUp == nil && len(c.NICs) == 0
}

// fits reports whether all given fields of m fit l, whose detected role is given.
func (m Match) fits(l facts.Link, role facts.Role) bool {
	fit := func(pattern string, have ...string) bool {
		return pattern == "" || slices.ContainsFunc(have, func(h string) bool {
			ok, err := path.Match(pattern, h)
			return err == nil && ok
		})
	}
	return fit(m.Name, append([]string{l.Name}, l.Alt...)...) &&
		fit(m.Driver, l.Driver) &&
		fit(m.Path, l.Udev["ID_PATH"], l.DevPath, "/sys"+l.DevPath) &&
		(m.MAC == "" || strings.EqualFold(canonicalMAC(m.MAC), l.PermMAC)) &&
		(m.Role == "" || m.Role == role)
}

func (m Match) empty() bool { return m == Match{} }

func canonicalMAC(s string) string {
	if hw, err := net.ParseMAC(s); err == nil {
		return hw.String()
	}
	return s
}

// rule is the first rule that fits l, and its place in the list.
func (c Config) rule(l facts.Link, role facts.Role) (r NICRule, index int, ok bool) {
	for i, r := range c.NICs {
		if r.Match.fits(l, role) {
			return r, i, true
		}
	}
	return NICRule{}, -1, false
}

// metrics are what the rule asks for, per family.
func (r NICRule) metrics() (m4, m6 *uint32) {
	m4, m6 = r.RouteMetric, r.RouteMetric
	if r.DHCP4Overrides.RouteMetric != nil {
		m4 = r.DHCP4Overrides.RouteMetric
	}
	if r.DHCP6Overrides.RouteMetric != nil {
		m6 = r.DHCP6Overrides.RouteMetric
	}
	return m4, m6
}

// Problem is something wrong in the configuration. Path is relative to the "network"
// key: "nics[1].dhcp4-overrides.route-metric".
type Problem struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// Problems lists everything that is wrong in c without looking at a machine.
func (c Config) Problems() []Problem {
	var out []Problem
	add := func(path, format string, args ...any) { out = append(out, Problem{path, fmt.Sprintf(format, args...)}) }
	if c.DNS != "" && c.DNS != "keep" && c.DNS != "demote" {
		add("dns", "%q is neither keep nor demote", c.DNS)
	}
	first, nat := c.FirstMetric, c.NATMetric
	if first == 0 {
		first = defaultFirst
	}
	if nat == 0 {
		nat = defaultNAT
	}
	if c.NATMetric != 0 && nat <= first {
		add("nat-metric", "%d would not lose against first-metric %d: the lower metric wins", nat, first)
	} else if first >= nat {
		if c.FirstMetric > maxFirst {
			add("first-metric", "%d leaves no room for the NICs after it, the largest metric is 4294967295", first)
		}
	}
	type named struct {
		path   string
		key    string
		metric uint32
	}
	var seen4, seen6 []named
	for i, r := range c.NICs {
		at := fmt.Sprintf("nics[%d]", i)
		r.Match.problems(at+".match", add)
		if r.Role != "" && !knownRole(r.Role) {
			add(at+".role", "%q is no role: one of %s", r.Role, strings.Join(roleNames(), ", "))
		}
		if r.DNS != "" && r.DNS != "keep" && r.DNS != "demote" {
			add(at+".dns", "%q is neither keep nor demote", r.DNS)
		}
		for _, m := range []struct {
			path  string
			value *uint32
		}{{".route-metric", r.RouteMetric}, {".dhcp4-overrides.route-metric", r.DHCP4Overrides.RouteMetric}, {".dhcp6-overrides.route-metric", r.DHCP6Overrides.RouteMetric}} {
			if m.value == nil {
				continue
			}
			if *m.value == 0 {
				add(at+m.path, "0 is no usable metric: in IPv4 it means none and beats everything, in IPv6 the kernel makes it 1024")
			}
			if r.Manage != nil && !*r.Manage {
				add(at+m.path, "contradicts manage: false")
			}
			if r.Match.empty() {
				add(at+m.path, "the rule has no match, so every NIC would get the same metric")
			}
		}
		if r.DHCP4 != nil && !*r.DHCP4 && r.DHCP6 != nil && !*r.DHCP6 && r.BringUp != nil && *r.BringUp {
			add(at+".bring-up", "with neither dhcp4 nor dhcp6 there is nothing to bring it up with")
		}
		key := r.Match.single()
		m4, m6 := r.metrics()
		clash := func(seen []named, m *uint32, family string) []named {
			if m == nil || *m == 0 || key == "" {
				return seen
			}
			for _, s := range seen {
				if s.metric == *m && s.key != key {
					add(at, "the same %s metric %d as %s: two NICs with equal metrics share or fight over the traffic", family, *m, s.path)
					return seen
				}
			}
			return append(seen, named{at, key, *m})
		}
		seen4 = clash(seen4, m4, "IPv4")
		if m6 != m4 || len(seen4) == 0 || seen4[len(seen4)-1].path == at { // one word about a clash is enough
			seen6 = clash(seen6, m6, "IPv6")
		}
	}
	return out
}

func (m Match) problems(at string, add func(path, format string, args ...any)) {
	for _, p := range []struct{ key, pattern string }{{".name", m.Name}, {".driver", m.Driver}, {".path", m.Path}} {
		if _, err := path.Match(p.pattern, ""); err != nil {
			add(at+p.key, "%q is no pattern: %v", p.pattern, err)
		}
	}
	if m.MAC != "" {
		if hw, err := net.ParseMAC(m.MAC); err != nil || len(hw) != 6 {
			add(at+".macaddress", "%q is no MAC address like 08:00:27:aa:bb:cc", m.MAC)
		}
	}
	if m.Role != "" && !knownRole(m.Role) {
		add(at+".role", "%q is no role: one of %s", m.Role, strings.Join(roleNames(), ", "))
	}
}

// single is what the match names when it can only mean one NIC.
func (m Match) single() string {
	switch {
	case m.MAC != "":
		return "mac " + canonicalMAC(m.MAC)
	case m.Name != "" && !strings.ContainsAny(m.Name, `*?[\`):
		return "name " + m.Name
	case m.Path != "" && !strings.ContainsAny(m.Path, `*?[\`):
		return "path " + m.Path
	}
	return ""
}

func knownRole(r facts.Role) bool { return slices.Contains(roleNames(), string(r)) }

func roleNames() []string {
	return []string{string(facts.RoleNAT), string(facts.RoleBridged), string(facts.RoleHostOnly), string(facts.RoleGadget), string(facts.RoleWifi),
		string(facts.RoleVPN), string(facts.RoleContainer), string(facts.RoleOther)}
}
