package watch

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Config is the key "watch" of the slice "routing".
type Config struct {
	Preset    string          `yaml:"preset" enum:"eks" help:"a set of jobs for a known place: eks (Kubernetes nodes on Amazon's cloud). What is given beside it wins"`
	Tables    TablesConfig    `yaml:"tables" help:"default routes of the tables that rules point to"`
	RPFilter  RPFilterConfig  `yaml:"rp-filter" help:"reverse path filter of IPv4, loosened where it is strict"`
	Martians  MartiansConfig  `yaml:"martians" help:"packets that the kernel drops because of their addresses"`
	Reactions []ReactionEntry `yaml:"reactions" help:"commands that are run when interfaces appear, change or go"`
	Proxy     []ProxyEntry    `yaml:"proxy" help:"addresses that the machine answers for on a LAN (proxy ARP, proxy NDP)"`
	// Keep is on unless it is said otherwise.
	Keep *bool `yaml:"keep" default:"true" help:"put back the firewall, routes, rules and kernel parameters that apply committed, when somebody removes or changes them"`
}

// TablesConfig is what Tables does.
type TablesConfig struct {
	Repair     *bool    `yaml:"repair" default:"false" help:"give every table that a rule points to its default route back"`
	Interfaces []string `yaml:"interfaces" help:"interfaces that default routes may lead to, patterns such as eth*; default: hardware"`
	Except     []uint32 `yaml:"except" help:"numbers of tables that are left alone"`
	Gateway4   string   `yaml:"ipv4-gateway" enum:"learn,first" default:"learn" help:"the gateway where the table does not tell: learn (from other routes through the interface), or also first (the first address of its network)"`
	Gateway6   string   `yaml:"ipv6-gateway" help:"the IPv6 gateway where nothing else tells, such as fe80::1"`
	FixCopies  *bool    `yaml:"fix-copies" default:"false" help:"replace a default route that was copied from the main table though the table's own gateway is on another interface"`
}

// RPFilterConfig is what RPFilter does.
type RPFilterConfig struct {
	Loose []string `yaml:"loose" help:"interfaces whose filter is made loose where it is strict, patterns such as eni*"`
}

// MartiansConfig is what MartianJob does.
type MartiansConfig struct {
	Watch *bool `yaml:"watch" default:"false" help:"say so when the kernel's counters of dropped martians rise"`
	Name  bool  `yaml:"name" default:"false" help:"look at packets for a few seconds then, and name their source and interface"`
}

// ReactionEntry is one Reaction.
type ReactionEntry struct {
	Name       string   `yaml:"name" help:"a name for the log and the status"`
	Interfaces []string `yaml:"interfaces" help:"interfaces it is for, patterns such as eth*"`
	On         []string `yaml:"on" enum:"appear,change,vanish" default:"[appear, change]" help:"when: appear, change (up, carrier or MAC address), vanish"`
	Run        []string `yaml:"run" help:"the command and its arguments, no shell; its environment is clean but for PROVISION_INTERFACES and PROVISION_REASON"`
	Action     string   `yaml:"action" enum:"restart-kube-proxy" help:"in place of run: restart-kube-proxy (stop and remove its pod with crictl; the kubelet starts a new one)"`
	Endpoint   string   `yaml:"runtime-endpoint" help:"for restart-kube-proxy: the container runtime's socket; default: what crictl finds itself"`
	Timeout    string   `yaml:"timeout" default:"30s" help:"how long each command may take"`
	Settle     string   `yaml:"settle" default:"1s" help:"how long nothing may change before it is run"`
	Pause      string   `yaml:"pause" default:"30s" help:"the least time between two runs"`
	AtStart    bool     `yaml:"at-start" default:"false" help:"run it also for the interfaces that are there when the watch is started for the first time"`
}

// ProxyEntry is one ProxyLink.
type ProxyEntry struct {
	Interface string   `yaml:"interface" help:"the interface on the LAN's side"`
	ProxyARP  bool     `yaml:"proxy-arp" default:"false" help:"answer for every IPv4 address that is reached through another interface"`
	Addresses []string `yaml:"addresses" help:"single addresses of both families that are answered for"`
}

// Problem is something wrong in the configuration. Path is relative to the key "watch":
// "reactions[0].run".
type Problem struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// Problems lists everything that is wrong in c without looking at a machine.
func (c Config) Problems() []Problem {
	p := &problems{}
	if _, ok := presets()[c.Preset]; !ok && c.Preset != "" {
		p.add("preset", "%q is no preset: there is eks", c.Preset)
	}
	p.patterns("tables.interfaces", c.Tables.Interfaces)
	p.patterns("rp-filter.loose", c.RPFilter.Loose)
	for i, t := range c.Tables.Except {
		if t == 0 {
			p.add(fmt.Sprintf("tables.except[%d]", i), "0 is no table: give its number, such as 2004")
		}
	}
	switch c.Tables.Gateway4 {
	case "", "learn", "first":
	default:
		p.add("tables.ipv4-gateway", "%q is neither learn nor first", c.Tables.Gateway4)
	}
	if g := c.Tables.Gateway6; g != "" {
		if a, err := netip.ParseAddr(g); err != nil || !a.Is6() || a.Zone() != "" || a.IsMulticast() || a.IsUnspecified() {
			p.add("tables.ipv6-gateway", "%q is no IPv6 address of a router, such as fe80::1", g)
		}
	}
	names := map[string]int{}
	for i, r := range c.Reactions {
		at := fmt.Sprintf("reactions[%d]", i)
		r.problems(p, at)
		if first, twice := names[r.Name]; twice && r.Name != "" {
			p.add(at+".name", "%q is already reactions[%d]: give each its own name", r.Name, first)
		}
		names[r.Name] = i
	}
	for i, x := range c.Proxy {
		x.problems(p, fmt.Sprintf("proxy[%d]", i))
	}
	return p.list
}

type problems struct{ list []Problem }

func (p *problems) add(path, format string, args ...any) {
	p.list = append(p.list, Problem{path, fmt.Sprintf(format, args...)})
}

func (p *problems) patterns(path string, list []string) {
	for i, pattern := range list {
		if why := badPattern(pattern); why != "" {
			p.add(fmt.Sprintf("%s[%d]", path, i), "%s", why)
		}
	}
}

func (r ReactionEntry) problems(p *problems, at string) {
	if r.Name == "" {
		p.add(at+".name", "is missing: the log and the status need one")
	} else if !plain(r.Name) {
		p.add(at+".name", "%q may have letters, digits, dots and dashes only", r.Name)
	}
	if len(r.Interfaces) == 0 {
		p.add(at+".interfaces", "is missing: give patterns such as eth*")
	}
	p.patterns(at+".interfaces", r.Interfaces)
	for i, on := range r.On {
		if on != "appear" && on != "change" && on != "vanish" {
			p.add(fmt.Sprintf("%s.on[%d]", at, i), "%q is none of appear, change, vanish", on)
		}
	}
	switch {
	case len(r.Run) > 0 && r.Action != "":
		p.add(at+".action", "cannot stand beside run: keep one of them")
	case len(r.Run) == 0 && r.Action == "":
		p.add(at, "does nothing: give run, or action")
	case r.Action != "" && r.Action != restartKubeProxy:
		p.add(at+".action", "%q is no action: there is %s; other commands go into run", r.Action, restartKubeProxy)
	case len(r.Run) > 0 && (r.Run[0] == "" || strings.ContainsAny(r.Run[0], " \t") && !strings.HasPrefix(r.Run[0], "/")):
		p.add(at+".run[0]", "%q is no program: give the command and each argument as an entry of its own", r.Run[0])
	}
	if r.Endpoint != "" && r.Action != restartKubeProxy {
		p.add(at+".runtime-endpoint", "is for the action %s only", restartKubeProxy)
	}
	for _, d := range []struct{ key, value string }{{"timeout", r.Timeout}, {"settle", r.Settle}, {"pause", r.Pause}} {
		if _, err := duration(d.value); err != nil {
			p.add(at+"."+d.key, "%q is no time: write 30s or 5m", d.value)
		}
	}
}

func (x ProxyEntry) problems(p *problems, at string) {
	if why := badPattern(x.Interface); why != "" || strings.ContainsAny(x.Interface, "*?[") {
		p.add(at+".interface", "%q is no name of an interface: name the one on the LAN's side", x.Interface)
	}
	if !x.ProxyARP && len(x.Addresses) == 0 {
		p.add(at, "answers for nothing: give addresses, or proxy-arp: true")
	}
	for i, text := range x.Addresses {
		at := fmt.Sprintf("%s.addresses[%d]", at, i)
		if prefix, err := netip.ParsePrefix(text); err == nil && !prefix.IsSingleIP() {
			p.add(at, "%s is a network: the kernel answers for single addresses; for IPv4 networks there is proxy-arp, for IPv6 ones route a prefix of their own", text)
		} else if _, err := single(text); err != nil {
			p.add(at, "%q is no address", text)
		}
	}
}

// single reads an address, with or without its full length.
func single(text string) (netip.Addr, error) {
	if p, err := netip.ParsePrefix(text); err == nil && p.IsSingleIP() {
		return p.Addr().Unmap(), nil
	}
	a, err := netip.ParseAddr(text)
	if err == nil && (a.Zone() != "" || a.IsMulticast() || a.IsUnspecified()) {
		err = fmt.Errorf("%s is no address of a host", text)
	}
	return a.Unmap(), err
}

// duration reads a time; empty is 0, the default.
func duration(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err == nil && (d <= 0 || d > 24*time.Hour) {
		err = fmt.Errorf("%s is out of range", text)
	}
	return d, err
}
