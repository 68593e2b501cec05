// Package routing is the wing of the way out: forwarding, the firewall, the kill switch, policy
// routing, and what keeps all of it in place. It puts together what its rooms plan: one own
// nf_tables table from their fragments, the kernel's parameters, and the file from which all of
// it comes back after a reboot.
package routing

import (
	"reflect"

	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/routing/delegation"
	"github.com/provision-net/provision/routing/firewall"
	"github.com/provision-net/provision/routing/foreign"
	"github.com/provision-net/provision/routing/forward"
	"github.com/provision-net/provision/routing/killswitch"
	"github.com/provision-net/provision/routing/lists"
	"github.com/provision-net/provision/routing/overlay"
	"github.com/provision-net/provision/routing/policy"
	"github.com/provision-net/provision/routing/tunnel"
	"github.com/provision-net/provision/routing/uplink"
	"github.com/provision-net/provision/routing/watch"
	"github.com/provision-net/provision/routing/wireguard"
)

// Config is the slice "routing" of the configuration file.
type Config struct {
	Forwarding string              `yaml:"forwarding" enum:"auto,yes,no" default:"auto" help:"pass packets on between interfaces, IPv4 and IPv6: auto (when zones, a tunnel or a served link need it), yes, or no (switched off)"`
	Interfaces []forward.Interface `yaml:"interfaces" help:"kernel settings of single interfaces; the first entry whose name fits decides"`
	Zones      firewall.Zones      `yaml:"zones" help:"interfaces that are treated alike, by the zone's name; with one or more of them there is a firewall"`
	Groups     firewall.Groups     `yaml:"groups" help:"lists of addresses by name, for source and destination of rules"`
	Firewall   firewall.Config     `yaml:"firewall" help:"rules and the few switches around them"`
	Adapters   foreign.Adapters    `yaml:"adapters" help:"firewalls of others that are told what this policy lets through, by their own extension points: docker, ufw, firewalld, or auto for those that are there; default is none"`
	KillSwitch killswitch.Config   `yaml:"kill-switch" help:"a tunnel is the only way out, or there is none"`
	Policy     policy.Config       `yaml:"policy" help:"routing tables and rules beside the main one"`
	WireGuard  wireguard.Config    `yaml:"wireguard" help:"interfaces of WireGuard by name, such as wg0; commands keep theirs in /etc/provision/wireguard.d"`
	Tunnels    tunnel.Config       `yaml:"tunnels" help:"IPv6 by tunnels of protocol 41, by the name of their device, and networks behind them"`
	Overlay    overlay.Config      `yaml:"overlay" help:"a network between machines that are far from each other: virtual wires in WireGuard, and a bridge with a spanning tree"`
	Delegation delegation.Config   `yaml:"delegation" help:"IPv6 prefixes that the uplink's provider delegates, for networks behind this machine"`
	Uplinks    uplink.Config       `yaml:"uplinks" help:"several ways to the internet, best first: the next one is used while the first does not answer"`
	Lists      lists.Config        `yaml:"lists" help:"named lists of addresses and domains, for smart"`
	Smart      lists.Smart         `yaml:"smart" help:"which way packets take by the list that their destination is in; the first rule that fits decides"`
	Watch      watch.Config        `yaml:"watch" help:"what provision watch keeps in place"`
}

// Problem is something wrong in the slice. Path is relative to "routing".
type Problem struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// Problems lists everything that is wrong in c without looking at a machine.
func (c Config) Problems() []Problem {
	if reflect.ValueOf(c).IsZero() {
		return nil // what every start of a server would otherwise look through
	}
	var out []Problem
	for _, p := range c.overlayProblems() {
		out = append(out, Problem{under("overlay", p.Path), p.Text})
	}
	c = c.WithOverlay()
	for _, p := range c.forward().Problems() {
		out = append(out, Problem(p))
	}
	for _, p := range c.policy().Problems() {
		out = append(out, Problem(p))
	}
	for _, p := range c.Adapters.Problems("adapters") {
		out = append(out, Problem(p))
	}
	problems := c.KillSwitch.Problems()
	// Tunnels of this configuration tell their endpoints. One that is not in it may be in the folder of
	// commands, which only the machine has: then Plan judges.
	if c.WireGuard.Has(c.KillSwitch.Tunnel) {
		problems = append(problems, c.KillSwitch.Silent(intent.Set{Endpoints: c.WireGuard.Endpoints()})...)
	}
	for _, p := range problems {
		out = append(out, Problem{under("kill-switch", p.Path), p.Text})
	}
	for _, p := range c.Policy.Problems() {
		out = append(out, Problem{under("policy", p.Path), p.Text})
	}
	for _, p := range c.WireGuard.Problems() {
		out = append(out, Problem{under("wireguard", p.Path), p.Text})
	}
	for _, p := range c.Tunnels.Problems() {
		out = append(out, Problem{under("tunnels", p.Path), p.Text})
	}
	for _, p := range c.Delegation.Problems() {
		out = append(out, Problem{under("delegation", p.Path), p.Text})
	}
	for _, p := range c.Uplinks.Problems() {
		out = append(out, Problem{"uplinks" + p.Path, p.Text})
	}
	for _, p := range append(c.Lists.Problems(c.Smart), c.Smart.Held(c.KillSwitch.Tunnel)...) {
		out = append(out, Problem(p))
	}
	for _, p := range c.Watch.Problems() {
		out = append(out, Problem{under("watch", p.Path), p.Text})
	}
	return out
}

func under(key, path string) string {
	if path == "" {
		return key
	}
	return key + "." + path
}

func (c Config) forward() forward.Config {
	return forward.Config{Forwarding: c.Forwarding, Interfaces: c.Interfaces}
}

func (c Config) policy() firewall.Policy {
	return firewall.Policy{Zones: c.Zones, Groups: c.Groups, Firewall: c.Firewall}
}
