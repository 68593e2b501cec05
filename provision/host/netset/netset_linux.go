package netset

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Conn changes the kernel's state through one socket. It belongs to the network namespace of
// the thread that opened it, and to one goroutine.
type Conn struct{ h *netlink.Handle }

// Open opens the socket.
func Open() (*Conn, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("cannot open an rtnetlink socket: %w", err)
	}
	return &Conn{h}, nil
}

// Close closes it.
func (c *Conn) Close() { c.h.Close() }

// ReplaceRoute adds r, or puts it in the place of the route with the same destination and metric
// in the same table. The error wraps the kernel's: unix.ENETDOWN while the device is down,
// unix.ENETUNREACH or EHOSTUNREACH while its gateway cannot be reached.
func (c *Conn) ReplaceRoute(ctx context.Context, r Route) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	nl := &netlink.Route{
		LinkIndex: r.Index, Table: int(r.Table), Priority: int(r.Metric), Protocol: netlink.RouteProtocol(r.Protocol), Type: unix.RTN_UNICAST,
		Dst: &net.IPNet{IP: r.Dst.Addr().AsSlice(), Mask: net.CIDRMask(r.Dst.Bits(), r.Dst.Addr().BitLen())},
	}
	if r.Gateway.IsValid() {
		if r.Gateway.Is4() != r.Dst.Addr().Is4() {
			nl.Via = &netlink.Via{AddrFamily: family(r.Gateway), Addr: r.Gateway.AsSlice()} // RFC 8950
		} else {
			nl.Gw = r.Gateway.AsSlice()
		}
	} else if r.Dst.Addr().Is4() {
		nl.Scope = unix.RT_SCOPE_LINK
	}
	if r.Src.IsValid() {
		nl.Src = r.Src.AsSlice()
	}
	if r.OnLink {
		nl.Flags = int(netlink.FLAG_ONLINK)
	}
	if err := c.h.RouteReplace(nl); err != nil {
		switch {
		case errors.Is(err, unix.ENETDOWN):
			return fmt.Errorf("cannot set the route: its device is down: %w", err)
		case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EINVAL) && r.Gateway.IsValid():
			return fmt.Errorf("cannot set the route: the gateway %s cannot be reached on its device: %w", r.Gateway, err)
		}
		return fmt.Errorf("cannot set the route: %w", err)
	}
	return nil
}

// AddProxy makes the machine answer for n on its device. IPv4 answers as soon as the device
// forwards and the address is reached through another device (net/ipv4/arp.c arp_process);
// IPv6 needs net.ipv6.conf.DEVICE.proxy_ndp as well (net/ipv6/ndisc.c pndisc_is_router).
func (c *Conn) AddProxy(ctx context.Context, n Neighbour) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := c.h.NeighSet(&netlink.Neigh{LinkIndex: n.Index, Family: family(n.Addr), Flags: netlink.NTF_PROXY, State: netlink.NUD_PERMANENT, IP: n.Addr.AsSlice()})
	if err != nil {
		return fmt.Errorf("cannot answer for %s: %w", n.Addr, err)
	}
	return nil
}

// Proxies lists what the machine answers for.
func (c *Conn) Proxies(ctx context.Context) ([]Neighbour, error) {
	var out []Neighbour
	for _, fam := range []int{unix.AF_INET, unix.AF_INET6} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		list, err := c.h.NeighProxyList(0, fam)
		if err != nil {
			if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
				continue // no IPv6
			}
			return nil, fmt.Errorf("cannot list the neighbours that are answered for: %w", err)
		}
		for _, n := range list {
			if a, ok := netip.AddrFromSlice(n.IP); ok && n.Flags&netlink.NTF_PROXY != 0 {
				out = append(out, Neighbour{n.LinkIndex, a.Unmap()})
			}
		}
	}
	return out, nil
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
