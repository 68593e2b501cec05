// Package lookup asks for the addresses of a host with packets of a mark, so that a tunnel which takes
// everything else does not take the question where the tunnel itself is.
package lookup

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// perServer is how long one server has before the next one is asked.
const perServer = 4 * time.Second

// Addrs asks the servers in turn, until one knows the host; the hosts file goes before them. Without
// servers the system's are asked. Addresses come in the order in which they are best called (RFC 6724).
func Addrs(ctx context.Context, host string, servers []netip.AddrPort, mark uint32) ([]netip.Addr, error) {
	host = strings.TrimSuffix(host, ".") + "." // no search list
	dial, err := dialer(mark)
	if err != nil {
		return nil, err
	}
	ask := func(ctx context.Context, server string) ([]netip.Addr, error) {
		r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if server != "" {
				address = server
			}
			return dial.DialContext(ctx, network, address)
		}}
		list, err := r.LookupNetIP(ctx, "ip", host)
		for i, a := range list {
			list[i] = a.Unmap()
		}
		return list, err
	}
	if len(servers) == 0 {
		return ask(ctx, "")
	}
	var errs []error
	for _, s := range servers {
		limited, cancel := context.WithTimeout(ctx, perServer)
		list, err := ask(limited, s.String())
		cancel()
		var no *net.DNSError
		if err == nil || errors.As(err, &no) && no.IsNotFound && ctx.Err() == nil && len(servers) == 1 {
			return list, err
		}
		errs = append(errs, fmt.Errorf("%s: %w", s.Addr(), err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}
