package firewall

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/routing/match"
)

// zone is a Zone with everything settled.
type zone struct {
	name           string
	exact          []string // names of interfaces, sorted
	patterns       []string // beginnings with a star, sorted
	outside        bool
	input, forward string
	log            bool
	management     bool
	manage         string // what those who are in it ask for: "", yes, no
	masq4          bool
	masq6          string // "", auto, yes
	antiSpoofing   bool
	mss            uint16
}

// has says whether every interface that name means is one of the zone's.
func (z *zone) has(name string) bool {
	return slices.Contains(z.exact, name) || slices.ContainsFunc(z.patterns, func(p string) bool { return match.Covers(p, name) })
}

func (z *zone) interfaces() []string { return append(slices.Clone(z.exact), z.patterns...) }

// zoneName: what the kernel's names of chains can be made of, and never one of nft's own words,
// because chains are called input.NAME and the like.
func zoneName(s string) bool {
	letter := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' }
	return s != "" && len(s) <= 32 && letter(rune(s[0])) &&
		!strings.ContainsFunc(s, func(r rune) bool { return !letter(r) && r != '_' && r != '-' })
}

// ifaceProblem says what is wrong with a name of an interface (dev_valid_name of net/core/dev.c).
func ifaceProblem(name string) string {
	bare := strings.TrimSuffix(name, "*")
	switch {
	case name == "*" || name == anyWord:
		return "would be every interface: name those of this zone; what is in no zone is refused anyway"
	case bare == "" || bare == "." || bare == "..":
		return fmt.Sprintf("%q is no name of an interface", name)
	case len(bare) > 15:
		return fmt.Sprintf("%q is longer than the 15 letters that the kernel knows", name)
	case strings.ContainsAny(bare, "*?[]/:\"\\ \t\n") || strings.ContainsFunc(bare, func(r rune) bool { return r < 0x21 || r > 0x7e }):
		return fmt.Sprintf("%q: a star may stand at the end only, and blanks, /, : and quotes nowhere", name)
	case name == "lo":
		return "lo is this machine itself and always allowed: leave it out"
	}
	return ""
}

// side settles what a zone faces.
func (c Zone) side(name string) string {
	if c.Side != "" {
		return c.Side
	}
	if c.Masquerade || slices.Contains([]string{"outside", "wan", "internet", "public"}, name) {
		return outside
	}
	return inside
}

func (r *resolver) zones(members []intent.Member) {
	for _, name := range sorted(r.p.Zones) {
		c, path := r.p.Zones[name], "zones."+name
		switch {
		case name == anyWord || name == selfWord:
			r.fail(path, "%s has a meaning of its own in rules: call the zone something else", name)
		case !zoneName(name):
			r.fail(path, "a zone's name is 1 to 32 letters, digits, - and _, and begins with a letter or digit")
		}
		r.oneOf(path+".side", c.Side, inside, outside)
		r.oneOf(path+".input", c.Input, allow, deny, reject)
		r.oneOf(path+".forward", c.Forward, allow, deny, reject)
		r.oneOf(path+".masquerade-ipv6", c.MasqueradeIPv6, "auto", "yes", "no")
		if c.MSS != 0 && c.MSS < 536 {
			r.fail(path+".mss", "%d is less than the 536 bytes that every IPv4 path carries", c.MSS)
		}
		if !c.Masquerade && c.MasqueradeIPv6 != "" && c.MasqueradeIPv6 != "no" {
			r.fail(path+".masquerade-ipv6", "says how to masquerade, but masquerade is not true")
		}
		out := c.side(name) == outside
		z := &zone{name: name, outside: out, management: !out, log: c.Log == nil || *c.Log, antiSpoofing: c.AntiSpoofing, mss: c.MSS, masq4: c.Masquerade}
		if c.Masquerade && c.MasqueradeIPv6 != "no" {
			z.masq6 = "auto"
			if c.MasqueradeIPv6 == "yes" {
				z.masq6 = "yes"
			}
		}
		if c.Management != nil {
			z.management = *c.Management
		}
		z.input, z.forward = refusal(c.Input, out), refusal(c.Forward, out)
		r.zone = append(r.zone, z)
		for i, n := range c.Interfaces {
			r.member(z, n, fmt.Sprintf("%s.interfaces[%d]", path, i), "")
		}
	}
	for _, m := range members {
		z := r.named(m.Zone)
		if z == nil {
			if !zoneName(m.Zone) || m.Zone == anyWord || m.Zone == selfWord {
				r.fail("zones", "%s asks for a zone %q, which cannot be a name of one", m.Why, m.Zone)
				continue
			}
			c := Zone{}
			out := c.side(m.Zone) == outside
			z = &zone{name: m.Zone, outside: out, management: !out, log: true, input: refusal("", out), forward: refusal("", out)}
			r.zone = append(r.zone, z)
			if r.walls {
				r.note("zones", "zone %s is not written here; %s asks for it, so it has the defaults of a zone that faces %s", m.Zone, m.Why, c.side(m.Zone))
			}
		}
		r.manage(z, m)
		for _, n := range m.Interfaces {
			if z.has(n) {
				continue // said twice is no harm
			}
			if o := r.holder(n); m.Joins && o != nil {
				r.note("zones."+o.name, "%s is in this zone already, so %s leaves it there: what it may is what this zone may", n, m.Why)
				continue
			}
			r.member(z, n, "zones."+z.name+".interfaces", " ("+m.Why+")")
		}
	}
	sort.Slice(r.zone, func(i, j int) bool { return r.zone[i].name < r.zone[j].name })
	for _, z := range r.zone {
		slices.Sort(z.exact)
		slices.Sort(z.patterns)
	}
}

// manage settles whether this machine may be managed from a zone, where a member has a say in it.
func (r *resolver) manage(z *zone, m intent.Member) {
	path := "zones." + z.name + ".management"
	allowed := map[string]string{"yes": "may", "no": "may not"}
	_, written := r.p.Zones[z.name]
	switch {
	case m.Manage == "":
	case allowed[m.Manage] == "":
		r.fail(path, "%s says %q where yes or no is meant", m.Why, m.Manage)
	case written && z.management != (m.Manage == "yes"):
		r.fail(path, "%s says that this machine %s be managed from zone %s, and the zone says the opposite: write management: %v there, or choose another zone", m.Why, allowed[m.Manage], z.name, m.Manage == "yes")
	case z.manage != "" && z.manage != m.Manage:
		r.fail(path, "%s says that this machine %s be managed from zone %s, and another interface of it the opposite: give one of them another zone", m.Why, allowed[m.Manage], z.name)
	default:
		z.manage, z.management = m.Manage, m.Manage == "yes"
	}
}

// holder is the zone that has interfaces of that name; nil none.
func (r *resolver) holder(name string) *zone {
	for _, z := range r.zone {
		if slices.ContainsFunc(z.interfaces(), func(n string) bool { return match.Overlap(n, name) }) {
			return z
		}
	}
	return nil
}

// refusal is the default verdict of a side: no answer to the internet, one to people at home.
func refusal(word string, outside bool) string {
	switch {
	case word != "":
		return word
	case outside:
		return deny
	}
	return reject
}

// member puts an interface into a zone unless it already is in one.
func (r *resolver) member(z *zone, name, path, why string) {
	if text := ifaceProblem(name); text != "" {
		r.fail(path, "%s%s", text, why)
		return
	}
	for _, o := range r.zone {
		for _, n := range o.interfaces() {
			if !match.Overlap(n, name) {
				continue
			}
			switch {
			case o != z && n == name:
				r.fail(path, "%s is already in zone %s: an interface is in one zone%s", name, o.name, why)
			case o != z:
				r.fail(path, "%s and %s of zone %s name the same interfaces: an interface is in one zone%s", name, n, o.name, why)
			default:
				r.fail(path, "%s and %s name the same interfaces: leave one out%s", name, n, why)
			}
			return
		}
	}
	if match.Pattern(name) {
		z.patterns = append(z.patterns, name)
	} else {
		z.exact = append(z.exact, name)
	}
}

func (r *resolver) named(name string) *zone {
	for _, z := range r.zone {
		if z.name == name {
			return z
		}
	}
	return nil
}
