// Package leftover recognises what other programs and guides have made of this
// machine's USB device side: gadgets in configfs, the kernel's legacy gadget
// modules, and what will make one of them at the next boot. It names the maker where
// that can be told, says by what, and how it is stopped. It is pure: it reads facts.
package leftover

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/provision-net/provision/gadget/bootfile"
	"github.com/provision-net/provision/provision/facts"
)

// Own is the name of our own tree where the configuration gives no other.
const Own = "provision"

// hooked holds what systemd starts when a controller appears.
const hooked = "/etc/systemd/system/usb-gadget.target.wants/"

// Found is something that somebody else has made or will make.
type Found struct {
	Maker string `json:"maker"`          // "rpi-usb-gadget", "P4wnP1", "g_ether"; "" unknown
	Tree  string `json:"tree,omitempty"` // its directory below usb_gadget/
	// Module is the legacy module that is loaded, or that is named to be.
	Module string `json:"module,omitempty"`
	// Holds are the controllers that it holds now.
	Holds []string `json:"holds,omitempty"`
	// Boot: it comes by itself at a boot.
	Boot     bool     `json:"boot,omitempty"`
	Evidence []string `json:"evidence"`
	Stop     []string `json:"stop,omitempty"` // what to do, in this order
}

// Name is how an error or a report calls it: "gadget pi4 (made by hardillb's guide)".
func (f Found) Name() string {
	name := "gadget " + f.Tree
	switch {
	case f.Tree == "" && f.Module == "":
		return f.Maker
	case f.Tree == "":
		name = f.Module
	}
	if f.Maker == "" || f.Maker == f.Module {
		return name
	}
	return fmt.Sprintf("%s (of %s)", name, f.Maker)
}

// Find returns everything of others, those that hold a controller first. own are the
// names of our trees; without any it is Own.
func Find(f *facts.Facts, own ...string) []Found {
	if len(own) == 0 {
		own = []string{Own}
	}
	out := append([]Found{}, modules(f)...)
	out = append(out, trees(f, own)...)
	out = append(out, coming(f, out)...)
	sort.SliceStable(out, func(i, j int) bool { return len(out[i].Holds) > 0 && len(out[j].Holds) == 0 })
	return out
}

// Holder says who else holds a controller.
func Holder(f *facts.Facts, udc string, own ...string) (Found, bool) {
	for _, x := range Find(f, own...) {
		if slices.Contains(x.Holds, udc) {
			return x, true
		}
	}
	return Found{}, false
}

// trees are the gadgets in configfs that are not ours, and controllers that are held
// by something that shows nowhere else.
func trees(f *facts.Facts, own []string) []Found {
	var out []Found
	known := map[string]bool{}
	for _, g := range f.USB.Gadgets {
		known[g.Name] = true
		if slices.Contains(own, g.Name) {
			continue
		}
		m := madeBy(g)
		x := Found{Maker: m.name, Tree: g.Name, Evidence: []string{fmt.Sprintf("%s/usb_gadget/%s: %s", f.USB.ConfigFS, g.Name, about(g))}}
		for _, c := range f.USB.Controllers {
			if g.UDC == c.Name || c.Function == g.Name {
				x.Holds = append(x.Holds, c.Name)
			}
		}
		if m.why != "" {
			x.Evidence = append(x.Evidence, m.why)
		}
		for _, u := range m.units {
			if slices.Contains(f.USB.Traces, "unit:"+u) {
				x.Boot = true
				x.Evidence = append(x.Evidence, "unit "+u+" is enabled")
				x.Stop = append(x.Stop, "systemctl disable --now "+u)
			}
		}
		for _, p := range m.files {
			if slices.Contains(f.USB.Traces, p) {
				x.Evidence = append(x.Evidence, p+" is there")
			}
		}
		x.scripts(f, m, g)
		if len(x.Holds) > 0 {
			x.Stop = append(x.Stop, fmt.Sprintf("echo > %s/usb_gadget/%s/UDC", f.USB.ConfigFS, g.Name))
		}
		out = append(out, x)
	}
	for _, c := range f.USB.Controllers {
		if c.Function == "" || known[c.Function] || slices.Contains(own, c.Function) || slices.Contains(facts.Legacy(), c.Function) {
			continue
		}
		// A tree that may not be read, or a driver that is built into the kernel.
		out = append(out, Found{Module: c.Function, Holds: []string{c.Name}, Evidence: []string{fmt.Sprintf("/sys/class/udc/%s/function: %s", c.Name, c.Function)},
			Stop: []string{"find out what makes the gadget " + c.Function + " and stop it"}})
	}
	return out
}

// scripts adds lines of files that call the maker's script or write its tree.
func (x *Found) scripts(f *facts.Facts, m maker, g facts.Gadget) {
	for _, p := range paths(f) {
		if strings.HasSuffix(p, "/config.txt") || strings.HasSuffix(p, "/cmdline.txt") {
			continue
		}
		n := 0
		for line := range strings.Lines(f.Files[p].Text) {
			n++
			s := strings.TrimSpace(line)
			if strings.HasPrefix(s, "#") {
				continue
			}
			for _, script := range m.files {
				if strings.Contains(s, script) {
					x.Boot = true
					x.Evidence = append(x.Evidence, fmt.Sprintf("%s line %d: %s", p, n, s))
					if u, ok := strings.CutPrefix(p, hooked); ok {
						x.Evidence = append(x.Evidence, "unit "+u+" is enabled")
						x.Stop = append(x.Stop, "systemctl disable --now "+u)
					} else {
						x.Stop = append(x.Stop, fmt.Sprintf("take line %d out of %s", n, p))
					}
				}
			}
			if strings.Contains(s, "usb_gadget/"+g.Name) {
				x.Evidence = append(x.Evidence, fmt.Sprintf("%s line %d: %s", p, n, s))
			}
		}
	}
}

// about describes a tree in a few words.
func about(g facts.Gadget) string {
	var parts []string
	if g.Vendor != "" {
		parts = append(parts, strings.TrimPrefix(g.Vendor, "0x")+":"+strings.TrimPrefix(g.Product, "0x"))
	}
	if s := strings.TrimSpace(g.Manufacturer + " " + g.ProductName); s != "" {
		parts = append(parts, fmt.Sprintf("%q", s))
	}
	var fs []string
	for _, x := range g.Functions {
		fs = append(fs, x.Name)
	}
	if len(fs) > 0 {
		parts = append(parts, "functions "+strings.Join(fs, " "))
	}
	if g.UDC == "" {
		parts = append(parts, "not bound")
	} else {
		parts = append(parts, "bound to "+g.UDC)
	}
	return strings.Join(parts, ", ")
}

// modules are the legacy gadget modules that are loaded or hold a controller.
func modules(f *facts.Facts) []Found {
	var out []Found
	for _, m := range facts.Legacy() {
		x := Found{Maker: m, Module: m}
		loaded := slices.Contains(f.USB.Modules, m)
		for _, c := range f.USB.Controllers {
			if c.Function == m {
				x.Holds = append(x.Holds, c.Name)
				x.Evidence = append(x.Evidence, fmt.Sprintf("/sys/class/udc/%s/function: %s", c.Name, m))
			}
		}
		if loaded {
			x.Evidence = append(x.Evidence, "module "+m+" is loaded")
		}
		if len(x.Evidence) == 0 {
			continue
		}
		x.loader(f)
		switch {
		case loaded:
			x.Stop = append(x.Stop, "modprobe -r "+m)
		case len(f.USB.Modules) > 0:
			x.Stop = append(x.Stop, "the kernel has "+m+" built in: take another kernel")
		}
		out = append(out, x)
	}
	return out
}

// loader finds who loads a module at boot.
func (x *Found) loader(f *facts.Facts) {
	const switchedOn = "/usr/lib/modules-load.d/usb-gadget.conf"
	if x.Module == "g_ether" && slices.Contains(f.USB.Traces, switchedOn) && official(f) {
		x.Maker, x.Boot = "rpi-usb-gadget", true
		x.Evidence = append(x.Evidence, switchedOn+": the package rpi-usb-gadget is switched on")
		for _, t := range f.USB.Traces {
			if p, ok := strings.CutPrefix(t, "cloud-init:"); ok {
				x.Evidence = append(x.Evidence, p+": rpi: enable_usb_gadget: true")
				x.Stop = append(x.Stop, "take enable_usb_gadget out of "+p+", or a new instance of cloud-init switches it on again")
			}
		}
		x.Stop = append([]string{"rpi-usb-gadget off"}, x.Stop...)
	}
	for _, p := range paths(f) {
		if strings.HasSuffix(p, "/cmdline.txt") {
			if slices.Contains(bootfile.ParseCmdline(f.Files[p].Text).Modules(), x.Module) {
				x.Boot = true
				x.Evidence = append(x.Evidence, p+" line 1: modules-load= has "+x.Module)
				x.Stop = append(x.Stop, "take "+x.Module+" out of modules-load= in "+p)
			}
			continue
		}
		if p == switchedOn && x.Maker == "rpi-usb-gadget" || strings.HasPrefix(p, "/etc/modprobe.d/") || strings.HasSuffix(p, "/config.txt") {
			continue
		}
		n := 0
		for line := range strings.Lines(f.Files[p].Text) {
			n++
			w := strings.Fields(line)
			if len(w) == 0 || strings.HasPrefix(w[0], "#") || strings.HasPrefix(w[0], ";") || !slices.Contains(w, x.Module) {
				continue
			}
			x.Boot = true
			x.Evidence = append(x.Evidence, fmt.Sprintf("%s line %d: %s", p, n, strings.Join(w, " ")))
			x.Stop = append(x.Stop, fmt.Sprintf("take line %d out of %s", n, p))
		}
	}
}

func official(f *facts.Facts) bool {
	return slices.Contains(f.USB.Traces, "package:rpi-usb-gadget") || slices.Contains(f.USB.Traces, "/usr/bin/rpi-usb-gadget")
}

// coming is what is not there now and will be at the next boot.
func coming(f *facts.Facts, now []Found) []Found {
	var out []Found
	seen := map[string]bool{}
	for _, x := range now {
		seen[x.Module] = true
		for _, e := range x.Evidence {
			seen[e] = true
		}
	}
	for _, m := range facts.Legacy() {
		if seen[m] {
			continue
		}
		x := Found{Maker: m, Module: m}
		if x.loader(f); x.Boot {
			x.Evidence = append(x.Evidence, "module "+m+" is not loaded now")
			out = append(out, x)
		}
	}
	for _, t := range f.USB.Traces {
		u, ok := strings.CutPrefix(t, "unit:")
		if !ok || strings.HasPrefix(u, "provision") || strings.Contains(u, "getty@") || seen["unit "+u+" is enabled"] {
			continue
		}
		name := u
		for _, m := range makers {
			if slices.Contains(m.units, u) {
				name = m.name
			}
		}
		out = append(out, Found{Maker: name, Boot: true, Evidence: []string{"unit " + u + " is enabled"}, Stop: []string{"systemctl disable --now " + u}})
	}
	return out
}

// paths are the collected files in order.
func paths(f *facts.Facts) []string {
	out := make([]string, 0, len(f.Files))
	for p := range f.Files {
		if strings.HasPrefix(p, "/boot/") || strings.HasPrefix(p, "/etc/modules") || strings.HasPrefix(p, "/usr/lib/modules-load.d/") || p == "/etc/rc.local" || strings.HasPrefix(p, hooked) {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}
