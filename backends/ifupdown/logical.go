package ifupdown

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/provision-net/provision/backends/ifupdown/interfaces"
)

// devices is what patterns of auto and allow- lines are held against.
func (p *plan) devices() []interfaces.Device {
	var out []interfaces.Device
	for _, l := range p.f.Links {
		out = append(out, interfaces.Device{Name: l.Name, MAC: l.MAC})
	}
	return out
}

// naming is how a NIC comes to its stanzas.
type naming struct {
	logicals []string
	entries  []interfaces.Entry // auto and allow- lines that name it
}

// logicals says as which logical interfaces ifup would bring up, or has brought up,
// the NIC. A mapping script is never run: what it said is known only while the NIC is
// up (ifstate).
func (p *plan) logicals(link string) (naming, error) {
	var n naming
	devices := p.devices()
	name := link
	for _, r := range p.config.Renames {
		targets, err := interfaces.Targets(r.From, devices)
		if err != nil {
			return n, fmt.Errorf("%v: %w", r.Place, err)
		}
		if slices.ContainsFunc(targets, func(t interfaces.Target) bool { return t.Name == link }) {
			name = r.To
		}
	}
	add := func(logical string) {
		if !slices.Contains(n.logicals, logical) {
			n.logicals = append(n.logicals, logical)
		}
	}
	for _, e := range p.config.Entries {
		targets, err := interfaces.Targets(e.Name, devices)
		if err != nil {
			return n, fmt.Errorf("%v: %w", e.Place, err)
		}
		for _, t := range targets {
			if t.Name == name || t.Name == link {
				n.entries = append(n.entries, e)
				if t.Logical == link {
					t.Logical = name
				}
				add(t.Logical)
			}
		}
	}
	if len(n.logicals) == 0 {
		add(name)
	}
	up := p.f.Ifupdown.State[link]
	for _, m := range p.config.Mappings {
		if !slices.ContainsFunc(n.logicals, m.Matches) {
			continue
		}
		if up == "" {
			return n, fmt.Errorf("the mapping at %v asks the script %q which stanza to use, and it is not run to find out: write the stanza's name into the auto line (auto %s=NAME) instead", m.Place, m.Script, link)
		}
		n.logicals = nil
	}
	if up != "" {
		add(up)
	}
	// An alias is a stanza of its own on the same NIC.
	for _, s := range p.config.Stanzas {
		if strings.HasPrefix(s.Logical, link+":") {
			add(s.Logical)
		}
	}
	return n, nil
}

// stanzas returns all stanzas of the NIC, in the order in which ifup carries them out.
func (p *plan) stanzas(n naming) []*interfaces.Stanza {
	var out []*interfaces.Stanza
	for _, s := range p.config.Stanzas {
		if slices.Contains(n.logicals, s.Logical) {
			out = append(out, s)
		}
	}
	return out
}

// isNIC reports whether ifup's name stands for the NIC or for an alias on it.
func isNIC(name, link string) bool { return name == link || strings.HasPrefix(name, link+":") }

// limited refuses an edit of s that would reach beyond the NIC.
func (p *plan) limited(s *interfaces.Stanza, link string) error {
	if heirs := p.config.Heirs(s); len(heirs) > 0 {
		return fmt.Errorf("%v: the stanza of %s is inherited by that of %s (%v), which would get the metric too: give %s a stanza of its own",
			s.Place, s.Logical, heirs[0].Logical, heirs[0].Place, link)
	}
	devices := p.devices()
	for _, e := range p.config.Entries {
		targets, err := interfaces.Targets(e.Name, devices)
		if err != nil {
			return fmt.Errorf("%v: %w", e.Place, err)
		}
		for _, t := range targets {
			if t.Logical == s.Logical && !isNIC(t.Name, link) {
				return fmt.Errorf("%v: the stanza of %s also serves %s (%s at %v): give %s a stanza of its own",
					s.Place, s.Logical, t.Name, e.Name, e.Place, link)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.f.Ifupdown.State)) {
		if p.f.Ifupdown.State[name] == s.Logical && !isNIC(name, link) {
			return fmt.Errorf("%v: the stanza of %s also serves %s (it is up with it): give %s a stanza of its own", s.Place, s.Logical, name, link)
		}
	}
	for _, m := range p.config.Mappings {
		for _, l := range p.f.Links {
			if l.Name == link || !m.Matches(l.Name) || p.f.Ifupdown.State[l.Name] != "" {
				continue
			}
			if slices.ContainsFunc(m.Maps, func(text string) bool { return slices.Contains(strings.Fields(text), s.Logical) }) {
				return fmt.Errorf("%v: the mapping at %v may choose the stanza of %s for %s too: give %s a stanza of its own", s.Place, m.Place, s.Logical, l.Name, link)
			}
		}
	}
	return nil
}
