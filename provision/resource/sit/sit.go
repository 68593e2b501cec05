// Package sit is tunnels that carry IPv6 in IPv4 (protocol 41, RFC 4213), kind "sit". A reference's
// name is that of the device: "he-ipv6".
//
// Attributes: "remote", the IPv4 address of the other end; "local", the own one, empty for the one
// that the kernel's routes choose packet by packet; "ttl" of the outer packets, 1 to 255, empty to
// copy that of the inner ones; "dev", the name of the device that outer packets leave by, empty for
// any; "fwmark" of the outer packets ("0x2a000000", empty for none); "pmtudisc", "1" or "0", whether they have the don't
// fragment bit (with a ttl they always do); "owner", the alias, which is Owner for what this program made. A
// tunnel that somebody else made is never changed or removed.
//
// Without "local" a tunnel needs no change when the address of the uplink does (ipip6_tunnel_lookup
// in net/ipv6/sit.c finds it by its remote end alone), also behind a router that translates.
package sit

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
)

// Kind of reference.
const Kind = "sit"

// Attributes.
const (
	AttrRemote   = "remote"
	AttrLocal    = "local"
	AttrTTL      = "ttl"
	AttrDev      = "dev"
	AttrMark     = "fwmark"
	AttrPMTUDisc = "pmtudisc"
	AttrOwner    = "owner"
)

// Owner marks tunnels of this program.
const Owner = "provision"

// MTU is that of a tunnel over Ethernet: 1500 less the outer header (RFC 4213 section 3.2).
const MTU = 1480

// Spec is one tunnel.
type Spec struct {
	Name          string
	Remote, Local netip.Addr // IPv4; Local may be invalid
	TTL           uint8      // 0: that of the inner packet
	Dev           string
	Mark          uint32
}

// Ref names a tunnel.
func Ref(name string) provision.Ref { return provision.Ref{Kind: Kind, Name: name} }

// Want asks for the tunnel.
func Want(s Spec, why string) provision.Want {
	a := provision.Attrs{AttrRemote: s.Remote.String(), AttrLocal: "", AttrTTL: decimal(uint32(s.TTL)), AttrDev: s.Dev, AttrMark: hex(s.Mark), AttrPMTUDisc: "1", AttrOwner: Owner}
	if s.Local.IsValid() {
		a[AttrLocal] = s.Local.String()
	}
	return provision.Want{Ref: Ref(s.Name), Attrs: a, Why: why}
}

func decimal(n uint32) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(n), 10)
}

func hex(n uint32) string {
	if n == 0 {
		return ""
	}
	return "0x" + strconv.FormatUint(uint64(n), 16)
}

// CheckName says why no tunnel can be called so (dev_valid_name in net/core/dev.c; sit0 is the
// kernel's own).
func CheckName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > 15 || strings.ContainsFunc(name, func(r rune) bool {
		return r == '/' || r == ':' || r == '%' || r <= ' ' || r == 0x7f || r == 0x85 || r == 0xa0 || r == 0xfffd
	}) {
		return fmt.Errorf("tunnel %q: a device's name has 1 to 15 bytes, and no slash, colon, percent sign or blank", name)
	}
	if name == "sit0" {
		return fmt.Errorf("tunnel %q: the kernel makes a device of that name itself: choose another name", name)
	}
	return nil
}

// parse reads attributes that are all there, in canonical form.
func parse(name string, a provision.Attrs) (Spec, error) {
	s := Spec{Name: name}
	bad := func(k, want string) (Spec, error) {
		return Spec{}, fmt.Errorf("tunnel %s: %s %q: want %s", name, k, a[k], want)
	}
	var ok bool
	for k, v := range a {
		switch k {
		case AttrRemote:
			if s.Remote, ok = address(v); !ok {
				return bad(k, "the IPv4 address of the other end")
			}
		case AttrLocal:
			if s.Local, ok = address(v); !ok && v != "" {
				return bad(k, "an IPv4 address of this machine, or nothing")
			}
		case AttrTTL:
			n, err := strconv.ParseUint(v, 10, 8)
			if v != "" && (err != nil || decimal(uint32(n)) != v) {
				return bad(k, "1 to 255, or nothing")
			}
			s.TTL = uint8(n)
		case AttrDev:
			if s.Dev = v; v != "" && CheckName(v) != nil {
				return bad(k, "a device's name")
			}
		case AttrMark:
			n, err := strconv.ParseUint(strings.TrimPrefix(v, "0x"), 16, 32)
			if v != "" && (err != nil || hex(uint32(n)) != v) {
				return bad(k, "0x and hexadecimal digits, or nothing")
			}
			s.Mark = uint32(n)
		case AttrPMTUDisc:
			if v != "0" && v != "1" {
				return bad(k, "0 or 1")
			}
			if v == "0" && a[AttrTTL] != "" {
				return bad(k, "1: with a ttl the kernel does not fragment (ipip6_netlink_parms in net/ipv6/sit.c)")
			}
		case AttrOwner:
			if v != Owner {
				return Spec{}, fmt.Errorf("tunnel %s: it would be somebody else's afterwards", name)
			}
		default:
			return Spec{}, fmt.Errorf("cannot set %s of tunnel %s: unknown attribute", k, name)
		}
	}
	return s, nil
}

// address reads one that a host can have.
func address(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.Is4() && a.String() == s && !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
