package backends

import (
	"fmt"
	"math"
	"slices"
	"sort"

	"github.com/provision-net/provision/provision/facts"
)

// nat gives the NAT NICs the metric that loses against every other NIC: 1000, or one
// more than the largest effective default of the others. It is one number for both
// families, found by looking at both, because netplan cannot generate two for a NIC
// with DHCPv4 and DHCPv6.
func (p *policy) nat() {
	if !slices.ContainsFunc(p.all, isNAT) {
		return
	}
	base, why := uint32(defaultNAT), ""
	if p.cfg.NATMetric != 0 {
		base, why = p.cfg.NATMetric, "nat-metric"
	}
	need, because := p.loses()
	switch {
	case p.cfg.NATMetric != 0 && need > base:
		p.note("warning", "nat-metric", "%d does not lose against %s: it takes at least %d", base, because, need)
	case p.cfg.NATMetric == 0 && need > base:
		base, why = need, fmt.Sprintf("a NAT NIC must lose against %s", because)
	case p.cfg.NATMetric == 0:
		why = "a NAT NIC must lose against every other NIC"
	}
	rank := uint32(0)
	for _, c := range p.inMemoryOrder(isNAT) {
		if base > math.MaxUint32-rank {
			p.note("warning", c.link.Name, "no metric is left above %d", base)
			continue
		}
		if !writable(c.owner.Owner) {
			c.left = "it is behind NAT, but no manager could be asked to change its metric"
			continue
		}
		p.fill(c, base+rank, why)
		rank++
	}
}

// firstMetric is the metric that the row of uplinks begins with. Where the default
// route of a device that is left alone wins now (a VPN at 50, a bridge, a static route),
// it must win afterwards too, or traffic would leave a tunnel that was meant for it: then
// the row begins behind it, and stays there when that device is away.
func (p *policy) firstMetric() uint32 {
	if p.cfg.FirstMetric != 0 {
		return p.cfg.FirstMetric
	}
	first := max(defaultFirst, p.mem.First)
	for _, family := range []int{4, 6} {
		keeper, metric := p.unmoved(family)
		if keeper == nil || metric < first || metric >= maxFirst {
			continue
		}
		beats, others := true, false
		for _, c := range p.all {
			if c == keeper || c.verdict.Role == facts.RoleNAT || p.stays(c, family) {
				continue
			}
			if _, explicit := p.asked(c, family); explicit {
				continue
			}
			others = true
			for _, r := range brought(p.f, c.link, family) {
				beats = beats && metric < r.Metric
			}
		}
		if beats && others {
			first = metric + 1
			p.mem.First = first
			p.note("info", keeper.link.Name, "its IPv%d default route has metric %d and wins: the row of uplinks begins at %d, behind it; first-metric changes this", family, metric, first)
		}
	}
	return first
}

// unmoved is the best default route of a family whose metric this policy does not set.
func (p *policy) unmoved(family int) (keeper *candidate, metric uint32) {
	for _, c := range p.all {
		if c.verdict.Role == facts.RoleNAT || !p.stays(c, family) {
			continue
		}
		for _, r := range brought(p.f, c.link, family) {
			if keeper == nil || r.Metric < metric {
				keeper, metric = c, r.Metric
			}
		}
	}
	return keeper, metric
}

// stays reports whether the metric of a NIC's default route of a family is left as it is.
func (p *policy) stays(c *candidate, family int) bool {
	if _, explicit := p.asked(c, family); explicit && c.left == "" {
		return false
	}
	return c.left != "" || !p.inRow(c) || static(p.f, c.link, family) || !writable(p.managerOf(c))
}

// asked is the metric that a rule asks for.
func (p *policy) asked(c *candidate, family int) (uint32, bool) {
	m4, m6 := c.rule.metrics()
	m := m4
	if family == 6 {
		m = m6
	}
	if !c.ruled || m == nil {
		return 0, false
	}
	return *m, true
}

func isNAT(c *candidate) bool { return c.left == "" && c.verdict.Role == facts.RoleNAT }

// loses is one more than the largest metric that a default route of any other NIC has
// or will have, and which NIC that is.
func (p *policy) loses() (need uint32, because string) {
	for _, c := range p.all {
		if c.verdict.Role == facts.RoleNAT && c.left == "" || p.isLate(c) {
			continue
		}
		for _, family := range []int{4, 6} {
			m, how, ok := p.effective(c, family)
			if ok && m < math.MaxUint32 && m+1 > need {
				need, because = m+1, fmt.Sprintf("%s, whose IPv%d default %s", c.link.Name, family, how)
			}
		}
	}
	return need, because
}

// effective is the metric of a NIC's default route after this plan: the one it is
// given (with NetworkManager's penalty while that is on), else the one it has, else
// for an uplink without one the one its manager would give it.
func (p *policy) effective(c *candidate, family int) (metric uint32, how string, ok bool) {
	want := c.nic.Metric4
	if family == 6 {
		want = c.nic.Metric6
	}
	if c.left == "" && want != nil && writable(p.managerOf(c)) {
		m := *want
		if Penalised(p.f, c.link, c.owner, family) {
			m = saturate(m, penalty)
			return m, fmt.Sprintf("has %d: NetworkManager adds %d while its connectivity check fails", m, penalty), true
		}
		return m, fmt.Sprintf("gets %d", m), true
	}
	if m, ok := present(p.f, c.link, family); ok {
		return m, fmt.Sprintf("has %d", m), true
	}
	if (c.verdict.Role == facts.RoleBridged || c.verdict.Role == facts.RoleWifi) && writable(c.owner.Owner) && c.link.Master == 0 {
		m := expected(c.link, c.owner, family)
		return m, fmt.Sprintf("would get %d from %s", m, c.owner.Owner), true
	}
	return 0, "", false
}

// managerOf is the manager that will carry out what is wanted of the NIC.
func (p *policy) managerOf(c *candidate) Manager {
	if writable(c.owner.Owner) {
		return c.owner.Owner
	}
	if p.mayBringUp(c) {
		o, _ := AssignNew(p.f, p.owners)
		return o.Owner
	}
	return c.owner.Owner
}

func saturate(a, b uint32) uint32 {
	if a > math.MaxUint32-b {
		return math.MaxUint32
	}
	return a + b
}

// isLate reports whether the NIC was plugged in later and no rule names it. It stays
// remembered while a rule does, so that taking the rule away leaves no trace.
func (p *policy) isLate(c *candidate) bool {
	return c.slot >= 0 && p.mem.NICs[c.slot].Late && !c.ruled
}

// late gives the NICs that were plugged into the running machine, and that no rule
// names, metrics behind everything that was there: plugging something in never moves
// the default.
func (p *policy) late() {
	behind := uint32(0)
	for _, c := range p.all {
		if p.isLate(c) {
			continue
		}
		for _, family := range []int{4, 6} {
			if m, _, ok := p.effective(c, family); ok {
				behind = max(behind, m)
			}
		}
	}
	rank := uint32(1)
	for _, c := range p.inMemoryOrder(func(c *candidate) bool { return c.left == "" && p.isLate(c) && !isNAT(c) }) {
		if behind > math.MaxUint32-rank {
			p.note("warning", c.link.Name, "no metric is left behind %d", behind)
			continue
		}
		p.fill(c, behind+rank, "it was plugged in later: it never gets a better metric than those that were there, unless a rule names it")
		p.note("info", c.link.Name, "it was plugged into the running machine and gets metric %d, behind every other NIC; a rule that matches it changes this", behind+rank)
		rank++
	}
}

func (p *policy) inMemoryOrder(keep func(*candidate) bool) []*candidate {
	var out []*candidate
	for _, c := range p.byBus() {
		if keep(c) {
			out = append(out, c)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].slot < out[j].slot })
	return out
}
