// Package overlay plans a network of one's own between machines that are far from each other: each two
// of them have a wire, a VXLAN device over WireGuard, and on each machine the wires are ports of a
// bridge with a spanning tree, so that frames find a way while there is one.
//
// One description of the nodes stands on every machine; only the name of the own node differs. All that
// both ends of a wire have to agree on follows from it: peers, network identifiers, sizes, costs.
//
// A VXLAN device takes frames from anybody who knows its port. So the firewall drops what comes to the
// port by anything but the tunnel, where WireGuard vouches for the sender.
package overlay

import (
	"cmp"
	"time"
)

// Config is the key "overlay" of the slice "routing".
type Config struct {
	Node           string          `yaml:"node" help:"which of the nodes this machine is; all else is the same on every machine"`
	PrivateKeyFile string          `yaml:"private-key-file" help:"file of mode 0600 with the private key, such as /etc/provision/wireguard/overlay.key"`
	Interface      string          `yaml:"interface" default:"wg-overlay" help:"name of the WireGuard device"`
	Bridge         string          `yaml:"bridge" default:"br-overlay" help:"name of the bridge"`
	Zone           string          `yaml:"zone" default:"vpn" help:"zone of the firewall that the tunnel and the bridge are in"`
	MTU            uint16          `yaml:"mtu" default:"1420" help:"largest packet in the tunnel in bytes, at least 1350; a wire has 50 less over IPv4 and 70 less over IPv6, and the bridge the smallest of all wires"`
	Port           uint16          `yaml:"port" default:"4789" help:"UDP port of the wires in the tunnel"`
	TxChecksum     bool            `yaml:"tx-checksum" default:"false" help:"let hardware below the wires sum up what they send: less work for the processor, and frames with wrong sums where a driver gets it wrong"`
	Costs          string          `yaml:"costs" enum:"fixed,measured" default:"fixed" help:"measured: while provision watch runs, wires cost what the times of answers say, but for those whose cost is written; changed in steps, and at most every five minutes"`
	ForwardDelay   string          `yaml:"forward-delay" default:"4s" help:"pause in each of two steps before a wire carries frames, 2s to 30s; below half of max-age and a second more, loops can live for a while (IEEE 802.1D-1998 section 8.10.2)"`
	HelloTime      string          `yaml:"hello-time" default:"1s" help:"time between the root's messages, 1s to 10s"`
	MaxAge         string          `yaml:"max-age" default:"6s" help:"how long a node is believed in that is not heard of any more, 6s to 40s"`
	Nodes          map[string]Node `yaml:"nodes" help:"the machines, by a name of 12 letters at most"`
	Wires          []Wire          `yaml:"wires" help:"what single wires have that is not as assigned"`
}

// Node is one machine.
type Node struct {
	PublicKey       string   `yaml:"public-key" help:"its public key, as wg pubkey prints it"`
	Endpoint        string   `yaml:"endpoint" help:"where it is called, as host:port; without it the node roams, or is behind NAT, and calls the others"`
	ListenPort      uint16   `yaml:"listen-port" help:"UDP port it listens on; default: that of its endpoint"`
	Addresses       []string `yaml:"addresses" help:"its addresses in the tunnel with the length of the network, such as 10.97.99.1/24; the first of a family that both ends have carries the wire, IPv4 first"`
	BridgeAddresses []string `yaml:"bridge-addresses" help:"its addresses on the bridge, such as 10.97.100.1/24"`
	Priority        *uint16  `yaml:"priority" help:"the node with the lowest is the root of the tree; default: 32768, and 61440 without an endpoint"`
	To              []string `yaml:"to" help:"the only nodes that it has wires to; default: all that it can call, or that can call it"`
}

// Wire is what a wire between two nodes has.
type Wire struct {
	Between []string `yaml:"between" help:"the two nodes"`
	VNI     uint32   `yaml:"vni" help:"its network identifier, 1 to 16777215; default: follows from the names"`
	Cost    uint16   `yaml:"cost" help:"what the way by it costs, 1 to 65535: frames take the cheapest way to the root; default: 100, and 1000 to a node without an endpoint, or what costs says"`
}

// Problem is something wrong in the configuration. Path is relative to the key "overlay".
type Problem struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// Defaults of a Config.
const (
	DefaultInterface = "wg-overlay"
	DefaultBridge    = "br-overlay"
	DefaultZone      = "vpn"
	DefaultMTU       = 1420 // 1500 of Ethernet less 80 of WireGuard over IPv6

	CostsFixed    = "fixed"
	CostsMeasured = "measured"

	minMTU    = 1350 // a wire over IPv6 that carries the 1280 bytes of IPv6 (RFC 8200 section 5)
	nearCost  = 100
	leafCost  = 1000
	leafExtra = 20000  // through such a node it is twice: more than three of the slowest wires that are measured
	priority  = 0x8000 // IEEE 802.1D-1998 table 8-4
	leafRank  = 0xf000 // never the root while there is another one
	keepalive = 25
)

// Enabled reports whether anything is configured.
func (c Config) Enabled() bool {
	return c.Node != "" || len(c.Nodes) > 0 || len(c.Wires) > 0 || c.PrivateKeyFile != "" || c.Interface != "" || c.Bridge != "" ||
		c.Zone != "" || c.MTU != 0 || c.Port != 0 || c.TxChecksum || c.Costs != "" || c.ForwardDelay != "" || c.HelloTime != "" || c.MaxAge != ""
}

// Device is the name of the WireGuard device, and Switch that of the bridge.
func (c Config) Device() string { return cmp.Or(c.Interface, DefaultInterface) }

// Switch is the name of the bridge.
func (c Config) Switch() string { return cmp.Or(c.Bridge, DefaultBridge) }

func (c Config) zone() string { return cmp.Or(c.Zone, DefaultZone) }

func (c Config) mtu() int { return int(cmp.Or(c.MTU, DefaultMTU)) }

// times are those of the spanning tree; what is not right is 0.
func (c Config) times() (delay, hello, age time.Duration) {
	return span(c.ForwardDelay, 4*time.Second), span(c.HelloTime, time.Second), span(c.MaxAge, 6*time.Second)
}

func span(text string, otherwise time.Duration) time.Duration {
	if text == "" {
		return otherwise
	}
	d, err := time.ParseDuration(text)
	if err != nil || d%(10*time.Millisecond) != 0 { // the kernel counts hundredths
		return 0
	}
	return d
}
