package route

import (
	"fmt"
	"net/netip"
	"strconv"

	"github.com/provision-net/provision/provision"
	"golang.org/x/sys/unix"
)

// ours is Protocol as an attribute says it.
const ours = "158"

// set takes over what want lists. Values have to be in the form that Get gives.
func (r *live) set(name string, want provision.Attrs) error {
	addr := func(k, v string, family bool) (netip.Addr, error) {
		if v == "" {
			return netip.Addr{}, nil
		}
		a, err := netip.ParseAddr(v)
		if err != nil || a.String() != v || a.Zone() != "" || a.Is4In6() || family && a.Is4() != (r.family == unix.AF_INET) || a.Is4() && r.family == unix.AF_INET6 {
			return a, fmt.Errorf("route %s: %s %q is no address for it", name, k, v)
		}
		return a, nil
	}
	for k, v := range want {
		var err error
		switch k {
		case AttrGateway:
			r.gateway, err = addr(k, v, false)
		case AttrSource:
			r.source, err = addr(k, v, true)
		case AttrMTU:
			r.mtu = 0
			if v != "" {
				var n uint64
				if n, err = strconv.ParseUint(v, 10, 32); err != nil || n == 0 || strconv.FormatUint(n, 10) != v {
					err = fmt.Errorf("route %s: mtu %q is no number of bytes", name, v)
				}
				r.mtu = uint32(n)
			}
		case AttrOnLink:
			if v != "" && v != "true" {
				err = fmt.Errorf("route %s: onlink is true or empty, not %q", name, v)
			}
			r.onlink = v != ""
		case AttrProto:
			var n uint64
			if n, err = strconv.ParseUint(v, 10, 8); err != nil || n == 0 || strconv.FormatUint(n, 10) != v {
				err = fmt.Errorf("route %s: proto %q is no protocol number", name, v)
			}
			r.proto = uint8(n)
		default:
			err = fmt.Errorf("cannot set %s of route %s: unknown attribute", k, name)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case r.kind != unix.RTN_UNICAST && (r.gateway.IsValid() || r.source.IsValid() || r.mtu != 0 || r.onlink):
		return fmt.Errorf("route %s: this type has neither gateway nor source nor mtu", name)
	case r.onlink && !r.gateway.IsValid():
		return fmt.Errorf("route %s: onlink is about a gateway, and there is none", name)
	}
	return nil
}

// byHand are the protocols of routes that no daemon keeps: made by ip(8), ifupdown, or a manager's
// static configuration, which is done once.
func byHand(proto uint8) bool {
	return proto == unix.RTPROT_UNSPEC || proto == unix.RTPROT_BOOT || proto == unix.RTPROT_STATIC
}

// maker says in words who made a route (rtnetlink.h, RTPROT_*).
func maker(proto uint8) string {
	switch proto {
	case unix.RTPROT_KERNEL, unix.RTPROT_REDIRECT:
		return "the kernel"
	case unix.RTPROT_RA:
		return "router advertisements (proto ra)"
	case unix.RTPROT_DHCP:
		return "a DHCP client (proto dhcp)"
	case unix.RTPROT_UNSPEC, unix.RTPROT_BOOT, unix.RTPROT_STATIC:
		return "somebody else (proto " + map[uint8]string{unix.RTPROT_BOOT: "boot", unix.RTPROT_STATIC: "static"}[proto] + ")"
	case Protocol:
		return "this program"
	}
	return fmt.Sprintf("a daemon (proto %d)", proto)
}
