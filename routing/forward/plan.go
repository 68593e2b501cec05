package forward

import (
	"fmt"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/sysctl"
)

// Input is what Plan decides from.
type Input struct {
	Facts  *facts.Facts
	Config Config
	// Intents: any Forward makes "auto" mean yes.
	Intents intent.Set
	// Inside are the interfaces (names, or patterns that end with *) that packets are forwarded
	// from; Uplinks are the ways out.
	Inside, Uplinks []string
	// Loose are interfaces on which packets are expected that a strict reverse path filter drops.
	Loose []Loose
	// KillSwitch: the switch opens forwarding itself, once it has verified its other layers.
	KillSwitch bool
}

// Loose is such an interface.
type Loose struct {
	Interface string // name, or pattern that ends with *
	// Marked: packets get their routing mark back from connection tracking before the filter
	// looks, so that it has to look with the mark (src_valid_mark).
	Marked bool
	Why    string // for people: "answers of table 101 leave by eth1"
}

// Names of the two switches.
const (
	Forward4 = "net.ipv4.ip_forward"
	Forward6 = "net.ipv6.conf.all.forwarding"
	redirect = "net.ipv4.conf.all.accept_redirects"
)

// line is one line of the permanent file; without a value it takes its key out of patterns.
type line struct{ key, value, why string }

type planner struct {
	Input
	d     provision.Desired
	lines []line
}

// Plan says which kernel parameters should hold, in build-up order: what keeps the ways out
// alive, then the switches.
func Plan(in Input) provision.Desired {
	p := &planner{Input: in}
	on, why := p.wanted()
	if on == "yes" {
		p.acceptRA()
	}
	p.chosenRA(on == "yes")
	p.filters()
	if on != "auto" {
		p.switches(on == "yes", why)
	}
	p.file()
	p.notes(on)
	return p.d
}

// wanted is yes, no, or auto when nothing asks for either.
func (p *planner) wanted() (on, why string) {
	on, _ = choice(p.Config.Forwarding)
	if on != "auto" {
		return on, "routing.forwarding is " + on
	}
	if len(p.Intents.Forwards) == 0 {
		return "auto", ""
	}
	f := p.Intents.Forwards[0]
	if f.Why != "" {
		return "yes", f.Why
	}
	return "yes", fmt.Sprintf("zone %s reaches %s", f.From, f.To)
}

// acceptRA keeps the default routes that the kernel itself has, or may get, from router
// advertisements. Where accept_ra is 0 a manager handles them (networkd, NetworkManager, dhcpcd
// all set it so), or nobody shall; forwarding takes nothing away there.
func (p *planner) acceptRA() {
	const wayOut = "a way out keeps its default route while the machine forwards"
	auto := func(name string) bool {
		c, _ := choice(p.Config.of(name).AcceptRA)
		return c == "auto"
	}
	for _, l := range p.Facts.Links {
		if v := l.Sysctl["ipv6.accept_ra"]; v != "1" && v != "2" || !auto(l.Name) || matches(p.Inside, l.Name) {
			continue
		}
		if i := slices.IndexFunc(p.Uplinks, func(u string) bool { return fits(u, l.Name) }); i >= 0 {
			p.set("ipv6", l, p.Uplinks[i], "accept_ra", "2", wayOut)
		} else if slices.ContainsFunc(p.Facts.Defaults(l.Index, 6), func(r facts.Route) bool { return r.Proto == facts.ProtoRA }) {
			p.set("ipv6", l, l.Name, "accept_ra", "2", "a default route learnt from a router advertisement stays while the machine forwards")
		}
	}
	// Ways out that are not there yet, where nobody but the kernel would handle advertisements.
	if p.Facts.NM.Running || p.Facts.Networkd.Running || p.Facts.Dhcpcd.Running {
		return
	}
	for _, u := range p.Uplinks {
		if _, here := p.Facts.LinkByName(u); !here && auto(u) {
			p.absent("ipv6", u, "accept_ra", "2", wayOut)
		}
	}
}

// chosenRA does what the configuration says about single interfaces.
func (p *planner) chosenRA(forwarding bool) {
	for _, f := range p.Config.Interfaces {
		if c, _ := choice(f.AcceptRA); c != "yes" {
			continue
		}
		value := "1"
		if forwarding {
			value = "2"
		}
		p.every(f.Name, func(l facts.Link) {
			p.set("ipv6", l, f.Name, "accept_ra", value, "routing.interfaces: accept-ra is yes")
		},
			func() { p.absent("ipv6", f.Name, "accept_ra", value, "routing.interfaces: accept-ra is yes") })
		p.except(f.Name, "ipv6", "accept_ra")
	}
}

// except takes out of a pattern in the file the names for which an earlier entry decides.
func (p *planner) except(pattern, family, key string) {
	if !strings.HasSuffix(pattern, "*") || p.Facts.Machine.Init != "systemd" {
		return
	}
	for _, f := range p.Config.Interfaces {
		switch {
		case f.Name == pattern:
			return
		case !strings.HasSuffix(f.Name, "*") && fits(pattern, f.Name):
			p.lines = append(p.lines, line{"net/" + family + "/conf/" + f.Name + "/" + key, "", ""})
		}
	}
}

// filters loosens the reverse path filter where it is strict and would drop what is expected.
func (p *planner) filters() {
	for _, f := range p.Config.Interfaces {
		if v := rpFilters()[f.RPFilter]; v != "" {
			why := "routing.interfaces: rp-filter is " + f.RPFilter
			p.every(f.Name, func(l facts.Link) { p.set("ipv4", l, f.Name, "rp_filter", v, why) }, func() { p.absent("ipv4", f.Name, "rp_filter", v, why) })
			p.except(f.Name, "ipv4", "rp_filter")
		}
	}
	done := map[string]bool{}
	// A new device takes the value of "default".
	strict := max(p.Facts.Sysctl["net.ipv4.conf.default.rp_filter"], p.Facts.Sysctl["net.ipv4.conf.all.rp_filter"]) == "1"
	for _, want := range p.Loose {
		for _, l := range p.Facts.Links {
			if !fits(want.Interface, l.Name) {
				continue
			}
			if choice := p.Config.of(l.Name).RPFilter; (choice == "" || choice == "auto") && !done["f"+l.Name] {
				// What is loose already stays wanted: it may be loose because of us.
				if own := l.Sysctl["ipv4.rp_filter"]; own == "2" || max(own, p.Facts.Sysctl["net.ipv4.conf.all.rp_filter"]) == "1" {
					done["f"+l.Name] = true
					pattern := want.Interface
					if !strict {
						pattern = l.Name // loosening a new device that has no filter would give it one
					}
					p.set("ipv4", l, pattern, "rp_filter", "2", want.Why)
				}
			}
			if want.Marked && !done["m"+l.Name] {
				done["m"+l.Name] = true
				p.set("ipv4", l, want.Interface, "src_valid_mark", "1", want.Why)
			}
		}
		if _, here := p.Facts.LinkByName(want.Interface); here {
			continue
		}
		if c := p.Config.of(want.Interface).RPFilter; (c == "" || c == "auto") && strict {
			p.absent("ipv4", want.Interface, "rp_filter", "2", want.Why)
		}
		if want.Marked {
			p.absent("ipv4", want.Interface, "src_valid_mark", "1", want.Why)
		}
	}
}

// switches turns forwarding on or off, after everything else.
func (p *planner) switches(on bool, why string) {
	value := "0"
	if on {
		value = "1"
	}
	if on && p.KillSwitch {
		// At boot nothing is forwarded before the switch has seen that it is closed, whatever
		// other files say.
		p.lines = append(p.lines, line{"net/ipv4/ip_forward", "0", "the kill switch turns forwarding on, when all of it is in place"},
			line{"net/ipv6/conf/all/forwarding", "0", ""})
		return
	}
	p.lines = append(p.lines, line{"net/ipv4/ip_forward", value, why}, line{"net/ipv6/conf/all/forwarding", value, ""})
	if p.Facts.Machine.Offline {
		return
	}
	for _, s := range []struct{ key, family string }{{Forward4, "ipv4"}, {Forward6, "ipv6"}} {
		have, known := p.Facts.Sysctl[s.key]
		if !known {
			p.d.Notes = append(p.d.Notes, provision.Note{Level: "warning", Subject: s.key,
				Text: "the kernel does not have this parameter (" + s.family + " is disabled): only the other family is forwarded"})
			continue
		}
		v := value
		if on && have != "0" {
			v = have // 2 is on as well
		}
		p.d.Wants = append(p.d.Wants, sysctl.Global(s.key, v, why))
		p.single(s.family, on, have, why)
	}
	if _, known := p.Facts.Sysctl[Forward4]; known && on {
		// The switch drags this one along in both directions (net/ipv4/devinet.c inet_forward_change);
		// as a want of its own it comes back with the rest.
		p.d.Wants = append(p.d.Wants, sysctl.Global(redirect, "0", "a router does not take redirects"))
	}
}

// single wants the forwarding of single interfaces. Writing the global switch sets them all, so what
// differs before is named, to come back; and one that was excluded would not forward.
func (p *planner) single(family string, on bool, global, why string) {
	for _, l := range p.Facts.Links {
		have := l.Sysctl[family+".forwarding"]
		switch {
		case have == "" || l.ARPHRD == loopback:
		case on && global == "0" && have != "0":
			p.d.Wants = append(p.d.Wants, sysctl.Link(family, l.Selector(), "forwarding", have, why))
		case on && global != "0" && have == "0" && (matches(p.Inside, l.Name) || matches(p.Uplinks, l.Name)):
			p.d.Wants = append(p.d.Wants, sysctl.Link(family, l.Selector(), "forwarding", "1", l.Name+" was excluded from forwarding: "+why))
		}
	}
}

const loopback = 772 // ARPHRD_LOOPBACK

// every calls present for each device that pattern fits and absent unless pattern is a present name.
func (p *planner) every(pattern string, present func(facts.Link), absent func()) {
	for _, l := range p.Facts.Links {
		if fits(pattern, l.Name) && p.Config.of(l.Name).Name == pattern {
			present(l)
		}
	}
	if _, here := p.Facts.LinkByName(pattern); !here {
		absent()
	}
}

// set wants a parameter of a present device, live and permanent. In the file it stands under the
// pattern that named it, so that the file stays the same while devices come and go; only systemd
// knows patterns there.
func (p *planner) set(family string, l facts.Link, pattern, key, value, why string) {
	if strings.HasSuffix(pattern, "*") && p.Facts.Machine.Init != "systemd" {
		pattern = l.Name
	}
	p.lines = append(p.lines, line{"net/" + family + "/conf/" + pattern + "/" + key, value, why})
	if p.Facts.Machine.Offline || family == "ipv6" && l.Sysctl["ipv6.accept_ra"] == "" {
		return
	}
	p.d.Wants = append(p.d.Wants, sysctl.Link(family, l.Selector(), key, value, why))
}

// absent wants it of a device that may come: in the file, which udev applies to each device that
// appears (sysctl.d(5)), and live where a name can tell it.
func (p *planner) absent(family, pattern, key, value, why string) {
	if glob := strings.HasSuffix(pattern, "*"); !glob || p.Facts.Machine.Init == "systemd" {
		p.lines = append(p.lines, line{"net/" + family + "/conf/" + pattern + "/" + key, value, why})
	}
	if p.Facts.Machine.Offline || strings.HasSuffix(pattern, "*") {
		return
	}
	w := sysctl.Link(family, "name:"+pattern, key, value, why)
	w.Mode = provision.IfPresent
	p.d.Wants = append(p.d.Wants, w)
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return fits(p, name) })
}
