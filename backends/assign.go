package backends

import (
	"fmt"

	"github.com/provision-net/provision/provision/facts"
)

// AssignNew says which manager a NIC without one goes to: the manager of the NIC that
// carries this SSH session, else any SSH session, else the winning default route, else
// the only manager that owns anything. Why is for people. None: nobody could be asked.
func AssignNew(f *facts.Facts, owners []Ownership) (o Ownership, why string) {
	byName := map[string]Ownership{}
	for _, o := range owners {
		byName[o.Link] = o
	}
	try := func(link int) (Ownership, bool) {
		l, ok := f.LinkByIndex(link)
		if !ok {
			return Ownership{}, false
		}
		o := byName[l.Name]
		return o, writable(o.Owner)
	}
	for _, mine := range []bool{true, false} {
		for _, s := range f.SSH {
			if s.Mine != mine {
				continue
			}
			for _, a := range f.Addrs {
				if a.Prefix.Addr().WithZone("") != s.Local.Addr().Unmap().WithZone("") {
					continue
				}
				if o, ok := try(a.Link); ok {
					return o, fmt.Sprintf("%s owns %s, which carries the SSH session from %s", o.Owner, o.Link, s.Remote.Addr())
				}
			}
		}
	}
	for _, family := range []int{4, 6} {
		best, found := facts.Route{}, false
		for _, l := range f.Links {
			for _, r := range f.Defaults(l.Index, family) {
				if _, ok := try(l.Index); ok && (!found || r.Metric < best.Metric) {
					best, found = r, true
					best.Link = l.Index
				}
			}
		}
		if found {
			o, _ := try(best.Link)
			return o, fmt.Sprintf("%s owns %s, which has the winning default route", o.Owner, o.Link)
		}
	}
	var only Ownership
	for _, o := range owners {
		if !writable(o.Owner) {
			continue
		}
		if only.Owner != "" && only.Owner != o.Owner {
			return Ownership{Owner: None}, "several managers own NICs and none of them carries the SSH session or the default route"
		}
		if only.Owner == "" {
			only = o
		}
	}
	if only.Owner == "" {
		return Ownership{Owner: None}, "no manager owns any NIC"
	}
	return only, fmt.Sprintf("%s is the only manager that owns a NIC", only.Owner)
}

// writable reports whether there can be a backend for m.
//
//go:noinline
func writable(m Manager) bool { return m != "" && m != None && m != Foreign }

// AssignEnabled says which manager runs, or would run after a boot: for a NIC without one on a
// machine where no NIC tells, such as an image or a board that has no other.
func AssignEnabled(f *facts.Facts) (o Ownership, why string) {
	for _, c := range []struct {
		owner Manager
		d     facts.Daemon
		name  string
	}{
		{NetworkManager, f.NM.Daemon, "NetworkManager"},
		{Dhcpcd, f.Dhcpcd.Daemon, "dhcpcd"},
		{Networkd, f.Networkd.Daemon, "systemd-networkd"},
		{Ifupdown, facts.Daemon{Enabled: f.Ifupdown.Installed && f.Ifupdown.Enabled}, "ifupdown"},
	} {
		if !c.d.Masked && (c.d.Running || c.d.Enabled) {
			return Ownership{Owner: c.owner}, c.name + " is what starts with the system"
		}
	}
	return Ownership{Owner: None}, "no manager owns any NIC, and none starts with the system"
}
