// Package forward plans what a machine needs to pass packets on: the forwarding switches of
// both families, live and permanent, and what has to stand before them.
//
// Turning IPv6 forwarding on makes the kernel delete the default routes that it learnt from
// router advertisements on devices with accept_ra 1, and ignore later ones
// (net/ipv6/addrconf.c addrconf_fixup_forwarding, rt6_purge_dflt_routers; ipv6_accept_ra in
// include/linux/ipv6.h). So accept_ra 2 on the way out comes before the switch. It is set on the
// single device: writing conf.all.accept_ra reaches no device at all.
//
// The reverse path filter of IPv4 works with the greater value of "all" and of the device
// (include/linux/inetdevice.h, IN_DEV_RPFILTER), so it is loosened on the single device and only
// where it is strict and packets are expected that it would drop. Never is "all" written.
//
// The package is pure: facts, configuration and intents go in, wants come out.
package forward

import (
	"fmt"
	"strings"
)

// Config is the keys "forwarding" and "interfaces" of the slice "routing".
type Config struct {
	// Forwarding: auto (when something asks for it), yes or no; empty is auto.
	Forwarding string `yaml:"forwarding" enum:"auto,yes,no" default:"auto" help:"pass packets on between interfaces, IPv4 and IPv6: auto (when zones, a tunnel or a served link need it), yes, or no (switched off)"`
	// Interfaces are choices for single interfaces; the first that names one decides.
	Interfaces []Interface `yaml:"interfaces" help:"kernel settings of single interfaces; the first entry whose name fits decides"`
}

// Interface is what is chosen for the interfaces that Name fits.
type Interface struct {
	Name     string `yaml:"name" help:"name of the interface, or a pattern that ends with * such as wlan*"`
	AcceptRA string `yaml:"accept-ra" enum:"auto,yes,no" default:"auto" help:"router advertisements while forwarding: auto (kept on the way out), yes (learn from them), no (leave the interface as it is)"`
	RPFilter string `yaml:"rp-filter" enum:"auto,loose,strict,off,keep" default:"auto" help:"reverse path filter of IPv4: auto (loosened only where it is strict and answers may take another way), loose, strict, off, or keep (never touched)"`
}

// Problem is something wrong in the configuration. Path is relative to the slice "routing":
// "interfaces[1].rp-filter".
type Problem struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// Problems lists everything that is wrong in c without looking at a machine.
func (c Config) Problems() []Problem {
	var out []Problem
	add := func(path, format string, args ...any) { out = append(out, Problem{path, fmt.Sprintf(format, args...)}) }
	if _, ok := choice(c.Forwarding); !ok {
		add("forwarding", "%q is neither auto nor yes nor no", c.Forwarding)
	}
	seen := map[string]int{}
	for i, f := range c.Interfaces {
		at := fmt.Sprintf("interfaces[%d]", i)
		if why := badPattern(f.Name); why != "" {
			add(at+".name", "%s", why)
		} else if first, twice := seen[f.Name]; twice {
			add(at+".name", "%s is already told by interfaces[%d], which decides: put both into one entry", f.Name, first)
		} else {
			seen[f.Name] = i
		}
		if _, ok := choice(f.AcceptRA); !ok {
			add(at+".accept-ra", "%q is neither auto nor yes nor no", f.AcceptRA)
		}
		if _, ok := rpFilters()[f.RPFilter]; !ok {
			add(at+".rp-filter", "%q is none of auto, loose, strict, off, keep", f.RPFilter)
		}
		if f.AcceptRA == "" && f.RPFilter == "" {
			add(at, "says nothing: give accept-ra or rp-filter, or leave it out")
		}
	}
	return out
}

// choice reads auto, yes and no, with the other words that YAML and people have for them.
func choice(s string) (value string, ok bool) {
	switch strings.ToLower(s) {
	case "", "auto":
		return "auto", true
	case "yes", "true", "on":
		return "yes", true
	case "no", "false", "off":
		return "no", true
	}
	return "", false
}

// rpFilters are the values of rp_filter (Documentation/networking/ip-sysctl.rst).
func rpFilters() map[string]string {
	return map[string]string{"": "", "auto": "", "keep": "", "off": "0", "strict": "1", "loose": "2"}
}

// badPattern says what is wrong with an interface's name (net/core/dev.c dev_valid_name) or pattern.
func badPattern(p string) string {
	name := strings.TrimSuffix(p, "*")
	switch {
	case p == "":
		return "is missing: name an interface, such as eth0 or wlan*"
	case name == "all" || name == "default":
		return fmt.Sprintf("%q is no interface but the kernel's word for every one: name the interfaces", p)
	case len(name) > 15:
		return fmt.Sprintf("%q is longer than 15 bytes, the most that a name has", p)
	case name == "." || name == ".." || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r == '*' || r == 0x7f }):
		return fmt.Sprintf("%q is no name of an interface, nor a pattern that ends with *", p)
	}
	return ""
}

// fits reports whether pattern means the interface called name.
func fits(pattern, name string) bool {
	if head, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, head)
	}
	return pattern == name
}

// of is the entry that decides for the interface called name.
func (c Config) of(name string) Interface {
	for _, f := range c.Interfaces {
		if fits(f.Name, name) {
			return f
		}
	}
	return Interface{}
}
