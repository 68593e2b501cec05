package backends

import (
	"fmt"
	"slices"

	"github.com/provision-net/provision/provision/facts"
)

// PlanOnly says why nothing may be changed on this machine from in here, though a
// plan can be made; empty when there is no such reason.
func PlanOnly(f *facts.Facts) string {
	m := f.Machine
	switch {
	case m.Offline:
		return "facts come from a mounted image: its files can be written, but no daemon and no kernel state is there"
	case m.WSL:
		return "the host sets the interfaces of WSL, whatever files here say"
	case m.Chroot:
		return "inside a chroot the running daemons and their files are those of another root"
	case m.Container != "" && !slices.Contains([]string{"systemd", "openrc", "sysvinit"}, m.Init):
		// A container with an init of its own (LXC, LXD, systemd-nspawn) is a whole
		// system, whose managers own its NICs as on any machine.
		return "inside a container (" + m.Container + ") the host decides about the interfaces"
	}
	return ""
}

// protected says why a NIC is never touched, whatever the configuration says; empty
// when it may be.
func protected(f *facts.Facts, l facts.Link, role facts.Role) string {
	if l.Master != 0 {
		if m, ok := f.LinkByIndex(l.Master); ok {
			kind := m.Kind
			if kind == "" {
				kind = "device"
			}
			return fmt.Sprintf("it is a port of the %s %s", kind, m.Name)
		}
		return fmt.Sprintf("it is a port of another device (index %d)", l.Master)
	}
	for _, o := range f.Links {
		if o.Parent == l.Index && slices.Contains([]string{"vlan", "macvlan", "ipvlan", "macsec"}, o.Kind) {
			return fmt.Sprintf("it carries the %s %s", o.Kind, o.Name)
		}
	}
	switch role {
	case facts.RoleLoopback:
		return "it is the loopback device"
	case facts.RoleContainer:
		return "it belongs to a container runtime"
	case facts.RoleGadget:
		return "it is a USB gadget function"
	}
	if l.Initrd || f.Machine.Initrd && ownedByNobody(f, l) {
		return "it was configured before the root file system was mounted, which may hang on it"
	}
	return ""
}

// ownedByNobody reports whether no manager of the running system has the link: where
// an initrd set up the network, that NIC is the one it used.
func ownedByNobody(f *facts.Facts, l facts.Link) bool {
	if n, ok := f.Networkd.Links[l.Index]; ok && n.Network != "" && n.Admin != "unmanaged" {
		return false
	}
	if n, ok := f.NM.Devices[l.Index]; ok && n.Managed == "managed" {
		return false
	}
	_, up := f.Ifupdown.State[l.Name]
	return !up && hasAddress(f, l, 4)
}

func hasAddress(f *facts.Facts, l facts.Link, family int) bool {
	return slices.ContainsFunc(f.Addrs, func(a facts.Address) bool {
		return a.Link == l.Index && a.Scope == "global" && a.Prefix.Addr().Is4() == (family == 4)
	})
}

// static reports whether the default routes of a family were configured by hand:
// static routes, or boot routes (ip route add) that no DHCP client can have made.
func static(f *facts.Facts, l facts.Link, family int) bool {
	routes := f.Defaults(l.Index, family)
	if len(routes) == 0 {
		return false
	}
	for _, r := range routes {
		switch r.Proto {
		case facts.ProtoStatic:
		case facts.ProtoBoot:
			if clientOn(f, l) || slices.ContainsFunc(f.Addrs, func(a facts.Address) bool {
				return a.Link == l.Index && a.Dynamic && a.Prefix.Addr().Is4() == (family == 4) && a.Scope == "global"
			}) {
				return false
			}
		default:
			return false
		}
	}
	return true
}
