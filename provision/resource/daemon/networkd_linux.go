package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/provision/resource/daemon/foreign"
)

// org.freedesktop.network1(5).
const (
	networkdName  = "org.freedesktop.network1"
	networkdUnit  = "systemd-networkd.service"
	networkdIface = networkdName + ".Manager"
)

const networkdPath = dbus.ObjectPath("/org/freedesktop/network1")

func (x *Actor) networkd(ctx context.Context, r request) error {
	var manager *sd.Conn
	if r.kind == KindNetworkdRestart {
		c, err := x.systemd(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		on, err := x.active(ctx, c, networkdUnit)
		if err != nil {
			return err
		}
		if !on {
			return x.revive(ctx, c, networkdUnit)
		}
		manager = c
	}
	b, err := x.dial(ctx, networkdName, "systemd-networkd")
	if errors.Is(err, errNoBus) && manager == nil {
		// networkd runs without a bus too, but then it cannot be told to reload.
		if c, e := x.systemd(ctx); e == nil {
			defer c.Close()
			if on, e := x.active(ctx, c, networkdUnit); e != nil || on {
				return errors.Join(err, e)
			}
		}
		return nil
	}
	if err != nil && manager != nil {
		// A system without a message bus: networkd runs all the same, only it cannot
		// be asked.
		x.log().Warn("restarting systemd-networkd without asking it", "reason", err)
		b, err = nil, nil
	} else if err == nil && b == nil && manager == nil {
		return nil
	}
	if err != nil {
		return err
	}
	links, err := x.resolve(ctx, r.selectors)
	if err != nil {
		return err
	}
	if r.probe {
		if err := x.probeAll(ctx, links); err != nil {
			return err
		}
	}
	d := disturbance{name: "systemd-networkd", links: links, kick: make(chan struct{}, 1)}
	if b != nil {
		defer b.close()
		d.owned = b.networkdOwned(ctx)
		d.standing = b.networkdStanding
		if err := b.watch(ctx, d.kick); err != nil {
			return err
		}
	}
	if manager != nil {
		d.lag = b == nil
		d.do = func(ctx context.Context) error {
			return x.restart(ctx, manager, networkdUnit)
		}
	} else {
		d.lag = true // up to 252 the links are reconfigured after the answer
		d.do = func(ctx context.Context) error {
			return b.call(ctx, networkdPath, networkdIface+".Reload", nil)
		}
	}
	return x.around(ctx, d)
}

// probeAll asks for a server on each link that has something to lose.
func (x *Actor) probeAll(ctx context.Context, links []link) error {
	snap, err := foreign.Take(ctx)
	if err != nil {
		return err
	}
	for _, l := range links {
		if !leased(snap, l.index) {
			continue
		}
		if err := x.probe(ctx, l.index); err != nil {
			return fmt.Errorf("%s would lose its address: %w; try again when the DHCP server answers, or leave the change to the next boot", l.name, err)
		}
	}
	return nil
}

// networkdStanding asks for AdministrativeState.
func (b *bus) networkdStanding(ctx context.Context, l link) (standing, error) {
	var name string
	var path dbus.ObjectPath
	err := b.call(ctx, networkdPath, networkdIface+".GetLinkByIndex", []any{int32(l.index)}, &name, &path)
	var state string
	if err == nil {
		state, err = property[string](ctx, b, path, networkdName+".Link", "AdministrativeState")
	}
	if err != nil {
		if unborn(err) {
			return busy, nil
		}
		return busy, fmt.Errorf("cannot ask systemd-networkd about %s: %w", l.name, err)
	}
	switch state {
	case "configured", "failed": // what a failed link should have is verified elsewhere
		return ready, nil
	case "unmanaged", "linger":
		return off, nil
	}
	return busy, nil
}

// unborn says that a daemon which is being restarted is not on the bus yet, or does
// not know the device yet.
func unborn(err error) bool {
	return named(err, "org.freedesktop.DBus.Error.NameHasNoOwner", "org.freedesktop.DBus.Error.ServiceUnknown",
		"org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.Disconnected",
		"org.freedesktop.DBus.Error.UnknownObject", "org.freedesktop.DBus.Error.UnknownMethod",
		"org.freedesktop.network1.NoSuchLink", "org.freedesktop.NetworkManager.UnknownDevice")
}

// described is what is used of Manager.Describe (systemd 250 and later).
type described struct {
	Interfaces []struct {
		Index     int
		Addresses []struct {
			Family       int
			Address      []int // a JSON array of byte values
			PrefixLength int
			ConfigSource string
		}
		Routes []struct {
			Family                  int
			Destination             []int
			DestinationPrefixLength int
			Gateway                 []int
			Priority                uint32
			Table                   uint32
			ConfigSource            string
		}
	}
	RoutingPolicyRules []struct {
		Family       int
		Priority     uint32
		Table        uint32
		ConfigSource string
	}
}

// networkdOwned returns what networkd declares to be its own configuration, or nil
// when this version cannot describe it.
func (b *bus) networkdOwned(ctx context.Context) func(foreign.Message) bool {
	var text string
	if b.call(ctx, networkdPath, networkdIface+".Describe", nil, &text) != nil {
		return nil
	}
	own, err := parseDescription([]byte(text))
	if err != nil {
		return nil
	}
	return func(m foreign.Message) bool { return own[ownKey(m)] }
}

func parseDescription(text []byte) (map[string]bool, error) {
	var d described
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, fmt.Errorf("cannot read systemd-networkd's description: %w", err)
	}
	own := map[string]bool{}
	for _, i := range d.Interfaces {
		for _, a := range i.Addresses {
			if addr, ok := addrOf(a.Address); ok && a.ConfigSource != "foreign" {
				own[addressKey(i.Index, netip.PrefixFrom(addr, a.PrefixLength))] = true
			}
		}
		for _, r := range i.Routes {
			dst, ok := addrOf(r.Destination)
			if !ok {
				dst = netip.IPv4Unspecified()
				if r.Family == unix.AF_INET6 {
					dst = netip.IPv6Unspecified()
				}
			}
			if r.ConfigSource != "foreign" {
				gw, _ := addrOf(r.Gateway)
				own[routeKey(i.Index, r.Table, r.Priority, netip.PrefixFrom(dst, r.DestinationPrefixLength), gw)] = true
			}
		}
	}
	for _, r := range d.RoutingPolicyRules {
		if r.ConfigSource != "foreign" {
			own[ruleKey(r.Family, r.Priority, r.Table)] = true
		}
	}
	return own, nil
}

func addrOf(b []int) (netip.Addr, bool) {
	raw := make([]byte, len(b))
	for i, v := range b {
		raw[i] = byte(v)
	}
	return netip.AddrFromSlice(raw)
}

func ownKey(m foreign.Message) string {
	if a, err := m.Address(); err == nil {
		return addressKey(a.Link, a.Prefix)
	}
	if r, err := m.Route(); err == nil && len(r.Hops) == 1 {
		return routeKey(r.Hops[0].Link, r.Table, r.Metric, r.Dst, r.Hops[0].Gateway)
	}
	if r, err := m.Rule(); err == nil {
		return ruleKey(int(r.Family), r.Priority, r.Table)
	}
	return ""
}

func addressKey(link int, p netip.Prefix) string { return fmt.Sprint("a ", link, p) }

func routeKey(link int, table, metric uint32, dst netip.Prefix, gw netip.Addr) string {
	return fmt.Sprint("r ", link, table, metric, dst, gw)
}

func ruleKey(family int, priority, table uint32) string {
	return fmt.Sprint("p ", family, priority, table)
}
