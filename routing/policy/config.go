package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Config is the key "policy" of the slice "routing".
type Config struct {
	PerNICReplies   bool     `yaml:"per-nic-replies" default:"false" help:"replies leave by the NIC that the request came in by: a table per NIC and rules for its addresses, both families"`
	ReplyInterfaces []string `yaml:"reply-interfaces" help:"NICs (or patterns such as eth*) that per-nic-replies is for; default: those with a default route"`
	ReplyPrimary    bool     `yaml:"reply-primary" default:"false" help:"a table for the NIC of the best default route too; it does not need one unless that route moves to another NIC"`
	MarkMask        uint32   `yaml:"mark-mask" help:"the eight bits of packet marks that this program uses, such as 0xff0000; default: a byte that nobody else uses"`
	Routes          []Route  `yaml:"routes" help:"static routes"`
	Rules           []Rule   `yaml:"rules" help:"policy rules, asked in this order: which table a packet looks its route up in"`
}

// Route is one static route, in netplan's words.
type Route struct {
	To        string `yaml:"to" default:"default" help:"destination: a prefix, or default; a default without via, from or family is one of each family"`
	Via       string `yaml:"via" help:"address of the gateway; without it the destination is on the link"`
	Interface string `yaml:"interface" help:"interface that it leaves by"`
	From      string `yaml:"from" help:"preferred source address"`
	Table     uint32 `yaml:"table" default:"254" help:"number of the routing table; 254 is the main table"`
	Metric    uint32 `yaml:"metric" help:"of routes to the same destination the one with the lowest metric is used"`
	MTU       uint32 `yaml:"mtu" help:"largest packet in bytes; default: the interface's"`
	OnLink    bool   `yaml:"on-link" default:"false" help:"the gateway is on the link though no address of the interface says so"`
	Type      string `yaml:"type" enum:"unicast,unreachable,blackhole,prohibit,throw" default:"unicast" help:"unicast, or what happens to packets instead: unreachable and prohibit answer, blackhole is silent, throw goes on to the next rule"`
}

// Rule is one policy rule, in the words of netplan and ip-rule(8).
type Rule struct {
	Family   string  `yaml:"family" enum:"ipv4,ipv6,both" help:"default: that of from and to, else both"`
	Not      bool    `yaml:"not" default:"false" help:"packets for which the rest is not true"`
	From     string  `yaml:"from" help:"source prefix or address"`
	To       string  `yaml:"to" help:"destination prefix or address"`
	IIF      string  `yaml:"iif" help:"interface that the packet came in by; lo means this machine itself"`
	OIF      string  `yaml:"oif" help:"interface that the sending socket is bound to"`
	FWMark   string  `yaml:"fwmark" help:"mark and mask, such as 0x10/0xff"`
	Protocol string  `yaml:"protocol" enum:"tcp,udp,icmp,icmpv6" help:"tcp, udp, icmp or icmpv6"`
	SPort    string  `yaml:"source-port" help:"port, or first-last"`
	DPort    string  `yaml:"port" help:"destination port, or first-last"`
	Table    uint32  `yaml:"table" help:"number of the routing table to ask; 254 is the main table"`
	Suppress *uint32 `yaml:"suppress-prefixlength" help:"routes that it finds with a prefix of at most this length do not count: with 0 default routes"`
	Type     string  `yaml:"type" enum:"table,unreachable,blackhole,prohibit" default:"table" help:"table, or what happens to packets instead"`
	Priority uint32  `yaml:"priority" help:"lower is asked first; 1 to 32765; default: after the rule before it in this list"`
}

// Problem is something wrong in the configuration. Path is relative to the key "policy".
type Problem struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// maxRules is how many rules without a priority fit between the other ones.
const maxRules = priorityReplies - priorityRules - 100

// Problems lists everything that is wrong in c without looking at a machine.
func (c Config) Problems() []Problem {
	var out []Problem
	add := func(path, format string, args ...any) { out = append(out, Problem{path, fmt.Sprintf(format, args...)}) }
	if !c.PerNICReplies && (len(c.ReplyInterfaces) > 0 || c.ReplyPrimary) {
		add("per-nic-replies", "is not true, so reply-interfaces and reply-primary say nothing: set it, or leave them out")
	}
	for i, p := range c.ReplyInterfaces {
		if why := badInterface(strings.TrimSuffix(p, "*")); why != "" && p != "*" {
			add(fmt.Sprintf("reply-interfaces[%d]", i), "%s", why)
		}
	}
	if c.MarkMask != 0 && !slices.Contains(maskBytes(), c.MarkMask) {
		add("mark-mask", "0x%x is not one whole byte of the mark: 0xff, 0xff00, 0xff0000 or 0xff000000", c.MarkMask)
	}
	if len(c.Rules) > maxRules {
		add("rules", "are %d; there is room for %d", len(c.Rules), maxRules)
	}
	seen := map[string]int{}
	for i, r := range c.Routes {
		at := fmt.Sprintf("routes[%d]", i)
		specs := r.problems(func(key, format string, args ...any) { add(join(at, key), format, args...) })
		for _, s := range specs {
			if first, twice := seen[s.String()]; twice {
				add(at, "is the same destination, table and metric as routes[%d]: the kernel has one route there", first)
				break
			}
			seen[s.String()] = i
		}
	}
	rules := map[string]int{}
	for i, r := range c.Rules {
		at := fmt.Sprintf("rules[%d]", i)
		for _, s := range r.problems(func(key, format string, args ...any) { add(join(at, key), format, args...) }) {
			s.Priority = r.Priority
			if first, twice := rules[s.String()]; twice && r.Priority == c.Rules[first].Priority {
				add(at, "says the same as rules[%d]", first)
				break
			}
			rules[s.String()] = i
		}
	}
	return out
}

func join(at, key string) string {
	if key == "" {
		return at
	}
	return at + "." + key
}

// badInterface says what is wrong with an interface's name (net/core/dev.c dev_valid_name).
func badInterface(name string) string {
	switch {
	case name == "":
		return "is missing: name an interface, such as eth1"
	case len(name) > 15:
		return fmt.Sprintf("%q is longer than 15 bytes, the most that a name has", name)
	case name == "." || name == ".." || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '/' || r == ':' || r == '*' || r == 0x7f }):
		return fmt.Sprintf("%q is no name of an interface", name)
	}
	return ""
}

// prefix reads a prefix or a single address.
func prefix(s string) (netip.Prefix, string) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" && !a.Is4In6() {
		return netip.PrefixFrom(a, a.BitLen()), ""
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || p.Addr().Is4In6():
		return p, fmt.Sprintf("%q is no prefix such as 192.0.2.0/24 or 2001:db8::/64", s)
	case p.Masked() != p:
		return p, fmt.Sprintf("%s has bits behind its length: write %s, or %s for the one address", s, p.Masked(), p.Addr())
	}
	return p, ""
}

func address(s string) (netip.Addr, string) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() {
		return a, fmt.Sprintf("%q is no address of a machine", s)
	}
	return a, ""
}

func familyOf(a netip.Addr) int {
	if a.Is4() {
		return 4
	}
	return 6
}

// mark reads MARK/MASK; a mark alone is compared as a whole.
func mark(s string) (value, mask uint32, why string) {
	m, k, both := strings.Cut(s, "/")
	v, err := strconv.ParseUint(m, 0, 32)
	w := uint64(1<<32 - 1)
	if err == nil && both {
		w, err = strconv.ParseUint(k, 0, 32)
	}
	switch {
	case err != nil:
		return 0, 0, fmt.Sprintf("%q is no mark and mask, such as 0x10/0xff", s)
	case w == 0:
		return 0, 0, fmt.Sprintf("%q compares no bit at all", s)
	case v&^w != 0:
		return 0, 0, fmt.Sprintf("%q can never be: the mark has bits that the mask cuts off", s)
	}
	return uint32(v), uint32(w), ""
}
