package routing

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/address"
	"github.com/provision-net/provision/provision/resource/bridge"
	"github.com/provision-net/provision/provision/resource/dockeruser"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/provision/resource/resolver"
	"github.com/provision-net/provision/provision/resource/route"
	"github.com/provision-net/provision/provision/resource/rule"
	"github.com/provision-net/provision/provision/resource/sit"
	"github.com/provision-net/provision/provision/resource/sysctl"
	"github.com/provision-net/provision/provision/resource/vxlan"
	wgresource "github.com/provision-net/provision/provision/resource/wireguard"
	"github.com/provision-net/provision/routing/firewall"
	"github.com/provision-net/provision/routing/foreign"
	"github.com/provision-net/provision/routing/forward"
	"github.com/provision-net/provision/routing/kept"
	"github.com/provision-net/provision/routing/killswitch"
	"github.com/provision-net/provision/routing/lists"
	"github.com/provision-net/provision/routing/policy"
	"github.com/provision-net/provision/routing/uplink"
	"github.com/provision-net/provision/routing/wireguard"
)

// Input is what Plan decides from.
type Input struct {
	Facts   *facts.Facts
	Intents intent.Set
	// Seen is what other firewalls there are, for their adapters.
	Seen foreign.Seen
	// Units are the texts of the units that put back and keep (Restore and Watch); empty where
	// they cannot be installed, which Why says.
	Units Units
	// Memory is which numbers of tables and marks were given out, and Names the tables that
	// /etc/iproute2 names.
	Memory policy.Memory
	Names  map[uint32]string
	// WireGuard has what the tunnels' plan needs beside facts and marks: keys, names, sizes.
	WireGuard wireguard.Input
	// NameServers are asked beside the tunnels, where nothing but resolv.conf(5) tells them.
	NameServers []netip.AddrPort
	// Lists are the last good copies of the lists, by name.
	Lists map[string]lists.Copy
}

// Result is what Plan says.
type Result struct {
	Desired provision.Desired
	// Table is the own table, nil when there is none.
	Table *nft.Table
	// Made is the same for the resource that sets it, which need not read its text then.
	Made *nft.Made
	// Kept is what has to be put back after a reboot.
	Kept []provision.Want
	// Flows are what the policy lets through, for the judgement of other firewalls.
	Flows []foreign.Flow
	// Cuts are the SSH sessions that the policy would end.
	Cuts []firewall.Cut
	// Served are the links on which prefixes are announced.
	Served []intent.Served
	// Switch is the kill switch, nil when there is none.
	Switch *kept.Switch
	// WireGuard tells of the tunnels what wants do not: ways out, endpoints by name.
	WireGuard wireguard.Result
}

// KeptKinds are the kinds of state that no manager brings back. Rules in docker's own chain are
// lost whenever docker makes its chains anew.
func KeptKinds() []string {
	return []string{nft.Kind, route.Kind, rule.Kind, sysctl.Kind, dockeruser.Kind, sit.Kind, wgresource.Kind, address.Kind, link.Kind, wgresource.PeerKind, resolver.Kind, bridge.Kind, bridge.PortKind, vxlan.Kind}
}

// Plan says what should exist. Nothing is wanted when c is empty.
func Plan(in Input, c Config) (Result, error) {
	var problems []error
	for _, p := range c.Problems() {
		problems = append(problems, fmt.Errorf("routing.%s: %s", p.Path, p.Text))
	}
	if err := errors.Join(problems...); err != nil {
		return Result{}, err
	}
	c = c.WithOverlay()
	var r Result
	intents := in.Intents
	lanes := c.lanes(in)
	numbers, err := policy.Allocate(lanes)
	if err != nil {
		return r, fmt.Errorf("no numbers can be given out for routing.policy: %w", err)
	}
	tunnels, err := c.tunnels(in, c.tunnelMarks(lanes.Tunnels, numbers))
	if err != nil {
		return r, err
	}
	intents.Append(tunnels.Intents)
	delegated, err := c.delegated(in)
	if err != nil {
		return r, err
	}
	intents.Append(delegated)
	wires, err := c.wires(in)
	if err != nil {
		return r, err
	}
	intents.Append(wires.Intents)
	r.Served = intents.Served
	if r.WireGuard, err = wireguardPlan(in, c.outer(lanes.Tunnels), numbers, c.static(), in.WireGuard, c.WireGuard); err != nil {
		return r, err
	}
	intents.Append(r.WireGuard.Intents)
	intents.Forwards = append(intents.Forwards, c.lanForwards(r.WireGuard.Proxies, intents)...)
	inside, outside := c.Zones.Sides(intents.Members)

	var later []provision.Want
	table := nft.Table{Family: nft.OwnFamily, Name: nft.OwnTable}
	if c.policy().Wanted(intents) {
		t, notes, err := firewall.Compile(c.policy(), intents, in.Facts)
		for _, n := range notes {
			r.Desired.Notes = append(r.Desired.Notes, provision.Note{Level: "info", Subject: "routing." + n.Path, Text: n.Text})
		}
		if err != nil {
			return r, fmt.Errorf("the firewall's policy cannot be compiled:\n%w", err)
		}
		table = join(table, t)
		r.Flows = c.flows(in.Facts, intents)
	}
	if c.KillSwitch.Enabled() {
		lane := numbers.Tunnel(c.KillSwitch.Tunnel)
		r.Switch = &kept.Switch{Priority: numbers.Detours, Input: killswitch.Input{
			Config: c.KillSwitch, Inside: inside, Intents: intents, Probes: c.probes(lane.Mark), Table: lane.Table, Mark: lane.Mark, Mask: lane.Mask}}
		for _, p := range killswitch.MachineProblems(r.Switch.Input, in.Facts) {
			problems = append(problems, fmt.Errorf("routing.%s: %s", under("kill-switch", p.Path), p.Text))
		}
		if err := errors.Join(problems...); err != nil {
			return r, err
		}
		r.Desired.Notes = append(r.Desired.Notes, killswitch.Notes(r.Switch.Input, in.Facts)...)
		table = join(table, killswitch.Guard(r.Switch.Input))
	}
	table = join(table, c.WireGuard.Guard())
	table = join(table, c.Overlay.Guard())
	table = join(table, policy.Marks(lanes, numbers))
	smart, err := lists.Plan(lists.Input{Facts: in.Facts, Config: c.Lists, Smart: c.Smart, Sets: c.Lists.WithUpstreams(c.Lists.Sets(in.Lists)),
		Numbers: numbers, Endpoints: intents.Endpoints})
	if err != nil {
		return r, err
	}
	table = join(table, smart.Table)
	table = c.bridged(table)
	if len(table.Chains) > 0 {
		for _, p := range table.Problems() {
			problems = append(problems, errors.New(p.String()))
		}
		if err := errors.Join(problems...); err != nil {
			return r, fmt.Errorf("the kernel would not take the own table:\n%w", err)
		}
		r.Table = &table
		r.Cuts = firewall.Cuts(table, in.Facts)
		var w provision.Want
		w, r.Made = nft.Make(table, "the policy under routing")
		r.Desired.Wants = append(r.Desired.Wants, w)
	}
	// The firewall stands before a device comes up.
	r.Desired.Append(r.WireGuard.Desired)
	r.Desired.Append(wires.Desired)
	if r.Switch != nil {
		for _, s := range killswitch.Cuts(r.Switch.Input, in.Facts) {
			r.Cuts = append(r.Cuts, firewall.Cut{Session: s, Why: fmt.Sprintf("the kill switch would hold the answers to the SSH session from %s: name its network under routing.kill-switch.manage-from", s.Remote.Addr())})
		}
		for _, w := range c.tunnel(numbers, c.KillSwitch.Tunnel).Wants() {
			// The route by the tunnel's device comes with it: the watch sets it then, and nobody waits for it now.
			if w.Kind != route.Kind || w.Attrs == nil || !strings.Contains(w.Name, " dev ") || present(in.Facts, c.KillSwitch.Tunnel) || c.WireGuard.Has(c.KillSwitch.Tunnel) {
				r.Desired.Wants = append(r.Desired.Wants, w)
			} else {
				later = append(later, w)
			}
		}
	}
	d, err := policy.Plan(lanes, numbers)
	if err != nil {
		return r, err
	}
	full, err := c.full(numbers)
	if err != nil {
		return r, err
	}
	r.Cuts = append(r.Cuts, c.captured(in.Facts, numbers)...)
	// Answers of NICs keep their way before everything else leaves by a tunnel.
	d.Wants = append(d.Wants, full...)
	d.Wants = append(d.Wants, policy.MarkRules(lanes, numbers)...)
	now, pending := c.there(in, r.Desired.Wants, smart.Desired.Wants)
	d.Wants, later = append(d.Wants, now...), append(later, pending...)
	d.Notes = append(d.Notes, smart.Desired.Notes...)
	if len(d.Wants) > 0 || r.Switch != nil {
		r.Desired.Append(policy.Keep(lanes, numbers))
	}
	r.Desired.Append(d)
	r.Desired.Append(tunnels.Desired)
	reasons := intents
	reasons.Forwards = slices.Concat(intents.Forwards, c.forwards(), reasonsToForward(r.WireGuard.Proxies))
	r.Desired.Append(forward.Plan(forward.Input{Facts: in.Facts, Config: c.forward(), Intents: reasons, Inside: inside, Uplinks: c.lines(outside),
		Loose: append(policy.Loose(lanes, numbers), smart.Loose...), KillSwitch: r.Switch != nil}))
	r.Desired.Append(c.Adapters.Plan(in.Seen, r.Flows))

	r.Kept = append(kept.Of(r.Desired.Wants, KeptKinds()...), later...)
	if len(r.Kept) > 0 {
		w, err := kept.Want(kept.State{Wants: r.Kept, Switch: r.Switch, Lists: c.kept(), Endpoints: r.WireGuard.Named, Resolved: meant(in.WireGuard.Resolved, r.WireGuard.Named), Proxies: proxies(r.WireGuard.Proxies), NameServers: in.NameServers})
		if err != nil {
			return r, err
		}
		r.Desired.Wants = append(r.Desired.Wants, w)
	}
	if len(r.Kept) > 0 || c.watches() {
		r.Desired.Append(in.Units.plan(in.Facts, len(r.Kept) > 0, c.watches() || c.Watch.Keeps()))
	}
	return r, nil
}

// lanes is what the numbers of tables, marks and rules are given out from.
func (c Config) lanes(in Input) policy.Input {
	out := policy.Input{Facts: in.Facts, Config: c.Policy, Memory: in.Memory, Names: in.Names}
	if c.KillSwitch.Enabled() {
		out.Tunnels = append(out.Tunnels, c.KillSwitch.Tunnel)
	}
	for _, t := range c.WireGuard.Full() {
		if t != c.KillSwitch.Tunnel {
			out.Tunnels = append(out.Tunnels, t)
		}
	}
	for _, u := range c.Uplinks {
		out.Uplinks = append(out.Uplinks, u.Interface)
	}
	out.Byways = c.Smart.Byways()
	return out
}

// there parts the lists' wants into those of now, and routes by devices that are not there yet: the
// watch sets them when they come, and nobody waits for them now. Devices in made are there by then.
func (c Config) there(in Input, made, wants []provision.Want) (now, later []provision.Want) {
	away := map[string]bool{}
	for _, dev := range c.Smart.Devices() {
		away[dev] = !present(in.Facts, dev) && !slices.ContainsFunc(made, func(w provision.Want) bool {
			return w.Name == dev && w.Attrs != nil && (w.Kind == wgresource.Kind || w.Kind == sit.Kind)
		})
	}
	for _, w := range wants {
		_, dev, is := strings.Cut(w.Name, " dev name:")
		dev, _, _ = strings.Cut(dev, " ")
		if w.Kind == route.Kind && is && away[dev] {
			later = append(later, w)
		} else {
			now = append(now, w)
		}
	}
	return now, later
}

// outer are the tunnels whose own packets have a mark: every one where there are rules by lists, which
// could capture them.
func (c Config) outer(tunnels []string) []string {
	if len(c.Smart) == 0 {
		return tunnels
	}
	out := slices.Clone(tunnels)
	for name := range c.WireGuard {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// kept are the lists that have to be refreshed.
func (c Config) kept() lists.Config {
	if len(c.Smart) == 0 {
		return nil
	}
	return c.Lists
}

// probes are the checks of the uplinks, which an armed kill switch has to let out.
func (c Config) probes(mark uint32) []intent.Endpoint {
	var out []intent.Endpoint
	for _, u := range c.Uplinks.Rules() {
		for _, k := range u.Checks {
			proto := map[string]string{uplink.Ping: "icmp", uplink.TCP: "tcp", uplink.DNS: "udp"}[k.Kind]
			e := intent.Endpoint{Tunnel: c.KillSwitch.Tunnel, Proto: proto, Addr: k.To.Addr(), Port: k.To.Port(), Mark: mark, Why: "check of " + u.Interface}
			if !slices.ContainsFunc(out, func(o intent.Endpoint) bool { return o.Proto == e.Proto && o.Addr == e.Addr && o.Port == e.Port }) {
				out = append(out, e)
			}
		}
	}
	return out
}

func present(f *facts.Facts, name string) bool {
	_, ok := f.LinkByName(name)
	return ok
}

// watches reports whether there is something to watch beside what is kept.
func (c Config) watches() bool {
	return len(c.Watch.Complete().Jobs()) > 0 || len(c.Uplinks) > 0 || len(c.Updates()) > 0 || c.Delegation.Enabled()
}

// meant are the addresses of names that are called.
func meant(resolved map[string][]netip.Addr, list []wireguard.Named) map[string][]netip.Addr {
	var out map[string][]netip.Addr
	for _, n := range list {
		if a := resolved[n.Host]; len(a) > 0 {
			if out == nil {
				out = map[string][]netip.Addr{}
			}
			out[n.Host] = a
		}
	}
	return out
}

// join puts the fragment's sets and chains behind those of t.
func join(t, fragment nft.Table) nft.Table {
	t.Sets = append(slices.Clone(t.Sets), fragment.Sets...)
	t.Chains = append(slices.Clone(t.Chains), fragment.Chains...)
	return t
}
