package networkd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/backends/networkd/unit"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/link"
	"github.com/provision-net/provision/provision/resource/routemetric"
)

// Activation is how changed files reach the running systemd-networkd.
type Activation struct {
	// Trigger is the action; nil when the change waits for the next boot.
	Trigger *provision.Trigger
	// Note says why it waits.
	Note string
}

// Activate chooses the softest path for the version of networkd. on are the files,
// nics the NICs they belong to.
//
//   - 248 to 257: restart. Tried on 252 and on 257: nothing is lost, also when the DHCP
//     server is silent, and the old routes stay until the new ones are there. A reload
//     drops the address on 252; on 257 it keeps it, but the IPv6 routes are gone until the
//     next router advertisement, and a TCP stream feels that where no other NIC has a
//     way. Versions in between ask the DHCP server first.
//   - 258 and later: reload, tried on 262: it adds before it deletes and keeps the address.
//   - up to 247: a reload, which drops the address for one DHCP exchange: only if allowed.
//   - unknown: the restart, with the question first.
func Activate(f *facts.Facts, name string, on []provision.Ref, nics []backends.NIC) Activation {
	version := unit.Version(f)
	if f.Machine.Offline {
		return Activation{Note: "the root is not running: systemd-networkd reads its files at the next boot"}
	}
	if !f.Networkd.Running {
		return Activation{Note: "systemd-networkd is not running: it reads its files when it starts"}
	}
	lazy := len(nics) > 0
	gap := false
	var touched []string
	for _, n := range nics {
		lazy = lazy && n.Lazy
		gap = gap || n.AllowGap
		touched = append(touched, n.Link.Selector())
	}
	slices.Sort(touched)
	touched = slices.Compact(touched)
	if lazy {
		return Activation{Note: "lazy: systemd-networkd reads its files only when it starts or reloads, not at a renewal, so this takes effect then"}
	}
	t := provision.Trigger{Name: name, On: on}
	switch {
	case version >= 258:
		t.Do = daemon.NetworkdReload(touched...)
		t.Why = fmt.Sprintf("systemd-networkd %d: a reload adds the new routes before it deletes the old ones and keeps the addresses; "+
			"the IPv6 default route of the NIC comes back with the next router advertisement, within about 1 s", version)
	case version == 0 || version >= 248:
		t.Do = daemon.NetworkdRestart(managed(f, touched)...)
		t.Why = fmt.Sprintf("systemd-networkd %d: a restart keeps addresses and routes, a reload would lose some of them", version)
		if version != 252 && version != 257 {
			t.Do = daemon.Probe(t.Do)
			t.Why = fmt.Sprintf("systemd-networkd %s: a restart loses nothing on 252 and on 257; not tried on this version, so a DHCP server must answer first", versionText(version))
		}
		if leased := leased6(f); version < 257 && leased != "" {
			t.Gap = "none for IPv4 and for addresses by router advertisement; those by DHCPv6 (" + leased + ") are given up when systemd-networkd stops and are back after 2 to 4 s"
		}
	case !gap:
		return Activation{Note: fmt.Sprintf("systemd-networkd %d drops the addresses of a NIC when it takes up a changed file (IPv4 for one DHCP exchange, IPv6 for 2 to 7 s): "+
			"written for the next boot; allow-gap does it now", version)}
	default:
		t.Do = daemon.Probe(daemon.NetworkdReload(touched...))
		t.Why = fmt.Sprintf("systemd-networkd %d has no path that keeps the addresses; reload touches only the changed NICs", version)
		t.Gap = "IPv4 for one DHCP exchange (50 to 110 ms where the server answers at once), IPv6 for 2 to 7 s"
	}
	return Activation{Trigger: &t}
}

// leased6 names the addresses that DHCPv6 has given to links of networkd: unlike those
// of router advertisements they are single addresses (RFC 8415 section 18.2.10.1). Tried
// on 252, which releases them when it stops, and on 257, which keeps them.
func leased6(f *facts.Facts) string {
	var out []string
	for _, a := range f.Addrs {
		n := f.Networkd.Links[a.Link]
		if n.Network != "" && n.Admin != "unmanaged" && a.Dynamic && a.Scope == "global" && a.Prefix.Addr().Is6() && a.Prefix.Bits() == 128 {
			out = append(out, a.Prefix.Addr().String())
		}
	}
	return strings.Join(out, ", ")
}

func versionText(version int) string {
	if version == 0 {
		return "of unknown version"
	}
	return fmt.Sprint(version)
}

// managed are the selectors of all links that networkd configures: a restart may
// take foreign routes from any of them, so all are watched and mended.
func managed(f *facts.Facts, also []string) []string {
	out := slices.Clone(also)
	for _, l := range f.Links {
		switch f.Networkd.Links[l.Index].Admin {
		case "configured", "configuring", "pending", "failed":
			if l.ARPHRD != 772 {
				out = append(out, l.Selector())
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Outcome returns what the kernel should show for one NIC: the want that removes
// leftovers of the old metric once the daemon has brought the new one, and the
// expectation. Where the change waits for the next boot there is nothing to remove
// and the expectation only reports.
// via are triggers that have to run before the activation's.
func Outcome(nic backends.NIC, family int, metric uint32, act Activation, via ...string) (wants, expect []provision.Want) {
	selector := nic.Link.Selector()
	e := routemetric.Expect(family, selector, metric, nic.Why)
	if act.Trigger == nil || nic.Lazy {
		e.Mode = provision.Report
		return nil, []provision.Want{e}
	}
	p := routemetric.Prune(family, selector, metric, "systemd-networkd brings it: "+nic.Why)
	p.Via = append(slices.Clone(via), act.Trigger.Name)
	e.Via = p.Via
	return []provision.Want{p}, []provision.Want{e}
}

// Raised wants the NICs up that had no configuration, while systemd-networkd brings them
// up anyway: going back then begins with setting them down, upon which networkd drops the
// address and routes that it brought. A restart after their files are gone would leave
// those behind for ever.
func Raised(fresh []backends.NIC, act Activation) []provision.Want {
	if act.Trigger == nil {
		return nil
	}
	var out []provision.Want
	for _, n := range fresh {
		w := link.Up(n.Link.Selector(), n.Why)
		w.Mode = provision.IfPresent
		w.Via = []string{act.Trigger.Name}
		out = append(out, w)
	}
	return out
}
