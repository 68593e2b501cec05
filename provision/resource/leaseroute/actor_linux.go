package leaseroute

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/netdev"
)

// proto tells a route of ours from those of dhclient-script, which are proto boot.
const proto = unix.RTPROT_DHCP

// Actor carries the action out in the calling thread's network namespace.
type Actor struct {
	Runner host.Runner  // for ifquery
	Root   string       // put before /var/lib/dhcp and /run/network/ifstate
	Log    *slog.Logger // nil discards
}

var _ provision.Actor = (*Actor)(nil)

// Do implements provision.Actor.
func (x *Actor) Do(ctx context.Context, a provision.Action) error {
	r, err := parseAction(a)
	if err != nil {
		return fmt.Errorf("cannot add a default route: %w", err)
	}
	if err := x.do(ctx, r); err != nil {
		return fmt.Errorf("cannot add the default route of %s: %w", r.ifname, err)
	}
	return nil
}

func (x *Actor) do(ctx context.Context, r request) error {
	table, err := netdev.Read(ctx)
	if err != nil {
		return err
	}
	d, ok, err := table.Find(r.selector)
	if err != nil || !ok {
		return err
	}
	wanted, err := x.stanzaHas(ctx, r)
	if err != nil {
		return err
	}
	lease, err := x.lease(r.ifname)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNoLease) {
		return nil
	}
	if err != nil {
		return err
	}
	defaults, err := netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: unix.RT_TABLE_MAIN, LinkIndex: d.Index},
		netlink.RT_FILTER_TABLE|netlink.RT_FILTER_OIF)
	if err != nil {
		return fmt.Errorf("cannot list routes: %w", err)
	}
	has := false
	for _, route := range defaults {
		if route.Dst != nil && route.Dst.String() != "0.0.0.0/0" {
			continue
		}
		has = true
		gw, _ := netip.AddrFromSlice(route.Gw)
		if !wanted && route.Protocol == proto && gw.Unmap() == lease.Router {
			x.log().Info("taking away the default route that was added from the lease", "link", d.Name, "metric", route.Priority)
			if err := netlink.RouteDel(&route); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
	}
	if !wanted || has || !lease.Router.IsValid() || lease.Classless {
		return nil
	}
	held, err := holds(d.Index, lease.Address)
	if err != nil || !held {
		return err
	}
	route := &netlink.Route{LinkIndex: d.Index, Dst: &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}, Gw: lease.Router.AsSlice(),
		Priority: int(r.metric), Protocol: proto, Table: unix.RT_TABLE_MAIN}
	if lease.Mask == "255.255.255.255" {
		route.Flags = int(netlink.FLAG_ONLINK)
	}
	x.log().Info("adding the default route that dhclient could not add", "link", d.Name, "router", lease.Router, "metric", r.metric)
	if err := netlink.RouteAdd(route); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("router %s: %w", lease.Router, err)
	}
	return nil
}

func (x *Actor) log() *slog.Logger {
	if x.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return x.Log
}

// holds reports whether the lease is the one in use.
func holds(link int, addr netip.Addr) (bool, error) {
	l, err := netlink.LinkByIndex(link)
	if err != nil {
		return false, err
	}
	addrs, err := netlink.AddrList(l, unix.AF_INET)
	if err != nil {
		return false, fmt.Errorf("cannot list addresses: %w", err)
	}
	for _, a := range addrs {
		if have, ok := netip.AddrFromSlice(a.IP.To4()); ok && have == addr {
			return true, nil
		}
	}
	return false, nil
}

// stanzaHas asks ifupdown whether the stanza has the action's metric now. Mappings are
// not run: their scripts do what they like.
func (x *Actor) stanzaHas(ctx context.Context, r request) (bool, error) {
	if x.Runner == nil {
		return false, errors.New("nothing to run ifquery with")
	}
	target, err := x.target(r.ifname)
	if err != nil {
		return false, err
	}
	out, err := x.Runner.Run(ctx, host.Command{Argv: []string{"ifquery", "--no-mappings", target}, Timeout: 10 * time.Second})
	if err != nil {
		return false, err
	}
	if out.Code != 0 {
		return false, nil // no stanza any more
	}
	for line := range strings.Lines(string(out.Stdout)) {
		if strings.TrimSpace(line) == fmt.Sprintf("metric: %d", r.metric) {
			return true, nil
		}
	}
	return false, nil
}

// target is NIC=STANZA where the NIC is up as a stanza of another name: ifquery does
// not look that up by itself.
func (x *Actor) target(ifname string) (string, error) {
	b, err := x.read("/run/network/ifstate")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, ifname+"=") && validName(line[len(ifname)+1:]) {
			return line, nil
		}
	}
	return ifname, nil
}

func (x *Actor) read(name string) ([]byte, error) {
	f, err := os.Open(filepath.Join("/", x.Root, name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxLease+1))
}

// lease reads the file that ifupdown's inet.defn gives dhclient.
func (x *Actor) lease(ifname string) (Lease, error) {
	b, err := x.read("/var/lib/dhcp/dhclient." + ifname + ".leases")
	if err != nil {
		return Lease{}, err
	}
	return ParseLeases(string(b), ifname)
}
