package netplan

import (
	"fmt"
	"path"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/netplan/netdef"
	"github.com/provision-net/provision/backends/networkd"
	"github.com/provision-net/provision/backends/networkd/unit"
)

// goal is what systemd-networkd should end up with for one NIC.
type goal struct {
	metric4, metric6 uint32 // as they will be, changed or not
	set4, set6       bool   // asked for, and there is something to set
	noDNS            bool
	yaml             uint32 // the one metric that YAML can say
	inYAML           bool   // there is a YAML key, and it says all of it
	changed          bool   // the tree does not say it yet
}

// edit is the goal as networkd's own settings.
func (g goal) edit() networkd.Edit {
	e := networkd.Edit{NoDefaultDNS: g.noDNS}
	if g.set4 {
		e.Metric4 = &g.metric4
	}
	if g.set6 {
		e.Metric6 = &g.metric6
	}
	return e
}

// goal decides what to set for a NIC that id configures through systemd-networkd.
func (p *planner) goal(nic backends.NIC, id *netdef.ID) (goal, error) {
	s := id.Settings()
	base, written, agree := s.Networkd()
	if !agree {
		return goal{}, fmt.Errorf("id %s: dhcp4-overrides and dhcp6-overrides differ in route-metric (%s), which netplan refuses for systemd-networkd",
			id.Name, places(s.Over4, s.Over6))
	}
	g := goal{metric4: base, metric6: base}
	if !written {
		g.metric4, g.metric6 = networkd.DefaultMetric4, networkd.DefaultMetric6
	}
	g.set4 = p.settable(nic, id, s, 4, nic.Metric4, s.DHCP4, "dhcp4 is off")
	if g.set4 {
		g.metric4 = *nic.Metric4
	}
	g.set6 = p.settable(nic, id, s, 6, nic.Metric6, s.RA, "router advertisements are not accepted")
	if g.set6 {
		g.metric6 = *nic.Metric6
	}
	if nic.DemoteDNS {
		var text string
		g.noDNS, text = networkd.DemoteDNS(p.f, nic, p.version)
		p.note(map[bool]string{true: "info", false: "warning"}[g.noDNS], nic, "%s", text)
	}
	// What YAML says reaches router advertisements too, so it can only say one metric.
	g.yaml = g.metric4
	if !s.DHCP4 {
		g.yaml = g.metric6
	}
	g.inYAML = written && !g.noDNS && (g.metric4 == g.metric6 || !s.DHCP4 || !s.RA)
	switch {
	case written && g.inYAML:
		g.changed = g.yaml != base
	case written:
		g.changed = g.noDNS || g.set4 && g.metric4 != base || g.set6 && g.metric6 != base
	default:
		g.changed = g.noDNS || g.set6
	}
	if !g.set4 && g.set6 && s.DHCP4 && !g.inYAML && p.version > 0 && p.version <= 245 {
		p.note("warning", nic, "systemd-networkd %d has one metric for DHCPv4 and router advertisements: IPv4 gets %d too", p.version, g.metric6)
	}
	return g, nil
}

// settable reports whether a family's metric is asked for and can be set.
func (p *planner) settable(nic backends.NIC, id *netdef.ID, s netdef.Settings, family int, want *uint32, enabled bool, missing string) bool {
	if want == nil {
		return false
	}
	if r, ok := s.StaticOf(family); ok {
		metric := "no metric"
		if r.Metric != "" {
			metric = "metric " + r.Metric
		}
		p.note("warning", nic, "%s configures the IPv%d default route via %s with %s: netplan appends routes and cannot change one from another file, so it stays; give it \"metric: %d\" there, under routes",
			r.Pos.Source(), family, r.Gateway, metric, *want)
		return false
	}
	if !enabled {
		p.note("info", nic, "no IPv%d default route to set a metric for: %s for id %s (%s)", family, missing, id.Name, id.Pos.Source())
	}
	return enabled
}

func places(values ...*netdef.Value) string {
	var out []string
	for _, v := range values {
		if v != nil {
			out = append(out, v.Pos.Source()+" says "+v.Text)
		}
	}
	return strings.Join(out, ", ")
}

func (p *planner) forNetworkd(nic backends.NIC, id *netdef.ID) error {
	g, err := p.goal(nic, id)
	if err != nil {
		return err
	}
	p.touched = append(p.touched, nic)
	if g.set4 {
		p.outcomes = append(p.outcomes, outcome{nic, 4, g.metric4})
	}
	if g.set6 {
		p.outcomes = append(p.outcomes, outcome{nic, 6, g.metric6})
	}
	if sharers := p.tree.Sharers(p.f, id, nic.Link); len(sharers) > 0 && g.changed {
		return p.split(nic, id, g, sharers)
	}
	switch {
	case !g.changed:
		// The tree is right; what was generated from it may be older.
		if n := unit.ReadTree(p.f, true).Find(netdef.NetworkFile(id.Name)); n != nil && n.Unread == "" && !says(n, g, p.version) {
			p.generate = true
			p.note("info", nic, "the netplan tree says it already, but %s was generated before: it is brought in line", n.Path)
		}
	case !g.inYAML:
		p.note("info", nic, "netplan has no key for this: a drop-in for %s says it", netdef.NetworkFile(id.Name))
		return p.dropin(nic, id.Name, g.edit())
	default:
		p.generate = true
		overrides(p.delta.id(id.Type, id.Name), g.yaml, g.yaml)
		p.say(fmt.Sprintf("%s: %s", nic.Link.Name, nic.Why))
	}
	return nil
}

// says reports whether a .network file brings about what was asked for.
func says(n *unit.Network, g goal, version int) bool {
	s := networkd.ReadSettings(n.Entries, version)
	return (!g.set4 || s.Metric4.Metric == g.metric4) && (!g.set6 || s.Metric6.Metric == g.metric6 && s.Metric6.Source != "")
}

// dropin wants a drop-in in /etc for the generated file of id.
func (p *planner) dropin(nic backends.NIC, id string, edit networkd.Edit) error {
	text, err := edit.Dropin(p.version)
	if err != nil {
		return err
	}
	n := unit.ReadTree(p.f, true).Find(netdef.NetworkFile(id))
	if n == nil {
		n = &unit.Network{Base: netdef.NetworkFile(id)}
	}
	at := networkd.DropinPath(n, unit.EtcDir)
	if later := n.Later(path.Base(at)); len(later) > 0 {
		p.note("warning", nic, "%s is read after our %s and may win", strings.Join(later, ", "), path.Base(at))
	}
	p.write(nic, at, text)
	return nil
}

// split gives the NIC an id of its own, because id configures other links too. The
// new id holds all that the old one says, and its generated file sorts before the
// old one's: systemd-networkd takes the first file that fits and no other.
func (p *planner) split(nic backends.NIC, id *netdef.ID, g goal, sharers []string) error {
	if users := p.tree.Users(id); len(users) > 0 {
		return fmt.Errorf("id %s (%s) configures %s too and is used by %s, so it cannot be split: give the NIC an id of its own",
			id.Name, id.Pos.Source(), strings.Join(sharers, ", "), strings.Join(users, ", "))
	}
	name, ok := idBefore(p.tree, id, nic.Link.Name)
	if !ok {
		return fmt.Errorf("id %s (%s) configures %s too, and no id sorts before it: rename it", id.Name, id.Pos.Source(), strings.Join(sharers, ", "))
	}
	p.note("info", nic, "id %s (%s) also configures %s: id %s, which systemd-networkd finds first, says the same for this NIC alone",
		id.Name, id.Pos.Source(), strings.Join(sharers, ", "), name)
	n := p.delta.id(id.Type, name)
	for _, key := range id.Def.Keys {
		switch key {
		case "match", "set-name":
		default:
			set(n, key, copyOf(id.Def.Items[key]))
		}
	}
	set(n, "match", match(nic.Link))
	if id.Def.Get("renderer") == nil {
		set(n, "renderer", str(id.Renderer))
	}
	p.generate = true
	p.say(fmt.Sprintf("%s: %s", nic.Link.Name, nic.Why))
	if g.inYAML {
		overrides(n, g.yaml, g.yaml)
	} else { // the copied metric stays, for the family that is to be left alone
		if err := p.dropin(nic, name, g.edit()); err != nil {
			return err
		}
	}
	return nil
}

// fresh plans a NIC without configuration.
func (p *planner) fresh(nic backends.NIC) error {
	if nic.Link.DevType == "wlan" {
		return fmt.Errorf("a Wi-Fi device needs an access point: add it to a file in %s", netdef.EtcDir)
	}
	id := freeID(p.tree, nic.Link.Name)
	n := p.delta.id("ethernets", id)
	set(n, "match", match(nic.Link))
	set(n, "dhcp4", boolean(nic.DHCP4))
	set(n, "dhcp6", boolean(nic.DHCP6))
	if nic.Optional {
		set(n, "optional", boolean(true))
	}
	p.generate = true
	p.say(fmt.Sprintf("%s: %s", nic.Link.Name, nic.Why))
	if p.freshRenderer() == netdef.RendererNM {
		p.freshNM(nic, n)
		return nil
	}
	m4, m6 := uint32(netdef.DefaultMetric), uint32(netdef.DefaultMetric)
	if nic.Metric4 != nil {
		m4 = *nic.Metric4
	}
	if nic.Metric6 != nil {
		m6 = *nic.Metric6
	} else {
		m6 = m4
	}
	if nic.Metric4 == nil {
		m4 = m6
	}
	yaml := m4
	if !nic.DHCP4 {
		yaml = m6
	}
	overrides(n, yaml, yaml)
	g := goal{metric4: m4, metric6: m6, set4: nic.DHCP4 && nic.Metric4 != nil, set6: nic.DHCP6 && nic.Metric6 != nil}
	p.touched = append(p.touched, nic)
	p.raised = append(p.raised, nic)
	if g.set4 {
		p.outcomes = append(p.outcomes, outcome{nic, 4, m4})
	}
	if g.set6 {
		p.outcomes = append(p.outcomes, outcome{nic, 6, m6})
	}
	if m4 != m6 && nic.DHCP4 && nic.DHCP6 {
		return p.dropin(nic, id, g.edit())
	}
	return nil
}

// freshRenderer is what an id without a renderer of its own gets.
func (p *planner) freshRenderer() string {
	if r := p.tree.Renderer.String(); r != "" {
		return r
	}
	return netdef.RendererNetworkd
}
