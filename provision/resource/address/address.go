// Package address is the permanent addresses of network devices: kind "address". A reference's
// name is a device selector and an address with the length of its prefix:
// "mac:02:00:5e:aa:bb:cc 192.168.137.1/24". An address with a lifetime belongs to the daemon that
// leased or learnt it, and is absent here.
//
// Attributes: "flags", "nodad" and "noprefixroute" separated by a blank, in this order (ip-address(8));
// "metric" of the route to the prefix, empty for the kernel's own; "proto", the number of who made
// it (IFA_PROTO, Linux 5.18), empty for nobody and on older kernels.
package address

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
)

// Kind of reference.
const Kind = "address"

// Attributes.
const (
	AttrFlags  = "flags"
	AttrMetric = "metric"
	AttrProto  = "proto"
)

// Protocol is the number in every address that this program makes, as it is in its routes and rules.
const Protocol = 158

// Flags of an address.
const (
	NoDAD         = "nodad"         // IPv6: duplicate address detection is not done, so that it serves at once
	NoPrefixRoute = "noprefixroute" // no route to the prefix is made
)

// Ref names an address of the device that selector selects.
//
//go:noinline
func Ref(selector string, a netip.Prefix) provision.Ref {
	return provision.Ref{Kind: Kind, Name: selector + " " + a.String()}
}

// Want asks that the device has the address, with exactly these flags.
func Want(selector string, a netip.Prefix, why string, flags ...string) provision.Want {
	return provision.Want{Ref: Ref(selector, a), Attrs: provision.Attrs{AttrFlags: strings.Join(flags, " ")}, Why: why}
}

// Parse takes a name apart and refuses what is not in its canonical form. Whether the selector is
// one is the business of package netdev.
func Parse(name string) (selector string, a netip.Prefix, err error) {
	selector, text, ok := strings.Cut(name, " ")
	if a, err = netip.ParsePrefix(text); !ok || selector == "" || err != nil || a.String() != text || a.Addr().Zone() != "" || a.Addr().Is4In6() {
		return "", netip.Prefix{}, fmt.Errorf("address %q: want a device selector and an address such as 192.0.2.1/24", name)
	}
	if ip := a.Addr(); ip.IsUnspecified() || ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return "", netip.Prefix{}, fmt.Errorf("address %q: no device can have it", name)
	}
	return selector, a, nil
}

// number reads a canonical decimal number, "" as 0.
func number(s string, bits int) (uint64, bool) {
	if s == "" {
		return 0, true
	}
	n, err := strconv.ParseUint(s, 10, bits)
	return n, err == nil && n != 0 && strconv.FormatUint(n, 10) == s
}

// decimal is its inverse.
func decimal(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}
