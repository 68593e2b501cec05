package dnsdhcp

import (
	"fmt"
	"net"
	"net/netip"
	"sort"
	"strings"

	"github.com/provision-net/provision/dnsdhcp/link"
)

// Problems returns everything that is wrong with the configuration. Without links it is in order: nothing is served.
func (c Config) Problems() []Problem {
	var r reader
	r.resolve(c)
	return r.problems
}

// resolved is a Config whose text has been read: what is the same for all links, and a rule for each of c.Links.
type resolved struct {
	domain  string // without a dot at its end
	rules   []*rule
	relayed []*rule
	hosts   []host
	dns     dnsPlan
	metrics netip.AddrPort
	leases  leasesPlan
}

// rule is a Rule, read.
type rule struct {
	pattern string
	mac     net.HardwareAddr
	at      string // path in the configuration, for messages
	raw     Rule

	router    routerPolicy
	routerIs  netip.Addr // routerOther: who
	routes4   []netip.Prefix
	routes6   []netip.Prefix
	resolvers servers
	ntp       servers
	search    []string
	dhcp4     dhcp4Plan
	ra        raPlan
	clients   []netip.Prefix // further sources of DNS queries
	filterA   bool
	filter6   bool
}

// routerPolicy says who is announced as the way out.
type routerPolicy uint8

const (
	routerNone routerPolicy = iota
	routerSplit
	routerFull
	routerOther
)

// servers are the addresses of servers that are announced; self stands for our own on the link.
type servers struct {
	self   bool
	v4, v6 []netip.Addr
}

func (r *reader) resolve(c Config) *resolved {
	out := &resolved{domain: r.domainName("domain", c.Domain, "lan")}
	seen := map[string]int{}
	for i, l := range c.Links {
		at := fmt.Sprintf("links[%d]", i)
		key := strings.TrimSpace(l.Match.Name + " " + strings.ToLower(l.Match.MAC))
		if first, ok := seen[key]; ok && l.Match.Name != "" {
			r.fail(at+".match.name", "%s is matched by links[%d] already, so this is never used", key, first)
		}
		seen[key] = i
		out.rules = append(out.rules, r.rule(at, l, out.domain))
	}
	for i, n := range c.Relayed {
		out.relayed = append(out.relayed, r.relayed(fmt.Sprintf("relayed[%d]", i), n, out.domain))
	}
	out.hosts = r.hosts(c.Hosts, out.domain)
	out.dns = r.dns(c, out)
	r.together(out)
	if c.Metrics != "" {
		ap, err := netip.ParseAddrPort(c.Metrics)
		if err != nil || !ap.Addr().IsLoopback() || ap.Port() == 0 {
			r.fail("metrics", "%q is no loopback address with a port: write 127.0.0.1:9153", c.Metrics)
		}
		out.metrics = ap
	}
	out.leases = r.leases(c.Leases)
	sort.SliceStable(r.problems, func(i, j int) bool { return r.problems[i].Path < r.problems[j].Path })
	return out
}

func (r *reader) rule(at string, l Rule, domain string) *rule {
	out := &rule{pattern: l.Match.Name, at: at, raw: l}
	if l.Match.MAC != "" {
		mac, err := net.ParseMAC(l.Match.MAC)
		if err != nil || len(mac) != 6 {
			r.fail(at+".match.macaddress", "%q is no MAC address such as 02:00:5e:00:53:01", l.Match.MAC)
		} else {
			out.mac = mac
		}
	}
	switch {
	case l.Match.Name == "":
		r.fail(at+".match.name", "missing: a rule names the interfaces that it is for")
	case l.Match.Name == "lo":
		r.fail(at+".match.name", "the loopback interface cannot be served")
	default:
		if err := link.CheckPattern(l.Match.Name); err != nil {
			r.fail(at+".match.name", "%v", err)
		}
	}
	switch l.Router {
	case "", "none":
	case "split":
		out.router = routerSplit
	case "full":
		out.router = routerFull
	default:
		a, err := netip.ParseAddr(l.Router)
		if err != nil || !a.Is4() {
			r.fail(at+".router", "%q is not one of none, split, full, or an IPv4 address", l.Router)
		}
		out.router, out.routerIs = routerOther, a
	}
	if len(l.Routes) > 0 && out.router != routerSplit && out.router != routerFull {
		r.fail(at+".routes", "routes are announced only with router: split or router: full")
	}
	for i, text := range l.Routes {
		switch p := r.prefix(fmt.Sprintf("%s.routes[%d]", at, i), text); {
		case !p.IsValid():
		case p.Addr().Is4():
			out.routes4 = append(out.routes4, p)
		default:
			out.routes6 = append(out.routes6, p)
		}
	}
	out.resolvers = r.servers(at+".name-servers", l.NameServers, true)
	out.ntp = r.servers(at+".ntp-servers", l.NTPServers, false)
	out.search = r.search(at+".search", l.Search, domain)
	if l.MTU != 0 && l.MTU < 576 {
		r.fail(at+".mtu", "%d is less than 576, which every IPv4 host must take (RFC 791)", l.MTU)
	}
	out.dhcp4 = r.dhcp4(at+".dhcp4", l.DHCP4, l)
	out.ra = r.advertisements(at, l, out)
	for i, text := range l.DNS.Clients {
		if p := r.prefix(fmt.Sprintf("%s.dns.clients[%d]", at, i), text); p.IsValid() {
			out.clients = append(out.clients, p)
		}
	}
	for i, f := range l.DNS.Filter {
		switch strings.ToLower(f) {
		case "a":
			out.filterA = true
		case "aaaa":
			out.filter6 = true
		default:
			r.fail(fmt.Sprintf("%s.dns.filter[%d]", at, i), "%q is not one of a, aaaa", f)
		}
	}
	if l.MDNS.Name != "" {
		r.label(at+".mdns.name", l.MDNS.Name)
	}
	return out
}

// servers reads a list of servers; self is what an empty list means.
func (r *reader) servers(at string, list []string, self bool) servers {
	if len(list) == 0 {
		return servers{self: self}
	}
	var out servers
	for i, text := range list {
		switch text {
		case "self":
			out.self = true
		case "none":
			if len(list) > 1 {
				r.fail(fmt.Sprintf("%s[%d]", at, i), "none cannot stand beside others")
			}
		default:
			switch a := r.addr(fmt.Sprintf("%s[%d]", at, i), text); {
			case !a.IsValid():
			case a.Is4():
				out.v4 = append(out.v4, a)
			case a.Zone() != "":
				r.fail(fmt.Sprintf("%s[%d]", at, i), "%s: clients cannot use an interface name of this machine", text)
			default:
				out.v6 = append(out.v6, a)
			}
		}
	}
	return out
}

// search reads the search list; the local domain when there is none.
func (r *reader) search(at string, list []string, domain string) []string {
	if len(list) == 0 {
		return []string{domain}
	}
	var out []string
	for i, text := range list {
		if d := r.domainName(fmt.Sprintf("%s[%d]", at, i), text, ""); d != "" {
			out = append(out, d)
		}
	}
	return out
}

// on is a switch that is on unless it says otherwise.
//
//go:noinline
func on(b *bool) bool { return b == nil || *b }

// ruleFor is the rule for an interface: the one that names it, else the first whose pattern fits. mac is nil where the
// interface is not there.
func (c *resolved) ruleFor(name string, mac net.HardwareAddr) *rule {
	matches := make([]link.Match, len(c.rules))
	for i, u := range c.rules {
		matches[i] = link.Match{Pattern: u.pattern, MAC: u.mac}
	}
	if i := link.Best(matches, name, mac); i >= 0 {
		return c.rules[i]
	}
	return nil
}
