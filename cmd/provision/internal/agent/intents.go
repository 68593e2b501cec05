package agent

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/provision-net/provision/dnsdhcp"
	"github.com/provision-net/provision/provision/intent"
)

// served says which ports the server of the slice "serve" needs on its links. The server itself
// knows nothing of plans, so the roof speaks for it. The first written links are those of the file.
func served(c dnsdhcp.Config, written int) intent.Set {
	var out intent.Set
	on := func(enabled *bool) bool { return enabled == nil || *enabled }
	for i, l := range c.Links {
		links := []string{l.Match.Name}
		at := fmt.Sprintf("serve.links[%d]", i)
		if i >= written {
			at = "link " + l.Match.Name
		}
		add := func(name, proto string, family int, multicast bool, ports ...uint16) {
			out.Services = append(out.Services, intent.Service{Name: name, Interfaces: links, Proto: proto, Ports: ports, Multicast: multicast,
				Family: family, Why: at + " " + name})
		}
		if on(l.DHCP4.Enabled) {
			add("dhcp", "udp", 4, true, 67)
		}
		if on(l.DHCP6.Enabled) {
			add("dhcpv6", "udp", 6, true, 547)
		}
		if on(l.DNS.Enabled) {
			add("dns", "udp", 0, false, 53)
			add("dns", "tcp", 0, false, 53)
		}
		if on(l.MDNS.Enabled) {
			add("mdns", "udp", 0, true, 5353)
		}
	}
	// Relay agents send to the server's own address, from their network's gateway address (RFC 2131 section 4.1).
	for i, r := range c.Relayed {
		s := intent.Service{Name: "dhcp", Proto: "udp", Ports: []uint16{67}, Family: 4, Why: "serve.relayed[" + strconv.Itoa(i) + "]"}
		if p, err := netip.ParsePrefix(r.Subnet); err == nil {
			s.From = append(s.From, p.Masked())
		}
		out.Services = append(out.Services, s)
	}
	return out
}
