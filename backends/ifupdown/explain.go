package ifupdown

import (
	"fmt"
	"slices"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/ifupdown/interfaces"
	"github.com/provision-net/provision/provision/facts"
)

// Explain names the lines that decide for a NIC. Keys: "owner" (how ifup comes to the
// stanzas), "dhcp4", "dhcp6", "metric", or the name of any option of a stanza.
func (Backend) Explain(f *facts.Facts, link facts.Link, key string) []backends.Reason {
	p := newPlan(f)
	var out []backends.Reason
	for _, b := range p.config.Broken() {
		out = append(out, backends.Reason{Key: key, Source: b.Place.String(), Note: b.Text})
	}
	n, err := p.logicals(link.Name)
	if err != nil {
		return append(out, backends.Reason{Key: key, Source: interfacesFile, Note: err.Error()})
	}
	stanzas := p.stanzas(n)
	switch key {
	case "owner":
		return append(out, p.explainOwner(link, n, stanzas)...)
	case "dhcp4", "dhcp6":
		return append(out, p.explainDHCP(key, stanzas)...)
	case "metric":
		for _, s := range stanzas {
			out = append(out, p.explainMetric(link, s))
		}
		if !slices.ContainsFunc(stanzas, func(s *interfaces.Stanza) bool { _, ok := s.Option("gateway"); return s.Family == "inet6" && ok }) {
			out = append(out, p.explainRA(link))
		}
		return out
	}
	for _, s := range stanzas {
		if o, ok := s.Option(key); ok {
			out = append(out, reason(key, o))
		}
	}
	return out
}

func (p *plan) explainOwner(link facts.Link, n naming, stanzas []*interfaces.Stanza) []backends.Reason {
	var out []backends.Reason
	if up := p.f.Ifupdown.State[link.Name]; up != "" {
		out = append(out, backends.Reason{Key: "owner", Value: up, Source: "/run/network/ifstate", Note: "ifup brought it up as this stanza"})
	}
	for _, e := range n.entries {
		out = append(out, backends.Reason{Key: "owner", Value: e.Class + " " + e.Name, Source: e.Place.String(), Note: p.sourced(e.File)})
	}
	for _, s := range stanzas {
		note := p.sourced(s.File().Path)
		if s.Parent != nil {
			note = joinNotes(note, fmt.Sprintf("inherits from %s at %v", s.Parent.Logical, s.Parent.Place))
		}
		out = append(out, backends.Reason{Key: "owner", Value: fmt.Sprintf("iface %s %s %s", s.Logical, s.Family, s.Method), Source: s.Place.String(), Note: note})
	}
	if len(stanzas) == 0 {
		out = append(out, backends.Reason{Key: "owner", Source: interfacesFile, Note: "no stanza is for it"})
	}
	return out
}

func (p *plan) explainDHCP(key string, stanzas []*interfaces.Stanza) []backends.Reason {
	family := map[string]string{"dhcp4": "inet", "dhcp6": "inet6"}[key]
	var out []backends.Reason
	for _, s := range stanzas {
		if s.Family != family {
			continue
		}
		value := fmt.Sprint(s.Method == "dhcp")
		note := "method " + s.Method
		if len(out) > 0 {
			note += "; ifup carries out this stanza after the one before"
		}
		out = append(out, backends.Reason{Key: key, Value: value, Source: s.Place.String(), Note: note})
	}
	return out
}

// explainMetric says what metric the default route of one stanza gets.
func (p *plan) explainMetric(link facts.Link, s *interfaces.Stanza) backends.Reason {
	_, next := p.client(link.Name)
	a := abilityOf(p.f.Ifupdown.Flavour, next)
	if o, ok := s.Option("metric"); ok {
		r := reason("metric", o)
		if isDHCP4(s) && a.refuse != "" {
			r.Note = joinNotes(r.Note, "without effect: "+a.refuse)
		}
		if s.Family == "inet6" && (s.Method == "auto" || s.Method == "dhcp") {
			r.Note = joinNotes(r.Note, "without effect: method "+s.Method+" of inet6 has no metric")
		}
		return r
	}
	r := backends.Reason{Key: "metric", Source: s.Place.String()}
	switch {
	case isDHCP4(s) && next == dhcpcd:
		r.Value, r.Note = fmt.Sprint(1000+link.Index), "dhcpcd's default, 1000 + interface index; before dhcpcd 9.4 200 + index"
	case isDHCP4(s):
		r.Value, r.Note = "0", "no metric line: the route has no metric, which beats every other"
	case s.Family == "inet6" && (s.Method == "auto" || s.Method == "dhcp"):
		r.Note = "the kernel's router advertisements decide"
	default:
		if _, ok := s.Option("gateway"); !ok {
			r.Note = "no gateway line: this stanza makes no default route"
		} else {
			r.Value, r.Note = map[string]string{"inet": "0", "inet6": "1024"}[s.Family], "no metric line"
		}
	}
	return r
}

func (p *plan) explainRA(link facts.Link) backends.Reason {
	r := backends.Reason{Key: "metric", Value: link.Sysctl["ipv6.ra_defrtr_metric"],
		Source: "/proc/sys/net/ipv6/conf/" + link.Name + "/ra_defrtr_metric", Note: "metric of router advertisements"}
	slashed := "net/ipv6/conf/" + link.Name + "/ra_defrtr_metric"
	for n, line := range strings.Split(p.texts[backends.SysctlPath], "\n") {
		k, _, ok := strings.Cut(strings.TrimPrefix(line, "-"), "=")
		if k = strings.TrimSpace(k); ok && k == slashed {
			r.Note = joinNotes(r.Note, fmt.Sprintf("from %s:%d", backends.SysctlPath, n+1))
		}
	}
	if r.Value == "" {
		r.Value, r.Note = "1024", joinNotes(r.Note, "kernel default, not changeable here")
	}
	return r
}

func reason(key string, o interfaces.Option) backends.Reason {
	r := backends.Reason{Key: key, Value: o.Value, Source: o.Place.String()}
	if o.Inherited {
		r.Note = "inherited"
	}
	if o.Count > 1 {
		r.Note = joinNotes(r.Note, fmt.Sprintf("%d lines joined with newlines", o.Count))
	}
	return r
}

// sourced names the line that pulls a file in.
func (p *plan) sourced(path string) string {
	if s, ok := p.config.PulledInBy(path); ok {
		return fmt.Sprintf("pulled in by %v", s.Place)
	}
	return ""
}

func joinNotes(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
