package egress

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Route asks the kernel for the way of a packet to a host (RTM_GETROUTE). No way is no error.
func Route(to netip.Addr) (Way, error) {
	list, err := netlink.RouteGet(to.Unmap().AsSlice())
	for _, none := range []error{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EACCES, unix.EINVAL} {
		if errors.Is(err, none) {
			return Way{}, nil // no route, unreachable, prohibit, blackhole (fib_props, net/ipv4/fib_semantics.c)
		}
	}
	if err != nil {
		return Way{}, fmt.Errorf("cannot ask for the way to %s: %w", to, err)
	}
	if len(list) == 0 {
		return Way{}, nil
	}
	var w Way
	w.Source, _ = netip.AddrFromSlice(list[0].Src)
	w.Source = w.Source.Unmap()
	l, err := net.InterfaceByIndex(list[0].LinkIndex)
	if err != nil {
		return Way{}, nil // unreachable routes of IPv6 lead to no device, or it has just gone
	}
	if w.Device = l.Name; list[0].Type != unix.RTN_UNICAST && list[0].Type != unix.RTN_LOCAL {
		return Way{}, nil
	}
	return w, nil
}
