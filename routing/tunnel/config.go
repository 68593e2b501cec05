// Package tunnel plans tunnels that bring IPv6 to a place that has only IPv4, such as those of
// tunnelbroker.net: the device, its address, the way out by it, and networks of the routed prefixes
// on served links.
//
// What has to be there first comes first: the firewall lets protocol 41 in from the other end only,
// and nothing from the tunnel that nobody asked for, before there is a tunnel.
package tunnel

import "github.com/provision-net/provision/routing/tunnel/update"

// Config is the key "tunnels" of the slice "routing": tunnels by the name of their device.
type Config map[string]Tunnel

// SixInFour is the type of tunnel that there is.
const SixInFour = "6in4"

// Tunnel is one tunnel.
type Tunnel struct {
	Type      string        `yaml:"type" enum:"6in4" default:"6in4" help:"6in4: IPv6 in IPv4, protocol 41 (sit, Hurricane Electric and others)"`
	Remote    string        `yaml:"remote" help:"IPv4 address of the server, the other end"`
	Local     string        `yaml:"local" help:"own IPv4 address of outer packets; default: that of the way they take, so that nothing has to change when it does, also behind a router that translates"`
	Interface string        `yaml:"interface" help:"interface that outer packets leave by; default: as the routes say"`
	Address   string        `yaml:"address" help:"own IPv6 address in the tunnel with the length of its network, such as 2001:db8:1::2/64 (the client's of the two)"`
	TTL       uint8         `yaml:"ttl" default:"255" help:"time to live of outer packets"`
	MTU       uint16        `yaml:"mtu" default:"1480" help:"largest packet in the tunnel, at least 1280: 1480 over Ethernet, 1472 over PPPoE; announced to the hosts behind"`
	Route     string        `yaml:"route" enum:"default,none" default:"default" help:"default: IPv6 leaves by the tunnel; none: only its own network does"`
	Metric    uint32        `yaml:"metric" default:"512" help:"metric of that route: behind the uplinks (10, 11, ...), before a NIC behind NAT (1000)"`
	Zone      string        `yaml:"zone" help:"zone of the firewall that the tunnel is in; default: the first that faces outside, else internet"`
	Routed    []string      `yaml:"routed" help:"prefixes that the server routes to this machine, such as 2001:db8:2::/64 and a /48"`
	LAN       []LAN         `yaml:"lan" help:"interfaces whose hosts get addresses of the routed prefixes"`
	Update    update.Config `yaml:"update" help:"tell the server this machine's address when it changes"`
}

// LAN is one network behind the tunnel.
type LAN struct {
	Interface string `yaml:"interface" help:"interface of the network"`
	Prefix    string `yaml:"prefix" help:"its /64, out of the routed prefixes; default: the next that is free, of the longest prefix first"`
	Serve     *bool  `yaml:"serve" default:"true" help:"announce the prefix, the way out, its MTU and the name server on the interface, where serve.links says nothing of it"`
}

// Problem is something wrong in the configuration. Path is relative to the key "tunnels".
type Problem struct {
	Path string `json:"path"`
	Text string `json:"text"`
}
