package solicit

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/netdev"
)

const (
	// interval and count as a host does at its start, only quicker: RFC 4861 section 10 has 4 s and 3. A router answers within
	// 0.5 s, or up to 3 s after its last multicast advertisement (section 6.2.6).
	interval = 1500 * time.Millisecond
	count    = 3
)

// Actor carries Action out in the calling thread's network namespace. It needs CAP_NET_RAW.
type Actor struct {
	Log *slog.Logger // nil discards
}

var _ provision.Actor = Actor{}

// Do implements provision.Actor.
func (x Actor) Do(ctx context.Context, a provision.Action) error {
	selector := a.Args[argSelector]
	table, err := netdev.Read(ctx)
	if err != nil {
		return err
	}
	d, ok, err := table.Find(selector)
	if err != nil || !ok {
		return err
	}
	answered, err := ask(ctx, d.Index, d.Name)
	if err != nil {
		return fmt.Errorf("cannot ask the routers of %s to advertise: %w", d.Name, err)
	}
	if !answered && x.Log != nil {
		x.Log.Warn("no router answered; the new metric takes effect with the next advertisement", "link", d.Name)
	}
	return nil
}

// ask solicits until the kernel's default routes through the link have the metric that the sysctl says.
func ask(ctx context.Context, index int, name string) (bool, error) {
	if done, err := settled(index, name); done || err != nil {
		return done, err
	}
	updates, stop := make(chan netlink.RouteUpdate, 64), make(chan struct{})
	defer close(stop)
	if err := netlink.RouteSubscribe(updates, stop); err != nil {
		return false, err
	}
	s, err := open(index)
	if err != nil {
		return false, err
	}
	defer unix.Close(s)
	for range count {
		if err := send(s, index, name); err != nil {
			return false, err
		}
		timer := time.NewTimer(interval)
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				timer.Stop()
				return false, ctx.Err()
			case <-timer.C:
				waiting = false
			case _, open := <-updates:
				if !open {
					timer.Stop()
					return false, fmt.Errorf("the kernel ended the route events")
				}
				if done, err := settled(index, name); done || err != nil {
					timer.Stop()
					return done, err
				}
			}
		}
	}
	return false, nil
}

// settled reports whether there is nothing (more) to wait for: the kernel has no default route from an advertisement on the link, or
// all of them have the metric of the sysctl.
func settled(index int, name string) (bool, error) {
	text, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + name + "/ra_defrtr_metric")
	if os.IsNotExist(err) {
		return true, nil // no IPv6 on the link, or Linux before 5.12
	}
	if err != nil {
		return false, err
	}
	want, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return false, err
	}
	routes, err := netlink.RouteListFiltered(unix.AF_INET6, &netlink.Route{Protocol: unix.RTPROT_RA}, netlink.RT_FILTER_PROTOCOL)
	if err != nil {
		return false, err
	}
	for _, r := range routes {
		if r.Dst != nil && r.Dst.String() != "::/0" {
			continue
		}
		mine := r.LinkIndex == index
		for _, h := range r.MultiPath {
			mine = mine || h.LinkIndex == index
		}
		if mine && r.Priority != want {
			return false, nil
		}
	}
	return true, nil
}

// open returns a raw ICMPv6 socket that sends to all routers on the link with hop limit 255, which receivers demand (RFC 4861 section
// 6.1.1). The kernel fills the checksum (RFC 3542 section 3.1).
func open(index int) (int, error) {
	s, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return -1, err
	}
	for _, o := range []struct{ name, value int }{{unix.IPV6_MULTICAST_HOPS, 255}, {unix.IPV6_MULTICAST_IF, index}, {unix.IPV6_MULTICAST_LOOP, 0}} {
		if err := unix.SetsockoptInt(s, unix.IPPROTO_IPV6, o.name, o.value); err != nil {
			unix.Close(s)
			return -1, os.NewSyscallError("setsockopt", err)
		}
	}
	// Nothing is read from this socket: the kernel itself hears the answer.
	var none unix.ICMPv6Filter
	for i := range none.Data {
		none.Data[i] = ^uint32(0)
	}
	if err := unix.SetsockoptICMPv6Filter(s, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &none); err != nil {
		unix.Close(s)
		return -1, os.NewSyscallError("setsockopt", err)
	}
	return s, nil
}

// send sends one router solicitation (RFC 4861 section 4.1) with the source link-layer address option where the link has one, so that
// a router may answer without neighbour discovery.
func send(s, index int, name string) error {
	msg := make([]byte, 8, 16)
	msg[0] = 133
	if dev, err := net.InterfaceByIndex(index); err == nil && len(dev.HardwareAddr) == 6 {
		msg = append(msg, 1, 1)
		msg = append(msg, dev.HardwareAddr...)
	}
	binary.BigEndian.PutUint16(msg[2:], 0) // checksum, by the kernel
	to := &unix.SockaddrInet6{ZoneId: uint32(index), Addr: [16]byte{0xff, 0x02, 15: 2}}
	err := unix.Sendto(s, msg, 0, to)
	if err == unix.ENETDOWN || err == unix.EADDRNOTAVAIL || err == unix.ENETUNREACH {
		return nil // no carrier or no link-local address: there is nobody to ask
	}
	if err != nil {
		return fmt.Errorf("cannot send on %s: %w", name, err)
	}
	return nil
}
