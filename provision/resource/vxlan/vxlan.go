// Package vxlan is tunnels that carry Ethernet frames in UDP between two machines (RFC 7348), kind
// "vxlan". A reference's name is that of the device: "vx-tokyo".
//
// Attributes: "vni", 1 to 16777215, which both ends have the same; "remote", the address of the other
// end; "local", the own one; "port", that of UDP at both ends, 4789 by IANA; "dev", the name of the
// device that outer packets leave by; "mac" of the device; "tx-checksum", "on" or "off", whether the
// device lets hardware below it sum up what it sends; "owner", the alias, which is Owner for what this
// program made. A device that somebody else made is never changed or removed. All but "mac" and
// "tx-checksum" are fixed when the device is made: where they change it is made anew, and stays a
// port of its bridge, of its size, and up.
//
// What comes in is taken from anybody, whatever "remote", "local" and "dev" say (vxlan_rcv in
// drivers/net/vxlan/vxlan_core.c asks for the VNI and the port only): a firewall has to stand before it.
package vxlan

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
)

// Kind of reference.
const Kind = "vxlan"

// Attributes.
const (
	AttrVNI    = "vni"
	AttrRemote = "remote"
	AttrLocal  = "local"
	AttrPort   = "port"
	AttrDev    = "dev"
	AttrMAC    = "mac"
	AttrTxSum  = "tx-checksum"
	AttrOwner  = "owner"
)

// Owner marks devices of this program.
const Owner = "provision"

// Port is what IANA gave to VXLAN.
const Port = 4789

// MaxVNI is the largest network identifier (RFC 7348 section 5).
const MaxVNI = 1<<24 - 1

// Overhead is what is put around a packet in the frames of a wire, by the family of its ends, in bytes:
// an IPv4 or IPv6 header, 8 of UDP, 8 of VXLAN, and the 14 of the frame itself.
func Overhead(remote netip.Addr) int {
	if remote.Is4() {
		return 20 + 8 + 8 + 14
	}
	return 40 + 8 + 8 + 14
}

// Spec is one end of a wire.
type Spec struct {
	Name          string
	VNI           uint32
	Remote, Local netip.Addr // of one family
	Port          uint16
	Dev           string
	MAC           string
	// TxChecksum lets hardware below sum up what is sent.
	TxChecksum bool
}

// Ref names a device.
func Ref(name string) provision.Ref { return provision.Ref{Kind: Kind, Name: name} }

// Want asks for the end of a wire.
func Want(s Spec, why string) provision.Want {
	sum := "off"
	if s.TxChecksum {
		sum = "on"
	}
	return provision.Want{Ref: Ref(s.Name), Why: why, Attrs: provision.Attrs{
		AttrVNI: strconv.FormatUint(uint64(s.VNI), 10), AttrRemote: s.Remote.String(), AttrLocal: s.Local.String(),
		AttrPort: strconv.Itoa(int(s.Port)), AttrDev: s.Dev, AttrMAC: s.MAC, AttrTxSum: sum, AttrOwner: Owner}}
}

// CheckName says why no device can be called so (dev_valid_name in net/core/dev.c).
func CheckName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > 15 || strings.ContainsFunc(name, func(r rune) bool {
		return r == '/' || r == ':' || r == '%' || r <= ' ' || r == 0x7f || r == 0x85 || r == 0xa0 || r == 0xfffd
	}) {
		return fmt.Errorf("vxlan %q: a device's name has 1 to 15 bytes, and no slash, colon, percent sign or blank", name)
	}
	return nil
}

// judge refuses values that are not in their one form, or that the kernel would take for something else.
func judge(name string, a provision.Attrs) error {
	for k, v := range a {
		want := ""
		switch k {
		case AttrVNI:
			if n, err := strconv.ParseUint(v, 10, 24); err != nil || n == 0 || strconv.FormatUint(n, 10) != v {
				want = "1 to 16777215"
			}
		case AttrRemote:
			if _, ok := address(v); !ok {
				want = "the address of the other end"
			}
		case AttrLocal:
			if _, ok := address(v); !ok && v != "" {
				want = "an address of this machine, or nothing"
			}
		case AttrPort:
			if n, err := strconv.ParseUint(v, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != v {
				want = "1 to 65535"
			}
		case AttrDev:
			if v != "" && (CheckName(v) != nil || v == name) {
				want = "another device's name, or nothing"
			}
		case AttrMAC:
			if _, ok := parseMAC(v); !ok {
				want = "an address that a device can have"
			}
		case AttrTxSum:
			if v != "on" && v != "off" {
				want = "on or off"
			}
		case AttrOwner:
			if v != Owner {
				return fmt.Errorf("vxlan %s: it would be somebody else's afterwards", name)
			}
		default:
			return fmt.Errorf("cannot set %s of vxlan %s: unknown attribute", k, name)
		}
		if want != "" {
			return fmt.Errorf("vxlan %s: %s %q: want %s", name, k, v, want)
		}
	}
	return nil
}

// address reads one that a single host can have.
func address(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.String() == s && a.Zone() == "" && !a.Is4In6() && !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// parseMAC reads a canonical address that a device can have.
func parseMAC(s string) (net.HardwareAddr, bool) {
	m, err := net.ParseMAC(s)
	if err != nil || len(m) != 6 || m.String() != s || m[0]&1 != 0 || s == "00:00:00:00:00:00" {
		return nil, false
	}
	return m, true
}
