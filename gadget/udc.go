package gadget

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/provision-net/provision/gadget/layout"
	"github.com/provision-net/provision/provision/facts"
)

// controllers gives each gadget a USB device controller: first those that are named, then those
// that are held already, then what is free, in the order of names.
func (p *planner) controllers() {
	all := slices.Clone(p.Facts.USB.Controllers)
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	ours := map[string]bool{}
	for _, g := range p.gadgets {
		ours[g.name()] = true
	}
	given := map[string]string{} // controller to the path of its gadget
	take := func(g *gadget, u facts.UDC) {
		g.udc = u
		given[u.Name] = g.Path + "udc"
	}
	foreign := func(u facts.UDC) bool { return u.Function != "" && !ours[u.Function] }
	for i := range p.gadgets {
		g := &p.gadgets[i]
		if g.UDC == "" || g.UDC == Auto {
			continue
		}
		at := slices.IndexFunc(all, func(u facts.UDC) bool { return u.Name == g.UDC })
		switch first, twice := given[g.UDC]; {
		case at < 0:
			p.lacks(g.Path+"udc", "there is no controller %s: %s", g.UDC, present(all))
		case twice:
			p.fail(g.Path+"udc", "%s is already given to another gadget (%s): a controller is one device", g.UDC, first)
		case foreign(all[at]):
			p.held(g.Path+"udc", "%s", p.holder(all[at]))
		default:
			take(g, all[at])
		}
	}
	for _, held := range []bool{true, false} {
		for i := range p.gadgets {
			g := &p.gadgets[i]
			if g.UDC != "" && g.UDC != Auto || g.udc.Name != "" {
				continue
			}
			var free []facts.UDC
			for _, u := range all {
				_, taken := given[u.Name]
				mine := u.Function == g.name() || p.bound(g.name()) == u.Name
				if !taken && (held && mine || !held && !foreign(u)) {
					free = append(free, u)
				}
			}
			if len(free) > 0 {
				take(g, free[0])
				if !held && len(free) > 1 {
					p.note("info", g.Path+"udc", "%s is taken, the first of %d free controllers (%s): write udc to have another one", free[0].Name, len(free), names(free))
				}
			}
		}
	}
	for i := range p.gadgets {
		g := &p.gadgets[i]
		if g.UDC != "" && g.UDC != Auto || g.udc.Name != "" {
			continue
		}
		var why []string
		for _, u := range all {
			if foreign(u) {
				why = append(why, p.holder(u))
			}
		}
		switch {
		case len(all) == 0:
			p.lacks(g.Path+"udc", "this machine has no USB device controller: on a Raspberry Pi write dtoverlay=dwc2,dr_mode=peripheral under [all] in config.txt and reboot; `provision gadget doctor` says more")
		case len(why) > 0:
			p.held(g.Path+"udc", "no controller is free: %s", strings.Join(why, "; "))
		default:
			p.lacks(g.Path+"udc", "no controller is left for it: %s", present(all))
		}
	}
}

// bound is the controller that a tree in configfs is bound to.
func (p *planner) bound(gadget string) string {
	for _, g := range p.Facts.USB.Gadgets {
		if g.Name == gadget {
			return g.UDC
		}
	}
	return ""
}

// holder says who has a controller and how to get it.
func (p *planner) holder(u facts.UDC) string {
	if slices.Contains(facts.Legacy(), u.Function) {
		return fmt.Sprintf("%s is held by the module %s: run `modprobe -r %s`, and take it out of /etc/modules, /etc/modules-load.d and cmdline.txt", u.Name, u.Function, u.Function)
	}
	for _, g := range p.Facts.USB.Gadgets {
		if g.Name == u.Function || g.UDC == u.Name {
			return fmt.Sprintf("%s is held by the gadget %s of another program: stop that program, or run `echo > %s/usb_gadget/%s/UDC`", u.Name, g.Name, p.Facts.USB.ConfigFS, g.Name)
		}
	}
	return fmt.Sprintf("%s is held by %s: stop the program that made it", u.Name, u.Function)
}

func present(all []facts.UDC) string {
	if len(all) == 0 {
		return "there is none at all"
	}
	return "there is " + names(all)
}

func names(all []facts.UDC) string {
	var out []string
	for _, u := range all {
		out = append(out, u.Name)
	}
	return strings.Join(out, ", ")
}

// budget is how many IN endpoints the controller has beside endpoint 0; 0 is not known. The dwc2
// of a Raspberry Pi has eight endpoints, and its overlay gives it seven transmit FIFOs
// (g-tx-fifo-size), each of which serves one. Its controllers are called 20980000.usb and the like.
func budget(u facts.UDC) int {
	if u.Driver == "dwc2" || u.Driver == "" && strings.HasSuffix(u.Name, ".usb") {
		return 7
	}
	return 0
}

// fits refuses what the controller has not enough endpoints for: the kernel would say no more than
// ENODEV when it is bound.
func (p *planner) fits(g *gadget) {
	most := budget(g.udc)
	if most == 0 {
		return
	}
	for _, c := range g.layout.Configs {
		in, _ := c.Endpoints()
		if in <= most {
			continue
		}
		path := g.Path + "profile"
		if g.profile == Custom {
			path = g.Path + "functions"
		}
		p.fail(path, "configuration %d needs %d IN endpoints, and %s has %d: leave out what takes %d\n%s", c.Number, in, g.udc.Name, most, in-most, table(c))
	}
}

// table says who takes how many.
func table(c layout.Config) string {
	var b strings.Builder
	b.WriteString("  function             IN  OUT")
	in, out := 0, 0
	for _, f := range c.Functions {
		i, o := f.Endpoints()
		in, out = in+i, out+o
		fmt.Fprintf(&b, "\n  %-20s %2d  %3d", f.Name(), i, o)
	}
	fmt.Fprintf(&b, "\n  %-20s %2d  %3d", "together", in, out)
	return b.String()
}
