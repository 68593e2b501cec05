package facts

import (
	"context"
	"encoding/binary"
	"fmt"
	"sort"

	"golang.org/x/sys/unix"
)

// Reader reads the kernel's state again and again through one socket, for who has to look
// often on a machine with a thousand NICs: no file is opened, no device is asked, the memory of
// the last reading is used again. Of the routes it keeps the default ones and those without a
// gateway, which is what says where a table leads: a full routing table costs time but no memory.
//
// It belongs to the network namespace of the thread that opened it, and to one goroutine.
type Reader struct {
	c     *netlinkConn
	live  Live
	names map[string]string // of devices and kinds: the same strings again and again
	macs  map[string]string

	routes4, routes6 []Route
	rules4, rules6   []Rule
}

// OpenReader opens the socket.
func OpenReader() (*Reader, error) {
	c, err := dialNetlink(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("cannot open an rtnetlink socket: %w", err)
	}
	return &Reader{c: c, names: map[string]string{}, macs: map[string]string{}}, nil
}

// Close closes the socket.
func (r *Reader) Close() { r.c.close() }

// Read reads parts anew. What it returns is valid until the next Read. The parts are read one
// after the other, each consistent for itself (a dump that a change interrupted is repeated); a
// change between two of them makes an event, and who follows events reads again.
func (r *Reader) Read(ctx context.Context, parts Parts) (*Live, error) {
	// A device that goes takes its names along: they must not pile up.
	if len(r.names) > 4*len(r.live.Links)+256 {
		clear(r.names)
	}
	if len(r.macs) > 4*len(r.live.Links)+256 {
		clear(r.macs)
	}
	for _, read := range []struct {
		part Parts
		what string
		do   func(context.Context) error
	}{
		{PartLinks, "links", r.links},
		{PartAddrs, "addresses", r.addrs},
		{PartRoutes4, "IPv4 routes", func(ctx context.Context) error { return r.routes(ctx, unix.AF_INET, &r.routes4) }},
		{PartRoutes6, "IPv6 routes", func(ctx context.Context) error { return r.routes(ctx, unix.AF_INET6, &r.routes6) }},
		{PartRules4, "IPv4 rules", func(ctx context.Context) error { return r.rules(ctx, unix.AF_INET, &r.rules4) }},
		{PartRules6, "IPv6 rules", func(ctx context.Context) error { return r.rules(ctx, unix.AF_INET6, &r.rules6) }},
	} {
		if parts&read.part == 0 {
			continue
		}
		if err := read.do(ctx); err != nil {
			return nil, fmt.Errorf("cannot list %s: %w", read.what, err)
		}
	}
	if parts&(PartRoutes4|PartRoutes6) != 0 {
		r.live.Routes = append(append(r.live.Routes[:0], r.routes4...), r.routes6...)
	}
	if parts&(PartRules4|PartRules6) != 0 {
		r.live.Rules = append(append(r.live.Rules[:0], r.rules4...), r.rules6...)
	}
	return &r.live, nil
}

func (r *Reader) links(ctx context.Context) error {
	err := r.c.dump(ctx, unix.RTM_GETLINK, linkRequest(), func() { r.live.Links, r.live.Conf = r.live.Links[:0], r.live.Conf[:0] }, func(p []byte) {
		l, spec, ok := splitLink(p, r)
		if !ok {
			return
		}
		r.live.Links, r.live.Conf = append(r.live.Links, l), append(r.live.Conf, compactConf(spec))
	})
	if err != nil {
		return err
	}
	sort.Sort((*byIndex)(&r.live))
	for i := range r.live.Links {
		if l := &r.live.Links[i]; l.PermMAC == "" {
			l.PermMAC = l.MAC
		}
	}
	r.live.All = unsaid()
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		if err := r.all(family); err != nil && !noIPv6(err) {
			return err
		}
	}
	return nil
}

// byIndex keeps links and their parameters together.
type byIndex Live

func (b *byIndex) Len() int           { return len(b.Links) }
func (b *byIndex) Less(i, j int) bool { return b.Links[i].Index < b.Links[j].Index }
func (b *byIndex) Swap(i, j int) {
	b.Links[i], b.Links[j] = b.Links[j], b.Links[i]
	b.Conf[i], b.Conf[j] = b.Conf[j], b.Conf[i]
}

// all asks for the parameters of "all" (linux/netconf.h): the only ones of it that the kernel
// tells without a file.
func (r *Reader) all(family byte) error {
	const (
		ifindex, forwarding, rpFilter, proxyNeigh = 1, 2, 3, 5 // NETCONFA_*
		indexAll                                  = ^uint32(0) // NETCONFA_IFINDEX_ALL
	)
	body := make([]byte, 12)
	body[0] = family
	binary.NativeEndian.PutUint16(body[4:], 8)
	binary.NativeEndian.PutUint16(body[6:], ifindex)
	binary.NativeEndian.PutUint32(body[8:], indexAll)
	return r.c.ask(unix.RTM_GETNETCONF, unix.NLM_F_ACK, body, func(p []byte) {
		if len(p) < 4 || p[0] != family {
			return
		}
		attributes(p[4:], func(t uint16, v []byte) {
			n := int32(attrU32(v))
			switch {
			case family == unix.AF_INET && t == rpFilter:
				r.live.All.RPFilter = n
			case family == unix.AF_INET && t == forwarding:
				r.live.All.Forwarding4 = n
			case family == unix.AF_INET && t == proxyNeigh:
				r.live.All.ProxyARP = n
			case family == unix.AF_INET6 && t == forwarding:
				r.live.All.Forwarding6 = n
			case family == unix.AF_INET6 && t == proxyNeigh:
				r.live.All.ProxyNDP = n
			}
		})
	})
}

func (r *Reader) addrs(ctx context.Context) error {
	return r.c.dump(ctx, unix.RTM_GETADDR, make([]byte, unix.SizeofIfAddrmsg), func() { r.live.Addrs = r.live.Addrs[:0] }, func(p []byte) {
		if a, ok := decodeAddress(p); ok {
			r.live.Addrs = append(r.live.Addrs, a)
		}
	})
}

func (r *Reader) routes(ctx context.Context, family byte, into *[]Route) error {
	body := make([]byte, unix.SizeofRtMsg)
	body[0] = family
	err := r.c.dump(ctx, unix.RTM_GETROUTE, body, func() { *into = (*into)[:0] }, func(p []byte) {
		if len(p) < unix.SizeofRtMsg || p[0] != family {
			return
		}
		if rt, ok := decodeRoute(p); ok && (rt.Default() || !rt.Gateway.IsValid() && len(rt.Hops) == 0) {
			*into = append(*into, rt)
		}
	})
	if family == unix.AF_INET6 && err != nil && noIPv6(err) {
		*into = (*into)[:0]
		return nil
	}
	return err
}

func (r *Reader) rules(ctx context.Context, family byte, into *[]Rule) error {
	body := make([]byte, unix.SizeofRtMsg)
	body[0] = family
	err := r.c.dump(ctx, unix.RTM_GETRULE, body, func() { *into = (*into)[:0] }, func(p []byte) {
		if rule, ok := decodeRule(p); ok && p[0] == family {
			*into = append(*into, rule)
		}
	})
	if err != nil && noIPv6(err) {
		*into = (*into)[:0]
		return nil
	}
	return err
}

// text is attrString that gives the same string for the same bytes again.
func (r *Reader) text(v []byte) string {
	for i, c := range v {
		if c == 0 {
			v = v[:i]
			break
		}
	}
	if s, ok := r.names[string(v)]; ok { // no copy: the compiler knows this form
		return s
	}
	s := string(v)
	r.names[s] = s
	return s
}

func (r *Reader) hardwareAddr(v []byte) string {
	if s, ok := r.macs[string(v)]; ok {
		return s
	}
	s := hardwareAddr(v)
	r.macs[string(v)] = s
	return s
}

// compactConf reads IFLA_AF_SPEC as deviceConf does. The positions are those of
// IPV4_DEVCONF_* less one (linux/ip.h) and DEVCONF_* (linux/ipv6.h).
func compactConf(spec []byte) DeviceConf {
	c := unsaid()
	attributes(spec, func(family uint16, v []byte) {
		attributes(v, func(t uint16, v []byte) {
			at := func(i int) int32 {
				if len(v) < 4*i+4 {
					return -1
				}
				return int32(binary.NativeEndian.Uint32(v[4*i:]))
			}
			switch {
			case family == unix.AF_INET && t == 1:
				c.Forwarding4, c.ProxyARP, c.RPFilter, c.LogMartians = at(0), at(2), at(7), at(10)
			case family == unix.AF_INET6 && t == 2:
				c.Forwarding6, c.ProxyNDP = at(0), at(22)
			}
		})
	})
	return c
}
