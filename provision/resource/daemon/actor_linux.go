package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/dhcpprobe"
	"github.com/provision-net/provision/provision/host/netdev"
	"github.com/provision-net/provision/provision/resource/daemon/foreign"
)

// DefaultState is the directory of the journal and of saved definitions.
const DefaultState = "/var/lib/provision"

// Actor carries out every action of this package. The zero value with a Runner works
// on the running system; the other fields are there for tests and for other layouts.
type Actor struct {
	Runner host.Runner  // for ifup, ifdown, ifquery and dhcpcd
	Log    *slog.Logger // nil discards
	// State is the directory for foreign.json (what must be put back) and for the
	// definitions of NICs brought up by ifup; empty means DefaultState.
	State string
	// Root is put before the files that are read: /run/network/ifstate,
	// /etc/dhcpcd.conf, /run/dhcpcd.
	Root string

	// Bus opens a connection to the message bus; nil is the system bus.
	Bus func(context.Context) (*dbus.Conn, error)
	// Systemd opens a connection to the service manager; nil is its private socket,
	// which works without a message bus, else the system bus.
	Systemd func(context.Context) (*sd.Conn, error)
	// Probe asks whether a DHCPv4 server answers on a link; nil is dhcpprobe.
	Probe func(ctx context.Context, link int) error

	CallTimeout    time.Duration // for one answer on D-Bus; zero means 10 s
	RestartTimeout time.Duration // for a unit to be stopped and started; zero means 30 s
	Settle         time.Duration // for links to have again what they had; zero means 10 s
}

var _ provision.Actor = (*Actor)(nil)

// Do carries out a.
func (x *Actor) Do(ctx context.Context, a provision.Action) error {
	r, err := parse(a)
	if err != nil {
		return err
	}
	switch r.kind {
	case KindNetworkdReload, KindNetworkdRestart:
		err = x.networkd(ctx, r)
	case KindNMReload, KindNMReapply, KindNMReloadConnections:
		err = x.networkManager(ctx, r)
	case KindNMRestart:
		err = x.networkManagerRestart(ctx, r)
	case KindDhcpcdRestart:
		err = x.dhcpcd(ctx, r)
	case KindIfup:
		err = x.ifup(ctx, r)
	}
	if err != nil {
		return fmt.Errorf("cannot %s: %w", verb(r.kind), err)
	}
	return nil
}

// Alive asks the daemons that actions are for whether they answer, and changes
// nothing. It is meant for before the first write: a daemon that hangs cannot take up
// a change, nor can it take it back. One that does not run is alive enough.
func (x *Actor) Alive(ctx context.Context, actions []provision.Action) error {
	asked := map[string]bool{}
	var errs []error
	for _, a := range actions {
		name, people, path, iface, prop := "", "", dbus.ObjectPath(""), "", ""
		switch a.Kind {
		case KindNetworkdReload, KindNetworkdRestart:
			name, people, path, iface, prop = networkdName, "systemd-networkd", networkdPath, networkdIface, "OperationalState"
		case KindNMReload, KindNMReapply, KindNMRestart, KindNMReloadConnections:
			name, people, path, iface, prop = nmName, "NetworkManager", nmPath, nmName, "Version"
		}
		if name == "" || asked[name] {
			continue
		}
		asked[name] = true
		b, err := x.dial(ctx, name, people)
		if errors.Is(err, errNoBus) || err == nil && b == nil {
			continue
		}
		if err == nil {
			_, err = property[string](ctx, b, path, iface, prop)
			b.close()
		}
		if e := (dbus.Error{}); err != nil && !errors.As(err, &e) { // an answer, or that it is just being restarted
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func verb(kind string) string {
	switch kind {
	case KindNetworkdReload:
		return "reload systemd-networkd"
	case KindNetworkdRestart:
		return "restart systemd-networkd"
	case KindNMReload:
		return "make NetworkManager read its configuration"
	case KindNMReapply:
		return "reapply NetworkManager's connections"
	case KindNMRestart:
		return "restart NetworkManager"
	case KindNMReloadConnections:
		return "make NetworkManager read its connections"
	case KindDhcpcdRestart:
		return "restart dhcpcd"
	}
	return "bring up the interface with ifup"
}

// Restore puts back what an action that was cut off had saved. Every action begins
// with it; the boot unit and a rollback may call it too.
func (x *Actor) Restore(ctx context.Context) error {
	_, err := x.restore()
	return err
}

// restore returns what could not be put back.
func (x *Actor) restore() ([]foreign.Message, error) {
	set, ok, err := x.journal().Read()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, x.journal().Remove()
	}
	left, err := x.putBack(set, true)
	if err != nil {
		return left, err
	}
	return nil, x.journal().Remove()
}

func (x *Actor) journal() foreign.Journal {
	return foreign.Journal{Path: filepath.Join(x.state(), "foreign.json")}
}

func (x *Actor) state() string {
	if x.State == "" {
		return DefaultState
	}
	return x.State
}

func (x *Actor) path(p string) string {
	if x.Root == "" {
		return p
	}
	return filepath.Join(x.Root, p)
}

func (x *Actor) log() *slog.Logger {
	if x.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return x.Log
}

func orElse(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

func (x *Actor) probe(ctx context.Context, link int) error {
	if x.Probe != nil {
		return x.Probe(ctx, link)
	}
	_, err := (dhcpprobe.Probe{}).Do(ctx, link)
	return err
}

// link is a device that a selector names.
type link struct {
	index int
	name  string
}

// resolve finds the devices. One that does not exist (a NIC that was unplugged) has
// nothing to lose and is left out.
func (x *Actor) resolve(ctx context.Context, selectors []string) ([]link, error) {
	if len(selectors) == 0 {
		return nil, nil
	}
	table, err := netdev.Read(ctx)
	if err != nil {
		return nil, err
	}
	var out []link
	for _, s := range selectors {
		d, ok, err := table.Find(s)
		if err != nil {
			return nil, err
		}
		if !ok {
			x.log().Warn("device is not there", "selector", s)
			continue
		}
		out = append(out, link{d.Index, d.Name})
	}
	return out, nil
}

func indexes(ls []link) []int {
	out := make([]int, len(ls))
	for i, l := range ls {
		out[i] = l.index
	}
	return out
}
