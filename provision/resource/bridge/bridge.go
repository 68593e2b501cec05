// Package bridge is network bridges of this program's own, kind "bridge", and which device is a port
// of which bridge, kind "bridge-port".
//
// A bridge's reference is its name. Attributes: "mac"; "stp", "0" or "1"; "forward-delay",
// "hello-time" and "max-age" in hundredths of a second; "priority", 0 to 65535, the lowest of which
// becomes the root of the spanning tree (IEEE 802.1D-1998 section 8.5.3); "multicast-snooping", "0" or
// "1"; "owner", the alias (ip-link(8)), which is Owner for what this program made. A bridge that
// somebody else made is never changed or removed. With the spanning tree the kernel takes 2 to 30 s of
// forward delay, 1 to 10 s of hello time and 6 to 40 s of max age (net/bridge/br_private.h).
//
// A port's reference is a device selector. Attributes: "bridge", the name of the device that it is a
// port of, empty for none; "cost", 1 to 65535, of the way by this port; "priority", 0 to 63, of the port
// among those of the same cost. Both are empty where it is a port of no bridge.
package bridge

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

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
	AttrHello    = "hello-time"
	AttrAge      = "max-age"
	AttrPriority = "priority"
	AttrSnooping = "multicast-snooping"
	AttrOwner    = "owner"

	AttrBridge = "bridge"
	AttrCost   = "cost" // beside AttrPriority, of a port
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

// Tree is how a bridge takes part in a spanning tree.
type Tree struct {
	Priority     uint16
	ForwardDelay time.Duration
	HelloTime    time.Duration
	MaxAge       time.Duration
}

// WantTree asks for a bridge with a spanning tree (IEEE 802.1D-1998, which is all that the kernel has).
func WantTree(name, mac string, t Tree, why string) provision.Want {
	w := Want(name, mac, why)
	w.Attrs[AttrSTP] = "1"
	w.Attrs[AttrPriority] = strconv.Itoa(int(t.Priority))
	w.Attrs[AttrDelay], w.Attrs[AttrHello], w.Attrs[AttrAge] = hundredths(t.ForwardDelay), hundredths(t.HelloTime), hundredths(t.MaxAge)
	return w
}

func hundredths(d time.Duration) string { return strconv.FormatInt(int64(d/(10*time.Millisecond)), 10) }

// PortRef names the device that selector selects, as a port.
func PortRef(selector string) provision.Ref { return provision.Ref{Kind: PortKind, Name: selector} }

// Port asks that the device is a port of bridge.
func Port(selector, bridge, why string) provision.Want {
	return provision.Want{Ref: PortRef(selector), Attrs: provision.Attrs{AttrBridge: bridge}, Why: why}
}

// CostPort asks that the device is a port of bridge, and what the way by it costs in the spanning tree.
func CostPort(selector, bridge string, cost uint16, why string) provision.Want {
	w := Port(selector, bridge, why)
	w.Attrs[AttrCost] = strconv.Itoa(int(cost))
	return w
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
