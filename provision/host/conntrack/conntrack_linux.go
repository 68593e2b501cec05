package conntrack

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Forget ends the connections whose source is translated to one of addrs (masquerading, SNAT,
// NAT66), and returns how many. Connections that have such an address by themselves, those of the
// machine, stay: they could not go on from another one. It works in the network namespace of the
// calling thread and needs CAP_NET_ADMIN.
func Forget(ctx context.Context, addrs []netip.Addr) (int, error) {
	t := translated{}
	for _, a := range addrs {
		t[a.Unmap()] = true
	}
	if len(t) == 0 {
		return 0, nil
	}
	h, err := netlink.NewHandle(unix.NETLINK_NETFILTER)
	if err != nil {
		return 0, fmt.Errorf("cannot open a socket for connection tracking: %w", err)
	}
	defer h.Close()
	total := 0
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		if !t.has(family == unix.AF_INET) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return total, err
		}
		n, err := h.ConntrackDeleteFilters(netlink.ConntrackTable, family, t)
		total += int(n)
		switch {
		case errors.Is(err, netlink.ErrDumpInterrupted):
			// The table has changed meanwhile: what was missed is new, or asked for again.
		case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL), errors.Is(err, unix.EPROTONOSUPPORT):
			return total, fmt.Errorf("%w: %w", ErrUnsupported, err)
		case err != nil:
			return total, fmt.Errorf("cannot end tracked connections: %w", err)
		}
	}
	return total, nil
}

// translated matches flows whose answers come to one of these addresses, which is not the one
// that sent them.
type translated map[netip.Addr]bool

func (t translated) has(v4 bool) bool {
	for a := range t {
		if a.Is4() == v4 {
			return true
		}
	}
	return false
}

// MatchConntrackFlow implements netlink.CustomConntrackFilter.
func (t translated) MatchConntrackFlow(f *netlink.ConntrackFlow) bool {
	from, ok1 := netip.AddrFromSlice(f.Forward.SrcIP)
	back, ok2 := netip.AddrFromSlice(f.Reverse.DstIP)
	return ok1 && ok2 && t[back.Unmap()] && from.Unmap() != back.Unmap()
}
