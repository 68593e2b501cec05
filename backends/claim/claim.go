// Package claim says which configuration files speak for a NIC: the netplan ids, the
// .network files, the interfaces(5) stanzas, the NetworkManager profiles and the
// dhcpcd.conf lines that would match it if their manager looked. A claim is no proof
// of ownership: a running daemon may have taken another file, or not be there at all.
//
// The formats are read by the packages that the managers' planners read them with:
// unit, netdef, interfaces, conf. Everything is a pure function of facts.
package claim

import (
	"fmt"

	"github.com/provision-net/provision/provision/facts"
)

// Claim is one piece of configuration that fits a link.
type Claim struct {
	ID       string   // netplan id, profile id, .network file name, logical interface
	Renderer string   // netplan only: "networkd" or "NetworkManager"
	File     string   // file that holds the definition
	Line     int      // 1-based, 0 unknown
	Files    []string // every file that adds to it
	Method   string   // of an iface stanza
	Text     string   // for people
}

// Source is "file:line", or the file where the line is not known.
func (c Claim) Source() string {
	if c.Line == 0 {
		return c.File
	}
	return fmt.Sprintf("%s:%d", c.File, c.Line)
}

// Wlan reports whether l is a Wi-Fi device.
func Wlan(l facts.Link) bool { return l.DevType == "wlan" }

// Ethernet reports whether l is something that netplan's ethernets, networkd's
// Type=ether and NetworkManager's 802-3-ethernet can mean: Ethernet framing and no
// virtual kind of its own but veth.
func Ethernet(l facts.Link) bool {
	return l.ARPHRD == 1 && (l.Kind == "" || l.Kind == "veth") && !Wlan(l) && l.DevType != "bridge" && l.DevType != "vlan"
}
