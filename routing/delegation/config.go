// Package delegation gives networks behind this machine prefixes of what the uplink's provider
// delegates to it: as the uplink's manager has it, or asked for by our own client (package pd).
// Where the provider renumbers, the networks follow: the server that announces the addresses of
// their interfaces takes the old prefix back (RFC 9096).
package delegation

import (
	"fmt"
	"strings"
)

// Config is the key "delegation" of the slice "routing".
type Config struct {
	Interface string `yaml:"interface" help:"the uplink, such as eth0: a prefix is asked for there (DHCPv6 prefix delegation, RFC 8415)"`
	Source    string `yaml:"source" enum:"auto,manager,own" default:"auto" help:"manager: what the DHCPv6 client of the uplink's network manager was given; own: our own client asks; auto: our own asks where no manager has a prefix"`
	Length    int    `yaml:"length" help:"length of the prefix to ask for, such as 56; default: what the provider likes"`
	LAN       []LAN  `yaml:"lan" help:"interfaces whose hosts get addresses"`
}

// LAN is one network.
type LAN struct {
	Interface string  `yaml:"interface" help:"interface of the network"`
	Subnet    *uint16 `yaml:"subnet" help:"number of its /64 in the prefix; default: its place in the list"`
	Serve     *bool   `yaml:"serve" default:"true" help:"announce the prefix, the way out and the name server on the interface, where serve.links says nothing of it"`
}

// Problem is something wrong. Path is relative to the key "delegation".
type Problem struct{ Path, Text string }

// Enabled reports whether anything is configured.
func (c Config) Enabled() bool {
	return c.Interface != "" || c.Source != "" || c.Length != 0 || len(c.LAN) > 0
}

// Problems lists what is wrong in c.
func (c Config) Problems() []Problem {
	if !c.Enabled() {
		return nil
	}
	var out []Problem
	add := func(path, format string, args ...any) {
		out = append(out, Problem{path, fmt.Sprintf(format, args...)})
	}
	if !device(c.Interface) {
		add("interface", "%q is no name of an interface: name the uplink, such as eth0", c.Interface)
	}
	if c.Source != "" && c.Source != "auto" && c.Source != "manager" && c.Source != "own" {
		add("source", "%q is none of auto, manager, own", c.Source)
	}
	if c.Length != 0 && (c.Length < 16 || c.Length > 64) {
		add("length", "%d is no length of a prefix that networks can be made of: providers give 48 to 64", c.Length)
	}
	if len(c.LAN) == 0 {
		add("lan", "is missing: name the interfaces that get addresses")
	}
	names, subnets := map[string]bool{}, map[uint16]string{}
	for i, l := range c.LAN {
		at := fmt.Sprintf("lan[%d]", i)
		switch {
		case !device(l.Interface):
			add(at+".interface", "%q is no name of an interface", l.Interface)
		case l.Interface == c.Interface:
			add(at+".interface", "%s is the uplink itself", l.Interface)
		case names[l.Interface]:
			add(at+".interface", "%s has a network already", l.Interface)
		}
		names[l.Interface] = true
		n := l.subnet(i)
		if first, twice := subnets[n]; twice {
			add(at+".subnet", "%d is that of %s already", n, first)
		}
		subnets[n] = l.Interface
		if c.Length > 0 && c.Length <= 64 && uint64(n) >= 1<<min(63, 64-c.Length) {
			add(at+".subnet", "a /%d has no network %d: there are %d", c.Length, n, uint64(1)<<min(63, 64-c.Length))
		}
	}
	return out
}

func (l LAN) subnet(i int) uint16 {
	if l.Subnet != nil {
		return *l.Subnet
	}
	return uint16(i)
}

func device(s string) bool {
	return s != "" && len(s) <= 15 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' || r == ':' || r == '*' || r == '%' })
}
