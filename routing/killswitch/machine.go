package killswitch

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/intent"
	"github.com/provision-net/provision/provision/resource/route"
)

// LastRoutes are the last default routes of the tunnel's table, both families.
func LastRoutes(in Input) []provision.Want {
	var out []provision.Want
	for _, family := range []int{4, 6} {
		k := route.Key{Family: family, Table: in.Table, Type: route.Unreachable, Dst: route.Any(family), Metric: route.Worst}
		out = append(out, route.Want(route.Spec{Key: k}, "kill switch: nothing is left when "+in.Config.Tunnel+" goes"))
	}
	return out
}

// Table numbers of linux/rtnetlink.h that lead elsewhere than to one tunnel.
const (
	tableUnspec  = 0
	tableDefault = 253
	tableMain    = 254
	tableLocal   = 255
)

// inside is the interfaces of the clients.
func (in Input) inside() []string {
	list := in.Config.Inside
	if len(list) == 0 {
		list = in.Inside
	}
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

// MachineProblems are those that only the rest of the plan and the machine show. Paths are relative
// to the key "kill-switch".
func MachineProblems(in Input, f *facts.Facts) []Problem {
	var out []Problem
	add := func(path, format string, args ...any) { out = append(out, Problem{path, fmt.Sprintf(format, args...)}) }
	if !in.Config.Enabled() {
		return nil
	}
	switch in.Table {
	case tableUnspec, tableDefault, tableMain, tableLocal:
		add("tunnel", "no routing table of its own leads to %s: the switch needs one, whose last route is unreachable", in.Config.Tunnel)
	}
	if len(in.inside()) == 0 {
		add("inside", "is empty, and no zone is forwarded from: name the clients' interfaces")
	}
	for i, n := range in.inside() {
		if fits(n, in.Config.Tunnel) {
			add("inside", "%q (the %d. interface) is the tunnel itself", n, i+1)
		}
	}
	out = append(out, in.Config.Silent(in.Intents)...)
	for _, s := range Cuts(in, f) {
		add("manage-from", "the SSH session from %s would be cut when the switch is armed: add %s", s.Remote.Addr(), s.Remote.Addr())
	}
	return out
}

// Silent is the problem of a switch that holds its own tunnel, because neither the configuration nor
// an intent tells where its packets go.
func (c Config) Silent(intents intent.Set) []Problem {
	g := guard{Input: Input{Config: c, Intents: intents}}
	if !c.Enabled() || len(g.endpoints()) > 0 || len(c.BootstrapDNS) > 0 {
		return nil
	}
	return []Problem{{"endpoints", fmt.Sprintf("nothing tells where %s sends its packets, so they would be held as well: list the endpoint, or bootstrap-dns to resolve its name", c.Tunnel)}}
}

// Cuts are the SSH sessions whose answers the guard would hold: they come neither from inside nor
// through the tunnel, nor from manage-from.
func Cuts(in Input, f *facts.Facts) []facts.Session {
	free := slices.Concat(in.inside(), in.Config.Exempt, []string{in.Config.Tunnel, "lo"})
	var out []facts.Session
	for _, s := range f.SSH {
		remote := s.Remote.Addr().Unmap().WithZone("")
		if remote.IsLoopback() || slices.ContainsFunc(in.Config.ManageFrom, func(m string) bool {
			p, err := parsePrefix(m)
			return err == nil && p.Contains(remote)
		}) {
			continue
		}
		if name := way(f, remote, s.Local.Addr()); name != "" && slices.ContainsFunc(free, func(p string) bool { return fits(p, name) && !slices.Contains(in.Config.Exempt, p) }) {
			continue
		}
		out = append(out, s)
	}
	return out
}

// way is the interface by which answers to remote leave: the one whose network remote is in, else
// the one that has the session's own address.
func way(f *facts.Facts, remote, local netip.Addr) string {
	if z := local.Zone(); z != "" {
		return z
	}
	local = local.Unmap()
	name, bits := "", -1
	for _, a := range f.Addrs {
		l, ok := f.LinkByIndex(a.Link)
		if ok && a.Prefix.Masked().Contains(remote) && a.Prefix.Bits() > bits {
			name, bits = l.Name, a.Prefix.Bits()
		}
	}
	for _, a := range f.Addrs {
		if l, ok := f.LinkByIndex(a.Link); ok && bits < 0 && a.Prefix.Addr() == local {
			name = l.Name
		}
	}
	return name
}

// Notes tell what the switch means for the rest of the machine.
func Notes(in Input, f *facts.Facts) []provision.Note {
	if !in.Config.Enabled() {
		return nil
	}
	var out []provision.Note
	note := func(level, subject, format string, args ...any) {
		out = append(out, provision.Note{Level: level, Subject: subject, Text: fmt.Sprintf(format, args...)})
	}
	named := slices.Concat(in.inside(), in.Config.Exempt, []string{in.Config.Tunnel})
	for _, l := range f.Links {
		if (l.Kind == "bridge" || l.Kind == "wireguard" || l.DevType == "gadget") && l.Master == 0 && !slices.ContainsFunc(named, func(p string) bool { return fits(p, l.Name) }) {
			note("info", l.Name, "what comes in here has no way out, not even %s: list it in inside, or in exempt to let it by any way", in.Config.Tunnel)
		}
	}
	if in.Mask == 0 {
		note("info", in.Config.Tunnel, "its packets carry no mark: a window for a client works only where the main table leads out")
	}
	if len(in.Config.NTP) == 0 {
		note("info", "ntp", "no time servers are allowed outside the tunnel: a machine without a clock chip has what was saved last until the tunnel is up")
	}
	return out
}
