package firewalld

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

const (
	busName    = "org.fedoraproject.FirewallD1"
	path       = dbus.ObjectPath("/org/fedoraproject/FirewallD1")
	configPath = path + "/config"
	zone       = busName + ".zone"
	config     = busName + ".config"
	configZone = busName + ".config.zone"

	// firewalld answers a change when the kernel has it; with thousands of rules that takes seconds.
	limit = 30 * time.Second
)

// Bus connects to firewalld over the system bus; nil, nil when it does not run. It is never started.
func Bus(ctx context.Context) (Manager, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	got := make(chan opened, 1)
	go func() {
		// The connection ends by Close, not with the context.
		c, err := dbus.ConnectSystemBus()
		got <- opened{c, err}
	}()
	var o opened
	select {
	case o = <-got:
	case <-ctx.Done():
		go func() {
			if late := <-got; late.err == nil {
				late.conn.Close()
			}
		}()
		return nil, fmt.Errorf("the message bus does not answer: %w", ctx.Err())
	}
	if errors.Is(o.err, unix.ENOENT) || errors.Is(o.err, unix.ECONNREFUSED) {
		return nil, nil
	}
	if o.err != nil {
		return nil, o.err
	}
	var runs bool
	err := o.conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, busName).Store(&runs)
	if err != nil || !runs {
		o.conn.Close()
		return nil, err
	}
	return manager{o.conn}, nil
}

type opened struct {
	conn *dbus.Conn
	err  error
}

type manager struct{ conn *dbus.Conn }

func (m manager) Close() { m.conn.Close() }

func (m manager) call(ctx context.Context, object dbus.ObjectPath, method string, args ...any) *dbus.Call {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return m.conn.Object(busName, object).CallWithContext(ctx, method, dbus.FlagNoAutoStart, args...)
}

func (m manager) Zone(ctx context.Context, permanent bool, device string) (string, error) {
	object, iface := path, zone
	if permanent {
		object, iface = configPath, config
	}
	var name string
	err := m.call(ctx, object, iface+".getZoneOfInterface", device).Store(&name)
	return name, err
}

func (m manager) Move(ctx context.Context, permanent bool, device, from, to string) error {
	if permanent {
		return m.moveStored(ctx, device, from, to)
	}
	var name string
	if to == "" {
		return done(m.call(ctx, path, zone+".removeInterface", from, device).Store(&name))
	}
	// It also adds a device that is in no zone.
	return done(m.call(ctx, path, zone+".changeZoneOfInterface", to, device).Store(&name))
}

func (m manager) moveStored(ctx context.Context, device, from, to string) error {
	for _, step := range []struct{ zone, method string }{{from, "removeInterface"}, {to, "addInterface"}} {
		if step.zone == "" {
			continue
		}
		var object dbus.ObjectPath
		if err := m.call(ctx, configPath, config+".getZoneByName", step.zone).Store(&object); err != nil {
			return err
		}
		if err := done(m.call(ctx, object, configZone+"."+step.method, device).Err); err != nil {
			return err
		}
	}
	return nil
}

// done forgives that something is so already. firewalld has one D-Bus error for everything; the
// message begins with its code (src/firewall/errors.py).
func done(err error) error {
	var e dbus.Error
	if errors.As(err, &e) {
		for _, code := range []string{"ALREADY_ENABLED", "NOT_ENABLED", "ZONE_ALREADY_SET"} {
			if strings.HasPrefix(e.Error(), code) {
				return nil
			}
		}
	}
	return err
}
