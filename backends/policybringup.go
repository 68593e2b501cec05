package backends

import (
	"fmt"
	"slices"

	"github.com/provision-net/provision/backends/claim"
	"github.com/provision-net/provision/provision/facts"
)

// mayBringUp reports whether the NIC is one that nobody configures, or nobody but an
// earlier apply, and that the policy may give DHCP.
func (p *policy) mayBringUp(c *candidate) bool {
	if c.left != "" || !claim.Ethernet(c.link) {
		return false
	}
	switch mine := p.broughtUp(c); {
	case mine && c.verdict.Role == facts.RoleHostOnly: // its DHCP server names no router
	case c.verdict.Role != facts.RoleBridged && c.verdict.Role != facts.RoleNAT:
		return false
	case mine:
	case hasAddress(p.f, c.link, 4) || byHand6(p.f, c.link) || c.owner.Owner != None && !p.profileless(c):
		return false
	}
	switch {
	case c.ruled && c.rule.BringUp != nil:
		return *c.rule.BringUp
	case c.ruled && (c.rule.DHCP4 != nil && *c.rule.DHCP4 || c.rule.DHCP6 != nil && *c.rule.DHCP6):
		return true
	case p.cfg.BringUp != nil:
		return *p.cfg.BringUp
	}
	if _, manual := p.saysManual(c.link); manual {
		return false
	}
	// A configuration that is about one NIC says nothing about the unused ports of a server.
	return p.hasNAT || p.cfg.FirstMetric != 0 || c.ruled
}

// byHand6 reports whether the NIC has a global IPv6 address that no router
// advertisement and no DHCPv6 server gave it.
func byHand6(f *facts.Facts, l facts.Link) bool {
	return slices.ContainsFunc(f.Addrs, func(a facts.Address) bool {
		return a.Link == l.Index && a.Scope == "global" && a.Prefix.Addr().Is6() && !a.Dynamic
	})
}

// bringUp hands NICs without a configuration to a manager, and takes the metrics away
// again from NICs that nobody could be asked about.
func (p *policy) bringUp() {
	assigned, why := AssignNew(p.f, p.owners)
	for _, c := range p.all {
		if c.left != "" {
			continue
		}
		if c.ruled {
			set := func(to *bool, from *bool) {
				if from != nil {
					*to = *from
				}
			}
			set(&c.nic.DHCP4, c.rule.DHCP4)
			set(&c.nic.DHCP6, c.rule.DHCP6)
			set(&c.nic.Optional, c.rule.Optional)
		}
		if writable(c.owner.Owner) {
			c.nic.BringUp = p.mayBringUp(c)
			switch mine := p.broughtUp(c); {
			case mine && !c.nic.BringUp:
				c.left = "only provision had configured it, and that is switched off: it goes back to how it was found"
			case mine && !c.nic.DHCP4 && !c.nic.DHCP6:
				c.left = "its rule asks for neither dhcp4 nor dhcp6"
			case mine:
			case c.nic.BringUp:
				p.note("info", c.link.Name, "%s manages it but has no configuration for it: it gets %s", c.owner.Owner, protocols(c.nic))
			}
			continue
		}
		switch {
		case !p.mayBringUp(c):
			if wanted(c.nic) {
				p.note("warning", c.link.Name, "no manager owns it: its metric cannot be kept, so it is left alone")
			}
			c.left = "no manager owns it"
			if source, manual := p.saysManual(c.link); manual {
				c.left = "no manager owns it, and " + source + " says manual: a rule with bring-up: true would bring it up all the same"
			}
		case !c.nic.DHCP4 && !c.nic.DHCP6:
			c.left = "its rule asks for neither dhcp4 nor dhcp6"
		case !writable(assigned.Owner):
			c.left = "it has no configuration, and " + why
		default:
			c.nic.BringUp = true
			c.nic.Owner.Owner, c.nic.Owner.Renderer = assigned.Owner, assigned.Renderer
			c.nic.Owner.Evidence = append([]Evidence{{Manager: assigned.Owner, Weight: 0, Text: "assigned: " + why, Source: "policy"}}, c.nic.Owner.Evidence...)
			p.note("info", c.link.Name, "nobody configures it: %s brings it up with %s, as %s", assigned.Owner, protocols(c.nic), why)
		}
	}
}

func protocols(n NIC) string {
	switch {
	case n.DHCP4 && n.DHCP6:
		return "DHCPv4, DHCPv6 and router advertisements"
	case n.DHCP6:
		return "DHCPv6 and router advertisements"
	}
	return "DHCPv4"
}

// clashes reports rules that on this machine give two NICs one metric, and metrics
// that cannot be.
func (p *policy) clashes() []error {
	var errs []error
	for _, family := range []int{4, 6} {
		holder := map[uint32]*candidate{}
		for _, c := range p.all {
			m := c.nic.Metric4
			if family == 6 {
				m = c.nic.Metric6
			}
			if c.left != "" || m == nil {
				continue
			}
			if *m == 0 {
				errs = append(errs, fmt.Errorf("nics[%d]: cannot give %s metric 0: in IPv4 it means none and beats everything", c.ruleAt, c.link.Name))
				continue
			}
			if o := holder[*m]; o != nil {
				errs = append(errs, fmt.Errorf("cannot give %s and %s the same IPv%d metric %d (%s; %s): set another route-metric for one of them",
					o.link.Name, c.link.Name, family, *m, o.nic.Why, c.nic.Why))
				continue
			}
			holder[*m] = c
		}
	}
	return errs
}

// conflicts is the error about NICs that would be written and have two live owners.
func (p *policy) conflicts() error {
	var e ConflictError
	for _, c := range p.all {
		if c.left == "" && wanted(c.nic) && c.owner.Conflict() {
			e.Owners = append(e.Owners, c.owner)
		}
	}
	if len(e.Owners) == 0 {
		return nil
	}
	return &e
}
