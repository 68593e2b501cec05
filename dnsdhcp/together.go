package dnsdhcp

import (
	"cmp"
	"net/netip"

	"github.com/provision-net/provision/dnsdhcp/dhcp4"
	"github.com/provision-net/provision/dnsdhcp/dns/zone"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

// together asks the parts themselves whether they can work with what was read. What they find only when they are started
// would stop everything that they serve, in the middle of the night.
func (r *reader) together(c *resolved) {
	if len(r.problems) > 0 || r.checked {
		return // one mistake is told once
	}
	for _, u := range c.rules {
		r.network(u)
		d := u.information()
		for _, err := range unjoin(d.Validate()) {
			r.fail(u.at+".dhcp6", "%v", err)
		}
	}
	for i, u := range c.relayed {
		r.network(u)
		for _, o := range c.relayed[:i] {
			if u.dhcp4.subnet.Overlaps(o.dhcp4.subnet) {
				r.fail(u.at+".subnet", "%s overlaps with %s", u.dhcp4.subnet, o.dhcp4.subnet)
			}
		}
	}
	routes, err := zone.NewRoutes(c.dns.routes)
	if err == nil {
		err = zone.Check(c.zoneConfig(nil, routes, nowhere{}, nowhere{}, nowhere{}, "provision"))
	}
	if err != nil {
		for _, e := range unjoin(err) {
			r.fail("dns", "%v", e)
		}
	}
	if _, err := c.resolverOf(nil, nil, nil, nil, nil); err != nil {
		for _, e := range unjoin(err) {
			r.fail("dns", "%v", e)
		}
	}
}

// network lets the handler and the table judge a network of a rule, on an interface that is in its subnet.
func (r *reader) network(u *rule) {
	n := u.dhcp4.network
	n.Name, n.Link, n.Prefix, n.Search = "any", "any", u.dhcp4.subnet, u.search
	if !n.Prefix.IsValid() {
		n.Prefix = netip.MustParsePrefix("10.0.0.0/24")
	}
	n.Routes, n.DNS, n.NTP = u.routes4, u.resolvers.v4, u.ntp.v4
	if _, err := dhcp4.NewRules(dhcp4.Config{Networks: []dhcp4.Network{n}}); err != nil {
		r.fail(u.at+".dhcp4", "%v", err)
	}
	if u.dhcp4.subnet.IsValid() {
		table := lease.Network{Name: cmp.Or(u.pattern, "any"), Prefix: n.Prefix, Pools: without(u.dhcp4.pools, u.dhcp4.exclude)}
		if err := lease.Validate([]lease.Network{table}); err != nil {
			r.fail(u.at+".dhcp4", "%v", err)
		}
	}
}

// nowhere is a zone.Source that knows nobody.
type nowhere struct{}

func (nowhere) Addrs(string) []netip.Addr      { return nil }
func (nowhere) Name(netip.Addr) (string, bool) { return "", false }
