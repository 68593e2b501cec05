package dnsdhcp

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/provision-net/provision/dnsdhcp/dhcp4"
	"github.com/provision-net/provision/dnsdhcp/dhcp6"
	"github.com/provision-net/provision/dnsdhcp/dns"
	"github.com/provision-net/provision/dnsdhcp/dns/forward"
	"github.com/provision-net/provision/dnsdhcp/dns/zone"
	"github.com/provision-net/provision/dnsdhcp/learn"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/link"
	"github.com/provision-net/provision/dnsdhcp/name"
	"github.com/provision-net/provision/dnsdhcp/ra"
)

// served is what one link gets at present.
type served struct {
	up        bool
	dhcp4     bool
	network   dhcp4.Network
	table     lease.Network
	dns       bool
	dnsLink   dns.Link
	learn     learn.Link
	advertise bool // also while the link is away: what was announced is remembered
	ra        ra.Config
	inform    bool
	dhcp6     dhcp6.Config
	mdns      bool
	mdnsName  string
	mdnsSSH   bool
	notes     []string
}

// plan decides what a station's link gets. It changes nothing.
func (c *resolved) plan(u *rule, l link.Link, hostname string) served {
	v := served{up: l.Index != 0 && l.Up}
	if u.dhcp4.enabled {
		n, t, err := c.networkOn(u, &l)
		switch {
		case err == nil:
			v.dhcp4, v.network, v.table = v.up, n, t
			for _, h := range c.hosts {
				if why := unfit(h.addr, n.Prefix, &l); why != "" && h.known() && v.up {
					v.notes = append(v.notes, fmt.Sprintf("dhcp4: serve.%s.address %s %s, so it is not reserved", h.at, h.addr, why))
				}
			}
		case v.up:
			v.notes = append(v.notes, "dhcp4: "+err.Error())
		}
	}
	if on(u.raw.DNS.Enabled) {
		v.dns = v.up
		v.dnsLink = dns.Link{Name: l.Name, Domain: c.domain, Group: defaultGroup, Outside: !on(u.raw.DNS.OwnNames)}
		if len(u.raw.DNS.Upstreams) > 0 {
			v.dnsLink.Group = linkGroup(u.raw.Match)
		}
		if u.filterA {
			v.dnsLink.Filter = append(v.dnsLink.Filter, mdns.TypeA)
		}
		if u.filter6 {
			v.dnsLink.Filter = append(v.dnsLink.Filter, mdns.TypeAAAA)
		}
		v.dnsLink.Prefixes = slices.Clone(u.clients)
	}
	for _, a := range l.Addrs {
		if a.Tentative || a.Prefix.Addr().IsLinkLocalUnicast() {
			continue
		}
		v.dnsLink.Own = append(v.dnsLink.Own, a.Prefix.Addr())
		v.dnsLink.Prefixes = append(v.dnsLink.Prefixes, a.Prefix.Masked())
		if a.Prefix.Addr().Is6() {
			v.learn.Prefixes = append(v.learn.Prefixes, a.Prefix.Masked())
		}
	}
	// Hosts make addresses of what is announced, whether we have one of it or not.
	for _, p := range u.ra.config.Prefixes {
		if u.ra.enabled && p.OnLink {
			v.dnsLink.Prefixes = append(v.dnsLink.Prefixes, p.Prefix)
			v.learn.Prefixes = append(v.learn.Prefixes, p.Prefix)
		}
	}
	// Clients behind relay agents that are told of us ask us, whatever link their packets come in by.
	for _, n := range c.relayed {
		if n.dhcp4.enabled && n.resolvers.self {
			v.dnsLink.Prefixes = append(v.dnsLink.Prefixes, n.dhcp4.subnet)
		}
	}
	v.learn.Networks = []string{l.Name}
	v.advertise, v.ra = u.ra.enabled, u.ra.config
	v.inform, v.dhcp6 = on(u.raw.DHCP6.Enabled), u.information()
	v.mdns = v.up && on(u.raw.MDNS.Enabled)
	v.mdnsName, v.mdnsSSH = cmp.Or(strings.ToLower(u.raw.MDNS.Name), hostname), on(u.raw.MDNS.SSH)
	return v
}

// information is what is told over DHCPv6.
func (u *rule) information() dhcp6.Config {
	return dhcp6.Config{
		DNSSelf: u.resolvers.self, DNS: u.resolvers.v6, Search: u.search, NTPSelf: u.ntp.self, NTP: u.ntp.v6, CaptivePortal: u.raw.CaptivePortal,
	}
}

// own is what this machine is called: its host name, if that can be a name.
func ownName(hostname string) string {
	if l, ok := name.Label(hostname, nil); ok {
		return l
	}
	return "provision"
}

// networksOf are all networks of the lease table: of links that are there, of those that were and may be again, and
// those behind relay agents.
func (c *resolved) relayedNetworks() (handler []dhcp4.Network, table []lease.Network) {
	for _, u := range c.relayed {
		if !u.dhcp4.enabled {
			continue
		}
		n, t, err := c.networkOn(u, nil)
		if err == nil {
			handler, table = append(handler, n), append(table, t)
		}
	}
	return handler, table
}

// zoneOf is the local data.
func (c *resolved) zoneOf(networks []netip.Prefix, hosts, leases, learnt zone.Source, hostname string) (*zone.Zone, *zone.Routes, error) {
	routes, err := zone.NewRoutes(c.dns.routes)
	if err != nil {
		return nil, nil, err
	}
	z, err := zone.New(c.zoneConfig(networks, routes, hosts, leases, learnt, hostname))
	return z, routes, err
}

func (c *resolved) zoneConfig(networks []netip.Prefix, routes *zone.Routes, hosts, leases, learnt zone.Source, hostname string) zone.Config {
	d := c.dns.raw
	ttl := uint32(c.dns.ttl / time.Second)
	return zone.Config{
		Domains: []zone.Domain{{Name: c.domain, Sources: []zone.Source{newHostNames(c.hosts), leases, learnt}}},
		Names:   []string{hostname}, Inside: c.dns.inside, Records: c.dns.records,
		Hosts: []zone.Source{hosts}, ExpandHosts: on(d.ExpandHosts),
		Networks: networks, Routes: routes,
		DomainNeeded: on(d.DomainNeeded), BogusPriv: on(d.BogusPriv), FilterWin2k: d.FilterWin2k, NoAppDNS: true,
		TTL: ttl, SourceTTL: ttl, NegativeTTL: min(ttl, 10),
	}
}

// resolverOf is the name server's configuration: links, upstreams as they are known now, and the local data.
func (c *resolved) resolverOf(links []dns.Link, machine []netip.Addr, z *zone.Zone, routes *zone.Routes, fromFile []forward.Upstream) (dns.Config, error) {
	d := c.dns.raw
	out := dns.Defaults()
	out.Links, out.Machine, out.Routes = links, machine, routes
	out.Local = z
	out.Cache = c.dns.cache
	upstreams := c.dns.upstreams
	if len(upstreams) == 0 {
		upstreams = fromFile
	}
	out.Forward.Groups = append([]forward.Group{{Name: defaultGroup, Upstreams: upstreams}}, c.dns.groups...)
	if on(d.Rebind) {
		exempt, err := zone.NewRoutes(c.dns.exempt)
		if err != nil {
			return out, err
		}
		out.Rebind = &zone.Rebind{Exempt: exempt}
	}
	if d.RateLimit > 0 {
		out.Rate.PerSecond, out.Rate.Burst = int(d.RateLimit), 2*int(d.RateLimit)
	}
	if d.QueryLog > 0 {
		out.Log = int(d.QueryLog)
	}
	return out, out.Validate()
}

func (c *resolved) logsQueries() bool { return c.dns.raw.QueryLog > 0 }

// refusedNames are what no client may call itself: this machine's own names, and those that the configuration gives to
// others. Names of reservations are not among them: the lease table keeps them for their clients.
func (c *resolved) refusedNames(hostname string) func(string) bool {
	refused := map[string]bool{hostname: true}
	for _, u := range c.rules {
		if n := u.raw.MDNS.Name; n != "" {
			refused[strings.ToLower(n)] = true
		}
	}
	for _, h := range c.hosts {
		if !h.known() {
			refused[h.name] = true
		}
	}
	for _, rr := range c.dns.records {
		if label, ok := strings.CutSuffix(strings.ToLower(rr.Header().Name), "."+mdns.Fqdn(c.domain)); ok {
			refused[label] = true
		}
	}
	return func(label string) bool { return refused[label] }
}

// announcedNetworks are the prefixes whose reverse names are ours, sorted.
func announcedNetworks(plans map[string]served, relayed []dhcp4.Network) []netip.Prefix {
	set := map[netip.Prefix]bool{}
	for _, v := range plans {
		for _, p := range v.dnsLink.Prefixes {
			set[p] = true
		}
		if v.network.Prefix.IsValid() {
			set[v.network.Prefix] = true
		}
	}
	for _, n := range relayed {
		set[n.Prefix] = true
	}
	out := slices.Collect(maps.Keys(set))
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits())) < 0
	})
	return out
}

// keyOf tells one wanted task from another.
func keyOf(parts ...any) string { return fmt.Sprint(parts...) }
