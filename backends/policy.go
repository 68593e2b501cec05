package backends

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/provision-net/provision/backends/claim"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
)

const (
	defaultNAT   = 1000
	defaultFirst = 10
	// maxFirst leaves room for a thousand NICs and the NAT NICs behind them.
	maxFirst = math.MaxUint32 - 2000
)

// ConflictError says that two live managers own a NIC that would be written: nothing
// may be planned until one of them is stopped (exit code 4).
type ConflictError struct {
	Owners []Ownership
}

// Error names each NIC and its owners with the heaviest evidence for each, and what to
// do.
func (e *ConflictError) Error() string {
	var nics []string
	for _, o := range e.Owners {
		var all []string
		for _, m := range append([]Manager{o.Owner}, o.Rivals...) {
			name := string(m)
			if i := slices.IndexFunc(o.Evidence, func(e Evidence) bool { return e.Manager == m }); i >= 0 {
				name += " (" + o.Evidence[i].Text + ")"
			}
			all = append(all, name)
		}
		nics = append(nics, fmt.Sprintf("%s is configured by %s", o.Link, strings.Join(all, " and ")))
	}
	return "cannot plan: two live managers own a NIC: " + strings.Join(nics, "; ") + ": stop and disable one of them, or set manage: false for the NIC"
}

// Decision is what the policy wants.
type Decision struct {
	NICs   []NIC // in the order of the links; only those for which something should hold
	Notes  []provision.Note
	Memory Memory
	// Left says for each other link why it is left alone, by link index.
	Left map[int]string
}

// candidate is one link on its way through the policy.
type candidate struct {
	link    facts.Link
	owner   Ownership
	verdict RoleVerdict
	rule    NICRule
	ruled   bool
	ruleAt  int
	left    string // why it is left alone
	slot    int    // in the memory, -1 none
	nic     NIC
}

// Decide applies the policy: which NICs should have which metric, and which are to be
// brought up. It is pure; what it allots is returned as the memory for the next run.
// Problems of the configuration that only this machine shows, and conflicts
// (*ConflictError), are returned as one error, and then nothing is wanted.
func Decide(f *facts.Facts, owners []Ownership, roles map[int]RoleVerdict, cfg Config, mem Memory) (Decision, error) {
	p := policy{f: f, cfg: cfg, owners: owners, mem: Memory{Version: memoryVersion, Boot: mem.Boot, First: min(mem.First, maxFirst), NICs: slices.Clone(mem.NICs)}, before: mem}
	p.collect(roles)
	d := Decision{Left: map[int]string{}}
	if why := p.idle(); why != "" {
		d.Notes = append(d.Notes, provision.Note{Level: "info", Subject: "policy", Text: why})
		for _, c := range p.all {
			if c.left == "" {
				c.left = why
			}
			d.Left[c.link.Index] = c.left
		}
		d.Memory = mem
		return d, nil
	}
	p.allot()
	p.nat()
	p.late()
	p.bringUp()
	err := errors.Join(p.clashes()...)
	if c := p.conflicts(); c != nil {
		err = errors.Join(err, c)
	}
	if err != nil {
		return Decision{Left: d.Left, Memory: mem, Notes: p.notes}, err
	}
	for _, c := range p.all {
		if c.left == "" && !wanted(c.nic) {
			c.left = "nothing is asked of it"
		}
		if c.left != "" {
			d.Left[c.link.Index] = c.left
			if c.ruled || c.verdict.Role == facts.RoleNAT || c.verdict.Role == facts.RoleBridged {
				p.note("info", c.link.Name, "left alone: %s", c.left)
			}
			continue
		}
		d.NICs = append(d.NICs, c.nic)
	}
	d.Notes, d.Memory = p.notes, p.mem
	return d, nil
}

func wanted(n NIC) bool { return n.Metric4 != nil || n.Metric6 != nil || n.BringUp || n.DemoteDNS }

type policy struct {
	f      *facts.Facts
	cfg    Config
	owners []Ownership
	mem    Memory
	before Memory       // as it was given
	all    []*candidate // in the order of the links
	notes  []provision.Note
	fresh  bool // the memory was empty: this is the first run
	files  *claim.Files
	hasNAT bool // a NAT NIC that may be written
}

//go:noinline
func (p *policy) note(level, subject, format string, args ...any) {
	p.notes = append(p.notes, provision.Note{Level: level, Subject: subject, Text: fmt.Sprintf(format, args...)})
}

// collect finds each link's rule, role and what protects it.
func (p *policy) collect(roles map[int]RoleVerdict) {
	byName := map[string]Ownership{}
	for _, o := range p.owners {
		byName[o.Link] = o
	}
	p.fresh = len(p.mem.NICs) == 0
	p.files = claim.Of(p.f)
	bound := p.mem.bind(p.links())
	for _, l := range p.f.Links {
		c := &candidate{link: l, owner: byName[l.Name], verdict: roles[l.Index], slot: -1}
		if i, ok := bound[l.Index]; ok {
			c.slot = i
			// At boot the lease may come after the plan.
			if p.mem.NICs[i].NAT && c.verdict.Role == facts.RoleBridged && len(ipv4Of(p.f, l)) == 0 && otherUplinks(p.f, l) > 0 {
				c.verdict = RoleVerdict{facts.RoleNAT, NATThreshold, []string{"it was behind NAT, and has no address yet"}}
			}
		}
		c.rule, c.ruleAt, c.ruled = p.cfg.rule(l, c.verdict.Role)
		if c.ruled && c.rule.Role != "" {
			c.verdict = RoleVerdict{c.rule.Role, 100, []string{fmt.Sprintf("nics[%d].role says so", c.ruleAt)}}
		}
		c.left = protected(p.f, l, c.verdict.Role)
		switch {
		case c.left != "":
		case c.ruled && c.rule.Manage != nil && !*c.rule.Manage:
			c.left = fmt.Sprintf("nics[%d] says manage: false", c.ruleAt)
		case c.owner.Owner == Foreign:
			c.left = "a DHCP client that no known manager started configures it: " + heaviest(c.owner)
		}
		c.nic = NIC{Link: l, Role: c.verdict.Role, Owner: c.owner, Lazy: p.cfg.Lazy, AllowGap: p.cfg.AllowGap,
			DHCP4: true, DHCP6: true, Optional: true}
		if c.left == "" && c.verdict.Role == facts.RoleNAT && writable(c.owner.Owner) {
			p.hasNAT = true
		}
		p.all = append(p.all, c)
	}
}

func heaviest(o Ownership) string {
	if len(o.Evidence) == 0 {
		return "no evidence"
	}
	return o.Evidence[0].Text + " (" + o.Evidence[0].Source + ")"
}

// idle says why nothing at all is done: without any configuration the policy acts
// only where a NAT NIC is, and never where a cloud platform or a CNI plugin rules.
func (p *policy) idle() string {
	if !p.cfg.Empty() {
		return ""
	}
	m := p.f.Machine
	switch {
	case m.Cloud != "":
		return fmt.Sprintf("no configuration, and the cloud platform %s is in charge of the network: nothing is changed", m.Cloud)
	case m.CNI != "":
		return fmt.Sprintf("no configuration, and a CNI plugin is in charge of the network (%s): nothing is changed", m.CNI)
	case !p.hasNAT:
		for _, c := range p.all {
			if c.verdict.Role == facts.RoleNAT && c.left != "" {
				return fmt.Sprintf("no configuration, and the only NAT NIC %s is left alone: %s", c.link.Name, c.left)
			}
			if c.verdict.Role == facts.RoleNAT {
				return fmt.Sprintf("no configuration, and the NAT NIC %s has no manager that could be asked", c.link.Name)
			}
		}
		return "no configuration and no NIC behind a hypervisor's NAT: nothing is changed"
	}
	return ""
}

// explicit sets what the NIC's rule asks for.
func (p *policy) explicit(c *candidate) (has4, has6 bool) {
	if !c.ruled {
		return false, false
	}
	m4, m6 := c.rule.metrics()
	if m4 != nil || m6 != nil {
		c.nic.Why = fmt.Sprintf("nics[%d].route-metric", c.ruleAt)
	}
	c.nic.Metric4, c.nic.Metric6 = clone(m4), clone(m6)
	return m4 != nil, m6 != nil
}

func clone(p *uint32) *uint32 {
	if p == nil {
		return nil
	}
	v := *p
	return &v
}

// fill gives the NIC a metric in each family that its rule did not set and that is
// not static or switched off.
func (p *policy) fill(c *candidate, metric uint32, why string) {
	has4, has6 := p.explicit(c)
	if !has4 && !p.closed(c, 4) {
		c.nic.Metric4 = &metric
	}
	if !has6 && !p.closed(c, 6) {
		m := metric
		c.nic.Metric6 = &m
	}
	if c.nic.Why == "" {
		c.nic.Why = why
	}
}

// closed reports whether a family of the NIC is none of the policy's business.
func (p *policy) closed(c *candidate, family int) bool {
	if family == 6 && c.link.Sysctl["ipv6.disable_ipv6"] == "1" {
		return true
	}
	if !static(p.f, c.link, family) {
		return false
	}
	m, _ := present(p.f, c.link, family)
	level := "info"
	if family == 4 && m == 0 {
		level = "warning"
	}
	p.note(level, c.link.Name, "its IPv%d default route is static configuration and keeps its metric %d; a rule with route-metric for this NIC changes it", family, m)
	return true
}

// slot returns the NIC's place in the memory, adding one where it has none.
func (p *policy) slot(c *candidate) *Slot {
	if c.slot < 0 {
		p.mem.NICs = append(p.mem.NICs, identity(c.link))
		p.mem.Boot = p.f.Machine.BootID
		c.slot = len(p.mem.NICs) - 1
	}
	s := &p.mem.NICs[c.slot]
	id := identity(c.link)
	s.Name, s.Path, s.MAC = id.Name, id.Path, id.MAC
	return s
}

// allot gives the uplinks their metrics: first-metric plus their place in the order
// in which they were first seen. What a rule sets explicitly is left out of the row.
func (p *policy) allot() {
	used := map[uint32]bool{}
	next := uint32(0)
	for _, s := range p.mem.NICs {
		if s.N != nil {
			used[*s.N], next = true, max(next, *s.N+1)
		}
	}
	first := p.firstMetric()
	for _, c := range p.byBus() {
		if c.left != "" {
			continue
		}
		p.dns(c)
		if !p.inRow(c) {
			if c.verdict.Role != facts.RoleNAT {
				p.explicit(c)
			}
			continue
		}
		isNew := c.slot < 0
		s := p.slot(c)
		s.NAT = c.verdict.Role == facts.RoleNAT && (!c.ruled || c.rule.Role == "")
		if isNew && !p.fresh && c.verdict.Role != facts.RoleNAT && p.before.plugged(c.link, p.f.Machine.BootID) {
			s.Late = true
		}
		if p.isLate(c) || c.verdict.Role == facts.RoleNAT {
			continue
		}
		if m4, m6 := c.rule.metrics(); m4 != nil && m6 != nil {
			p.explicit(c)
			continue
		}
		if s.N == nil || p.reserved(c, first+*s.N) {
			for p.reserved(c, first+next) {
				next++
			}
			n := next
			s.N, next = &n, next+1
		}
		p.fill(c, first+*s.N, fmt.Sprintf("uplink number %d, from first-metric %d", *s.N+1, first))
	}
}

// reserved reports whether a rule gives the metric to another NIC.
func (p *policy) reserved(c *candidate, metric uint32) bool {
	for _, o := range p.all {
		if o == c || !o.ruled || o.left != "" {
			continue
		}
		m4, m6 := o.rule.metrics()
		if m4 != nil && *m4 == metric || m6 != nil && *m6 == metric {
			return true
		}
	}
	return false
}

// inRow reports whether the NIC takes part in the policy: NAT NICs and uplinks where
// a NAT NIC is or first-metric is set, and whatever a rule names. A NIC that was in the
// row stays there while its network offers no way out: a default route that is missing
// for an hour must not rewrite files.
func (p *policy) inRow(c *candidate) bool {
	switch c.verdict.Role {
	case facts.RoleNAT:
		return true
	case facts.RoleBridged:
		return p.hasNAT || p.cfg.FirstMetric != 0 || c.ruled
	case facts.RoleHostOnly:
		return c.slot >= 0 && (p.mem.NICs[c.slot].N != nil || p.mem.NICs[c.slot].Late) && (p.hasNAT || p.cfg.FirstMetric != 0 || c.ruled)
	}
	return false
}

func (p *policy) links() []facts.Link {
	out := slices.Clone(p.f.Links)
	sort.SliceStable(out, func(i, j int) bool { return busOrder(out[i], out[j]) < 0 })
	return out
}

func (p *policy) byBus() []*candidate {
	out := slices.Clone(p.all)
	sort.SliceStable(out, func(i, j int) bool { return busOrder(out[i].link, out[j].link) < 0 })
	return out
}

// dns decides about the NIC's name servers and always says so where it is a NAT NIC.
func (p *policy) dns(c *candidate) {
	how := ""
	if c.verdict.Role == facts.RoleNAT {
		how = p.cfg.DNS
	}
	if c.ruled && c.rule.DNS != "" {
		how = c.rule.DNS
	}
	c.nic.DemoteDNS = how == "demote"
	if c.verdict.Role != facts.RoleNAT {
		return
	}
	servers := slices.Clone(p.f.DNS.ByLink[c.link.Name])
	servers = append(servers, p.f.Networkd.Links[c.link.Index].DNS...)
	slices.Sort(servers)
	list := strings.Join(slices.Compact(servers), ", ")
	if list == "" {
		list = "whatever its DHCP server names"
	}
	if c.nic.DemoteDNS {
		p.note("info", c.link.Name, "its name servers (%s) are asked last", list)
	} else {
		p.note("info", c.link.Name, "its name servers (%s) stay in use: a metric moves routes, not DNS; dns: demote asks them last", list)
	}
}

// profileless reports whether NetworkManager manages the link without any profile.
func (p *policy) profileless(c *candidate) bool {
	d, ok := p.f.NM.Devices[c.link.Index]
	return ok && c.owner.Owner == NetworkManager && d.Managed == "managed" && d.UUID == "" && len(claim.NM(p.f, c.link)) == 0
}
