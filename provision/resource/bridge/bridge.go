// Package bridge is network bridges of this program's own, kind "bridge", and which device is a port
// of which bridge, kind "bridge-port".
//
// A bridge's reference is its name. Attributes: "mac"; "stp", "0" or "1"; "forward-delay" in
// hundredths of a second; "multicast-snooping", "0" or "1"; "owner", the alias (ip-link(8)), which is
// Owner for what this program made. A bridge that somebody else made is never changed or removed.
//
// A port's reference is a device selector. Attribute: "bridge", the name of the device that it is a
// port of, empty for none.
package bridge

import (
	"fmt"
	"net"
	"strings"

	"github.com/provision-net/provision/provision"
)

// Kinds of reference.
const (
	Kind     = "bridge"
	PortKind = "bridge-port"
)

// Attributes of a bridge, and of a port.
const (
	AttrMAC      = "mac"
	AttrSTP      = "stp"
	AttrDelay    = "forward-delay"
	AttrSnooping = "multicast-snooping"
	AttrOwner    = "owner"

	AttrBridge = "bridge"
)

// Owner marks bridges of this program.
const Owner = "provision"

// Ref names a bridge.
func Ref(name string) provision.Ref { return provision.Ref{Kind: Kind, Name: name} }

// Want asks for a bridge that forwards at once: without spanning tree, and without the pause of
// 15 s before a port forwards, in which a client's first DHCP would be lost.
func Want(name, mac, why string) provision.Want {
	return provision.Want{Ref: Ref(name), Attrs: provision.Attrs{AttrMAC: mac, AttrSTP: "0", AttrDelay: "0", AttrOwner: Owner}, Why: why}
}

// PortRef names the device that selector selects, as a port.
func PortRef(selector string) provision.Ref { return provision.Ref{Kind: PortKind, Name: selector} }

// Port asks that the device is a port of bridge.
func Port(selector, bridge, why string) provision.Want {
	return provision.Want{Ref: PortRef(selector), Attrs: provision.Attrs{AttrBridge: bridge}, Why: why}
}

// checkName says why no bridge can be called so (dev_valid_name in net/core/dev.c).
func checkName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > 15 || strings.ContainsFunc(name, func(r rune) bool {
		return r == '/' || r == ':' || r == '%' || r <= ' ' || r == 0x7f || r == 0x85 || r == 0xa0 || r == 0xfffd
	}) {
		return fmt.Errorf("bridge %q: a device's name has 1 to 15 bytes, and no slash, colon, percent sign or blank", name)
	}
	return nil
}

// parseMAC reads a canonical address that a device can have.
func parseMAC(s string) (net.HardwareAddr, bool) {
	m, err := net.ParseMAC(s)
	if err != nil || len(m) != 6 || m.String() != s || m[0]&1 != 0 || s == "00:00:00:00:00:00" {
		return nil, false
	}
	return m, true
}
