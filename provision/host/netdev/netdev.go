// Package netdev resolves the device selectors of references: "mac:" and the
// permanent MAC for hardware, "name:" and the name (or an alternative name) for
// everything else.
package netdev

import (
	"fmt"
	"net"
	"strings"
)

// Device is what resolving needs to know of a network device.
type Device struct {
	Index   int
	Name    string
	Alt     []string // alternative names
	Alias   string   // for people, or for who made it (IFLA_IFALIAS)
	MAC     string   // present address, lower case with colons
	PermMAC string   // permanent address where the kernel knows it
	Kind    string   // rtnetlink kind, empty for hardware
	Type    uint16   // ARPHRD_*
	Master  int      // index of the bridge, bond or VRF it is a port of
	Up      bool     // IFF_UP
	MTU     int      // bytes
}

// Ethernet is ARPHRD_ETHER (linux/if_arp.h), which wireless devices share.
const Ethernet = 1

// Selector is a parsed device selector; exactly one field is set.
type Selector struct {
	MAC  string
	Name string
}

// Parse reads a selector and refuses what is not in canonical form, so that one
// device has one name.
func Parse(s string) (Selector, error) {
	kind, value, ok := strings.Cut(s, ":")
	if !ok {
		return Selector{}, fmt.Errorf("device selector %q: want \"mac:08:00:27:aa:bb:cc\" or \"name:eth0\"", s)
	}
	switch kind {
	case "mac":
		mac, err := net.ParseMAC(value)
		if err != nil || mac.String() != value || len(mac) != 6 {
			return Selector{}, fmt.Errorf("device selector %q: want six lower-case bytes with colons", s)
		}
		if value == "00:00:00:00:00:00" {
			return Selector{}, fmt.Errorf("device selector %q: no hardware has the address zero; select it by name", s)
		}
		return Selector{MAC: value}, nil
	case "name":
		if !validName(value) {
			return Selector{}, fmt.Errorf("device selector %q: not a device name", s)
		}
		return Selector{Name: value}, nil
	}
	return Selector{}, fmt.Errorf("device selector %q: unknown kind %q, want mac or name", s, kind)
}

// validName is the kernel's rule (net/core/dev.c dev_valid_name) with the length
// of alternative names (ALTIFNAMSIZ). It keeps names usable as one path component.
func validName(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > 127 {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool {
		return r == '/' || r == ':' || r <= ' ' || r == 0x7f || r == 0xfffd || r == 0x85 || r == 0xa0
	})
}

// Table is one dump of all devices; many selectors resolve against it.
type Table struct{ Devices []Device }

// Find returns the device that selector selects. A device that does not exist is
// not an error; two that fit are.
func (t *Table) Find(selector string) (Device, bool, error) {
	sel, err := Parse(selector)
	if err != nil {
		return Device{}, false, err
	}
	if sel.Name != "" {
		d, ok := t.byName(sel.Name)
		return d, ok, nil
	}
	return t.byMAC(sel.MAC)
}

func (t *Table) byName(name string) (Device, bool) {
	for _, d := range t.Devices {
		if d.Name == name {
			return d, true
		}
	}
	for _, d := range t.Devices {
		for _, alt := range d.Alt {
			if alt == name {
				return d, true
			}
		}
	}
	return Device{}, false
}

// byMAC considers hardware only: bridges, bonds and VLANs share the MAC of a port.
func (t *Table) byMAC(mac string) (Device, bool, error) {
	var found []Device
	for _, d := range t.Devices {
		own := d.PermMAC
		if own == "" {
			own = d.MAC
		}
		if d.Kind == "" && d.Type == Ethernet && own == mac {
			found = append(found, d)
		}
	}
	// The fast path of a paravirtual NIC (Azure, failover of virtio) has its MAC and
	// is its port: the master carries the configuration.
	if len(found) > 1 {
		var free []Device
		for _, d := range found {
			if d.Master == 0 {
				free = append(free, d)
			}
		}
		if len(free) > 0 {
			found = free
		}
	}
	switch len(found) {
	case 0:
		return Device{}, false, nil
	case 1:
		return found[0], true, nil
	}
	names := make([]string, len(found))
	for i, d := range found {
		names[i] = d.Name
	}
	return Device{}, false, fmt.Errorf("%s all have the permanent MAC %s: cannot tell which is meant; give each NIC of the machine its own MAC, or match by name",
		strings.Join(names, ", "), mac)
}
