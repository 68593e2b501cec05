// Package lists sends what goes to listed addresses another way: named lists of addresses (by
// country, by URL or file, or written down) and of domains, and rules that say which way packets to
// them take: a tunnel, directly, or none.
//
// A packet's way is decided once, when its connection begins, by its destination; the connection
// remembers it as a mark. Never decided are answers, and what goes to this machine, to networks that
// the main table has a route of its own for, to tunnels' endpoints, and what a login by SSH sends: a
// list can be wrong, and must not cut anybody off.
package lists

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/provision-net/provision/routing/lists/plain"
	"github.com/provision-net/provision/routing/lists/span"
)

// Config are the lists, by name: the key "lists" of the slice "routing".
type Config map[string]List

// List is one named list. What its parts hold is put together.
type List struct {
	Countries  []string `yaml:"countries" json:"countries,omitempty" help:"two-letter codes; the addresses that the five regional registries have given to networks there"`
	Registries []string `yaml:"registries" json:"registries,omitempty" help:"where the registries' delegated-extended files are: https URLs or paths of files; default are all five of them"`
	Sources    []string `yaml:"sources" json:"sources,omitempty" help:"lists of addresses, prefixes and ranges, one a line: https URLs or paths of files"`
	Addresses  []string `yaml:"addresses" json:"addresses,omitempty" help:"addresses, prefixes and ranges (192.0.2.1-192.0.2.9)"`
	Except     []string `yaml:"except" json:"except,omitempty" help:"names of other lists whose addresses are taken out of this one"`
	Domains    []string `yaml:"domains" json:"domains,omitempty" help:"domains, with all names below them; this machine's name server puts their addresses into the list as it answers"`
	Upstreams  []string `yaml:"upstreams" json:"upstreams,omitempty" help:"name servers for the domains; they are reached by the list's own uplink"`
	Linger     string   `yaml:"linger" json:"linger,omitempty" default:"1h" help:"how much longer than its DNS answer is good an address stays listed: clients keep answers too long"`
	Refresh    string   `yaml:"refresh" json:"refresh,omitempty" default:"24h" help:"how often registries and sources are read again"`
	MaxAge     string   `yaml:"max-age" json:"max-age,omitempty" default:"336h" help:"a copy that could not be refreshed for so long is told as a problem; it is used all the same"`
	MaxEntries uint32   `yaml:"max-entries" json:"max-entries,omitempty" default:"300000" help:"a list with more entries is refused"`
	MaxBytes   uint32   `yaml:"max-bytes" json:"max-bytes,omitempty" default:"33554432" help:"a file with more bytes is refused"`
	MaxShrink  *uint32  `yaml:"max-shrink" json:"max-shrink,omitempty" default:"30" help:"percent of its addresses, of either family, that a list may lose at once; one that loses more is refused and the last copy stays; 100 takes everything"`
}

// Smart are the rules, asked in this order: the key "smart". The first that fits decides.
type Smart []Rule

// Rule says which way packets to listed addresses take.
type Rule struct {
	Lists      []string `yaml:"lists" json:"lists,omitempty" help:"names of lists; none is every address, which only the last rule may say"`
	Uplink     string   `yaml:"uplink" json:"uplink" help:"device that they leave by, such as wg0; direct: as if there were no full tunnel; block: they go nowhere"`
	Via        []string `yaml:"via" json:"via,omitempty" help:"gateways behind the device, one for each family; tunnels need none"`
	Interfaces []string `yaml:"interfaces" json:"interfaces,omitempty" help:"only what comes in by these interfaces (or patterns such as usb*); default is everything, also what this machine itself sends"`
	Own        *bool    `yaml:"own" json:"own,omitempty" help:"also what this machine itself sends; default is yes without interfaces, and no with them"`
	Masquerade string   `yaml:"masquerade" json:"masquerade,omitempty" enum:"all,own,none" default:"all" help:"packets get the device's address: all, only this machine's own (whose address was chosen for another way), or none"`
	Fallback   string   `yaml:"fallback" json:"fallback,omitempty" enum:"block,direct" default:"block" help:"while the device is away: block, or direct, which lets everything leave beside the tunnel"`
}

// Words for Rule.Uplink.
const (
	Direct = "direct"
	Block  = "block"
)

// Problem is something wrong in the configuration. Path is relative to the slice "routing".
type Problem struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// maxName leaves room for "list." and ".4" in what nft prints of a set.
const maxName = 24

// Problems lists everything that is wrong with the lists and the rules, without looking at a machine.
func (c Config) Problems(rules Smart) []Problem {
	var out []Problem
	add := func(path, format string, args ...any) { out = append(out, Problem{path, fmt.Sprintf(format, args...)}) }
	for _, name := range c.Names() {
		c.problems(name, func(key, format string, args ...any) { add(join("lists."+name, key), format, args...) })
	}
	c.circles(add)
	c.twice(add)
	rules.problems(c, add)
	return out
}

// Names are the lists' names in order.
func (c Config) Names() []string {
	out := make([]string, 0, len(c))
	for n := range c {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}

func join(at, key string) string {
	if key == "" {
		return at
	}
	return at + "." + key
}

func goodName(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }) &&
		s[0] != '-' && s[len(s)-1] != '-'
}

func (c Config) problems(name string, add func(key, format string, args ...any)) {
	l := c[name]
	if !goodName(name) || name == Direct || name == Block {
		add("", "%q is no name of a list: write at most %d letters a to z, digits and dashes", name, maxName)
	}
	if len(l.Countries)+len(l.Sources)+len(l.Addresses)+len(l.Domains) == 0 {
		add("", "holds nothing: give countries, sources, addresses or domains")
	}
	for i, s := range l.Countries {
		if len(s) != 2 || strings.ContainsFunc(s, func(r rune) bool { return r < 'A' || r > 'Z' }) {
			add(fmt.Sprintf("countries[%d]", i), "%q is no country's code of two capital letters, such as CH", s)
		} else if s == "UK" {
			add(fmt.Sprintf("countries[%d]", i), "the registries write GB for the United Kingdom")
		}
	}
	if len(l.Registries) > 0 && len(l.Countries) == 0 {
		add("registries", "are read for countries only: give countries, or sources in place of registries")
	}
	for _, k := range []struct {
		key  string
		list []string
	}{{"registries", l.Registries}, {"sources", l.Sources}} {
		for i, s := range k.list {
			at := fmt.Sprintf("%s[%d]", k.key, i)
			switch {
			case strings.HasPrefix(s, "http://"):
				add(at, "whoever is on the way can change what comes over http: write https://")
			case !strings.HasPrefix(s, "https://") && !strings.HasPrefix(s, "/"):
				add(at, "%q is neither an https URL nor the absolute path of a file", s)
			case slices.Contains(k.list[:i], s):
				add(at, "%s is there twice", s)
			}
		}
	}
	var b span.Builder
	for i, s := range l.Addresses {
		if err := plain.Entry(&b, s); err != nil {
			add(fmt.Sprintf("addresses[%d]", i), "%v", err)
		}
	}
	for i, s := range l.Except {
		if _, ok := c[s]; !ok {
			add(fmt.Sprintf("except[%d]", i), "there is no list %q", s)
		}
	}
	for i, s := range l.Domains {
		if why := badDomain(s); why != "" {
			add(fmt.Sprintf("domains[%d]", i), "%q %s", s, why)
		}
	}
	if len(l.Upstreams) > 0 && len(l.Domains) == 0 {
		add("upstreams", "are asked for the list's domains, and it has none")
	}
	for i, s := range l.Upstreams {
		if _, err := upstream(s); err != nil {
			add(fmt.Sprintf("upstreams[%d]", i), "%q is no name server: write 9.9.9.9, 9.9.9.9:53 or [2620:fe::fe]:53", s)
		}
	}
	l.bounds(add)
}

func (l List) bounds(add func(key, format string, args ...any)) {
	for _, k := range []struct {
		key, text  string
		least, max time.Duration
	}{{"linger", l.Linger, 0, 7 * 24 * time.Hour}, {"refresh", l.Refresh, time.Minute, 366 * 24 * time.Hour}, {"max-age", l.MaxAge, time.Hour, 10 * 366 * 24 * time.Hour}} {
		if k.text == "" {
			continue
		}
		if d, err := time.ParseDuration(k.text); err != nil || d < k.least || d > k.max {
			add(k.key, "%q is no time from %s to %s, such as 24h", k.text, k.least, k.max)
		}
	}
	if l.MaxEntries > mostEntries {
		add("max-entries", "%d are more than the %d that a set of the kernel can be given", l.MaxEntries, mostEntries)
	}
	if l.MaxShrink != nil && *l.MaxShrink > 100 {
		add("max-shrink", "%d is no percentage from 0 to 100", *l.MaxShrink)
	}
}

// circles finds lists that are taken out of themselves by some way.
func (c Config) circles(add func(path, format string, args ...any)) {
	var reach func(from, to string, seen map[string]bool) bool
	reach = func(from, to string, seen map[string]bool) bool {
		if seen[from] {
			return false
		}
		seen[from] = true
		return slices.ContainsFunc(c[from].Except, func(n string) bool { return n == to || reach(n, to, seen) })
	}
	for _, name := range c.Names() {
		if reach(name, name, map[string]bool{}) {
			add("lists."+name+".except", "leads back to %s itself", name)
		}
	}
}

// twice finds domains that two lists have: an address learnt for both would go by whichever rule
// comes first, and its name be asked of whichever upstream.
func (c Config) twice(add func(path, format string, args ...any)) {
	first := map[string]string{}
	for _, name := range c.Names() {
		for i, d := range c[name].Domains {
			d = Domain(d)
			if o, ok := first[d]; ok {
				add(fmt.Sprintf("lists.%s.domains[%d]", name, i), "%s is in the list %s already", d, o)
			}
			first[d] = name
		}
	}
}

// Domain is the form in which domains are compared: lower case, without a final dot or "*.".
func Domain(s string) string {
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(s, "*."), "."))
}

func badDomain(s string) string {
	d := Domain(s)
	if d == "" || len(d) > 253 {
		return "is no domain"
	}
	if _, err := netip.ParseAddr(d); err == nil {
		return "is an address: it belongs under addresses"
	}
	for l := range strings.SplitSeq(d, ".") {
		if l == "" || len(l) > 63 || strings.ContainsFunc(l, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
		}) {
			return "is no domain: write example.org, and names beyond ASCII as xn--..."
		}
	}
	return ""
}

// upstream reads a name server's address.
func upstream(s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		s = netip.AddrPortFrom(a, 53).String()
	}
	p, err := netip.ParseAddrPort(s)
	if err == nil && (p.Port() == 0 || p.Addr().Zone() != "" || p.Addr().Is4In6() || p.Addr().IsUnspecified() || p.Addr().IsMulticast() || p.Addr().IsLoopback()) {
		err = fmt.Errorf("%s cannot be asked", s)
	}
	return p, err
}
