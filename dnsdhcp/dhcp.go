package dnsdhcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/provision-net/provision/dnsdhcp/dhcp4"
	"github.com/provision-net/provision/dnsdhcp/dhcp4/option"
	"github.com/provision-net/provision/dnsdhcp/dhcp4/wire"
	"github.com/provision-net/provision/dnsdhcp/lease"
	"github.com/provision-net/provision/dnsdhcp/link"
)

// dhcp4Plan is what is served by DHCPv4 on the links of a rule, as far as it does not depend on the link.
type dhcp4Plan struct {
	enabled bool
	subnet  netip.Prefix // invalid: that of the link's first address
	pools   []lease.Range
	exclude []lease.Range
	network dhcp4.Network // a template
}

func (r *reader) dhcp4(at string, in DHCP4, l Rule) dhcp4Plan {
	out := dhcp4Plan{enabled: on(in.Enabled)}
	if in.Subnet != "" {
		out.subnet = r.prefix(at+".subnet", in.Subnet)
		if out.subnet.IsValid() && (!out.subnet.Addr().Is4() || out.subnet.Bits() < 8 || out.subnet.Bits() > 31) {
			r.fail(at+".subnet", "%s is no IPv4 network of /8 to /31", in.Subnet)
		}
	}
	for i, text := range in.Pools {
		where := fmt.Sprintf("%s.pools[%d]", at, i)
		if p, ok := r.pool(where, text); ok {
			if out.subnet.IsValid() && (!out.subnet.Contains(p.First) || !out.subnet.Contains(p.Last)) {
				r.fail(where, "%s is not inside of %s", text, out.subnet)
			}
			for j, other := range out.pools {
				if !p.Last.Less(other.First) && !other.Last.Less(p.First) {
					r.fail(where, "%s overlaps with pools[%d]", text, j)
				}
			}
			out.pools = append(out.pools, p)
		}
	}
	for i, text := range in.Exclude {
		if p, ok := r.pool(fmt.Sprintf("%s.exclude[%d]", at, i), text); ok {
			out.exclude = append(out.exclude, p)
		}
	}
	n := &out.network
	n.Lease = r.duration(at+".lease-time", in.LeaseTime, dhcp4.DefaultLease, 30*time.Second, infinite)
	n.Min = r.duration(at+".min-lease-time", in.MinLeaseTime, min(dhcp4.DefaultMin, n.Lease), 10*time.Second, n.Lease)
	n.Max = r.duration(at+".max-lease-time", in.MaxLeaseTime, n.Lease, n.Lease, infinite)
	n.Identity = map[string]dhcp4.Identity{"mac": dhcp4.ByMAC, "client-id": dhcp4.ByClientID}[in.Identity]
	n.Authoritative = on(in.Authoritative)
	n.RapidCommit = in.RapidCommit
	n.Probe = on(in.ConflictProbe)
	n.Broadcast = in.Broadcast
	n.Flood = int(in.FloodLimit)
	if in.IPv6Only != "" {
		// RFC 8925 section 3.4: MIN_V6ONLY_WAIT is 300 s.
		n.IPv6Only = r.duration(at+".ipv6-only", in.IPv6Only, 0, 5*time.Minute, longest)
	}
	n.MTU, n.CaptivePortal = l.MTU, l.CaptivePortal
	n.Options = r.options(at+".options", in.Options)
	// These two are in each answer that has a lease time, so they are not added as the others are.
	n.Options = slices.DeleteFunc(n.Options, func(o option.Option) bool {
		if len(o.Data) != 4 {
			return false
		}
		switch d := time.Duration(binary.BigEndian.Uint32(o.Data)) * time.Second; o.Code {
		case wire.OptT1:
			n.T1 = d
		case wire.OptT2:
			n.T2 = d
		default:
			return false
		}
		return true
	})
	n.Boot = r.boot(at+".boot", in.Boot)
	return out
}

func (r *reader) options(at string, in map[string][]string) []option.Option {
	var out []option.Option
	for _, name := range slices.Sorted(maps.Keys(in)) {
		o, err := option.Parse(name, in[name])
		if err != nil {
			r.fail(at+"."+name, "%v", err)
			continue
		}
		out = append(out, o)
	}
	return out
}

// archNames are the usual architectures of IANA's registry "Processor Architecture Types" (RFC 5970 section 3.3).
var archNames = map[string]uint16{
	"bios": 0, "efi-x86": 6, "efi-x64": 7, "efi-bc": 9, "efi-arm": 10, "efi-arm64": 11,
	"efi-x86-http": 15, "efi-x64-http": 16, "efi-arm-http": 18, "efi-arm64-http": 19, "efi-riscv64": 27, "efi-riscv64-http": 28,
}

func (r *reader) boot(at string, in Boot) dhcp4.Boot {
	out := dhcp4.Boot{File: in.File, IPXE: in.IPXE}
	if in.Server != "" {
		out.Server = r.addr4(at+".server", in.Server)
	}
	for _, name := range slices.Sorted(maps.Keys(in.Arch)) {
		code, ok := archNames[name]
		if !ok {
			n, err := strconv.ParseUint(name, 10, 16)
			if err != nil {
				r.fail(at+".arch."+name, "%q is no architecture: it is a number or one of %v", name, slices.Sorted(maps.Keys(archNames)))
				continue
			}
			code = uint16(n)
		}
		if out.Arch == nil {
			out.Arch = map[uint16]string{}
		}
		out.Arch[code] = in.Arch[name]
	}
	return out
}

func (r *reader) relayed(at string, in Relayed, domain string) *rule {
	l := Rule{Router: in.Router, NameServers: in.NameServers, Search: in.Search, NTPServers: in.NTPServers, MTU: in.MTU, DHCP4: in.DHCP4}
	out := &rule{at: at, raw: l}
	if in.Router != "" && in.Router != "none" {
		out.router, out.routerIs = routerOther, r.addr4(at+".router", in.Router)
	}
	out.resolvers = r.servers(at+".name-servers", in.NameServers, true)
	out.ntp = r.servers(at+".ntp-servers", in.NTPServers, false)
	out.search = r.search(at+".search", in.Search, domain)
	if in.DHCP4.Subnet != "" && in.DHCP4.Subnet != in.Subnet {
		r.fail(at+".dhcp4.subnet", "the subnet is given as %s already", in.Subnet)
	}
	in.DHCP4.Subnet = in.Subnet
	if in.Subnet == "" {
		r.fail(at+".subnet", "missing")
	}
	out.dhcp4 = r.dhcp4(at+".dhcp4", in.DHCP4, l)
	return out
}

// unspecified stands for this machine's own address in dhcp4.Network.
var unspecified = netip.IPv4Unspecified()

// errNoAddress is why nothing is served by DHCPv4 on a link yet.
var errNoAddress = errors.New("the interface has no IPv4 address, or none in the subnet; whoever configures the interface gives it one")

// networkOn is the network that is served on a link, for the DHCP handler and for the lease table. With l nil it is a
// relayed one.
func (c *resolved) networkOn(u *rule, l *link.Link) (dhcp4.Network, lease.Network, error) {
	n := u.dhcp4.network
	table := lease.Network{Pools: u.dhcp4.pools}
	n.Prefix = u.dhcp4.subnet
	if l != nil {
		n.Name, n.Link = l.Name, l.Name
		own := false
		for _, a := range l.Addrs {
			if !a.Prefix.Addr().Is4() {
				continue
			}
			if !n.Prefix.IsValid() && a.Prefix.Bits() < 32 {
				n.Prefix = a.Prefix.Masked()
			}
			table.Exclude = append(table.Exclude, a.Prefix.Addr())
			own = own || n.Prefix.IsValid() && n.Prefix.Contains(a.Prefix.Addr())
		}
		if !own {
			return n, table, errNoAddress
		}
	} else {
		n.Name, n.Relayed = n.Prefix.String(), true
	}
	switch u.router {
	case routerSplit:
		n.Router = dhcp4.SplitRouter
	case routerFull:
		n.Router, n.RouterAddr = dhcp4.FullRouter, unspecified
	case routerOther:
		n.Router, n.RouterAddr = dhcp4.FullRouter, u.routerIs
		table.Exclude = append(table.Exclude, u.routerIs)
	}
	n.Routes = u.routes4
	n.DNS, n.NTP = u.resolvers.announced4(), u.ntp.announced4()
	n.Domain, n.Search = c.domain, u.search
	table.Name, table.Prefix = n.Name, n.Prefix
	table.Exclude = append(append(table.Exclude, u.resolvers.v4...), u.ntp.v4...)
	if len(table.Pools) == 0 {
		table.Pools = []lease.Range{{First: n.Prefix.Addr(), Last: lastOf(n.Prefix)}}
	}
	for i, p := range table.Pools {
		if !n.Prefix.Contains(p.First) || !n.Prefix.Contains(p.Last) {
			return n, table, fmt.Errorf("serve.%s.dhcp4.pools[%d] is not inside of the network of the interface, %s", u.at, i, n.Prefix)
		}
	}
	table.Pools = without(table.Pools, u.dhcp4.exclude)
	for _, h := range c.hosts {
		for _, a := range h.addrs {
			if a != h.addr || !h.known() {
				table.Exclude = append(table.Exclude, a) // it belongs to somebody who does not ask for it
			}
		}
		if h.known() {
			r := lease.Reservation{HW: h.hw, ClientIDs: h.clientIDs, Name: h.name}
			if n.Prefix.Contains(h.addr) && unfit(h.addr, n.Prefix, l) == "" {
				r.Addr = h.addr
			}
			if r.Addr.IsValid() || r.Name != "" {
				table.Reservations = append(table.Reservations, r)
			}
		}
	}
	table.Exclude = slices.DeleteFunc(table.Exclude, func(a netip.Addr) bool { return !n.Prefix.Contains(a) })
	return n, table, nil
}

// unfit is why an address of a network cannot be reserved for a client; empty if it can.
func unfit(a netip.Addr, network netip.Prefix, l *link.Link) string {
	switch {
	case l != nil && slices.ContainsFunc(l.Addrs, func(o link.Addr) bool { return o.Prefix.Addr() == a }):
		return "is this machine's own"
	case network.Bits() < 31 && (a == network.Addr() || a == lastOf(network)):
		return "is no host's address in " + network.String()
	}
	return ""
}

// announced4 is the list for DHCPv4, in which 0.0.0.0 is us.
func (s servers) announced4() []netip.Addr {
	if !s.self {
		return s.v4
	}
	return append([]netip.Addr{unspecified}, s.v4...)
}

// without cuts ranges out of others.
func without(pools, cuts []lease.Range) []lease.Range {
	for _, cut := range cuts {
		var rest []lease.Range
		for _, p := range pools {
			if p.Last.Less(cut.First) || cut.Last.Less(p.First) {
				rest = append(rest, p)
				continue
			}
			if p.First.Less(cut.First) {
				rest = append(rest, lease.Range{First: p.First, Last: cut.First.Prev()})
			}
			if cut.Last.Less(p.Last) {
				rest = append(rest, lease.Range{First: cut.Last.Next(), Last: p.Last})
			}
		}
		pools = rest
	}
	return pools
}

// dhcpHosts are the hosts as the DHCP handler wants them.
func dhcpHosts(hosts []host) []dhcp4.Host {
	var out []dhcp4.Host
	for _, h := range hosts {
		if h.known() {
			out = append(out, dhcp4.Host{
				Name: h.name, HW: h.hw, ClientIDs: h.clientIDs, LeaseTime: h.leaseTime, Ignore: h.ignore, Options: h.options,
			})
		}
	}
	return out
}
