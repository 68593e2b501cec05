package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/godbus/dbus/v5"
)

// NetworkManager's D-Bus interface, version 1 (networkmanager.dev, D-Bus API reference).
const (
	nmName   = "org.freedesktop.NetworkManager"
	nmUnit   = "NetworkManager.service"
	nmDevice = nmName + ".Device"

	nmReloadConf = uint32(1) // NM_MANAGER_RELOAD_FLAG_CONF

	nmPreserveExternalIP = uint32(1) // NM_DEVICE_REAPPLY_FLAGS_PRESERVE_EXTERNAL_IP, 1.42

	nmActivationExternal = uint32(0x80) // NM_ACTIVATION_STATE_FLAG_EXTERNAL

	nmDisconnected = uint32(30) // NM_DEVICE_STATE_*
	nmActivated    = uint32(100)
	nmFailed       = uint32(120)
)

const (
	nmPath     = dbus.ObjectPath("/org/freedesktop/NetworkManager")
	nmSettings = dbus.ObjectPath("/org/freedesktop/NetworkManager/Settings")
)

func (x *Actor) networkManager(ctx context.Context, r request) error {
	b, err := x.dial(ctx, nmName, "NetworkManager")
	if errors.Is(err, errNoBus) {
		return nil // NetworkManager does not run without one
	}
	if err != nil || b == nil {
		return err
	}
	defer b.close()
	if r.kind == KindNMReload {
		return b.call(ctx, nmPath, nmName+".Reload", []any{nmReloadConf})
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
	// What a device has that changes hands is its last owner's, and goes.
	kept := links
	turn := map[string]bool{}
	if r.managed != "" {
		if turn, err = x.turning(ctx, b, links, r.managed); err != nil {
			return err
		}
		kept = slices.DeleteFunc(slices.Clone(links), func(l link) bool { _, ok := turn[l.name]; return ok })
	}
	d := disturbance{name: "NetworkManager", links: kept, standing: b.nmStanding, kick: make(chan struct{}, 1)}
	if err := b.watch(ctx, d.kick); err != nil {
		return err
	}
	if r.kind == KindNMReapply {
		d.do = func(ctx context.Context) error { return x.reapply(ctx, b, links) }
	} else {
		d.do = func(ctx context.Context) error { return x.reloadConnections(ctx, b, links, turn) }
	}
	return x.around(ctx, d)
}

func (x *Actor) reapply(ctx context.Context, b *bus, links []link) error {
	version, err := property[string](ctx, b, nmPath, nmName, "Version")
	if err != nil {
		return err
	}
	keeps, err := atLeast(version, 1, 42)
	if err != nil {
		return err
	}
	var flags uint32
	if keeps {
		flags = nmPreserveExternalIP
	}
	if err := b.call(ctx, nmPath, nmName+".Reload", []any{nmReloadConf}); err != nil {
		return err
	}
	var errs []error
	for _, l := range links {
		if err := x.reapplyOne(ctx, b, l, flags); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", l.name, err))
		}
	}
	return errors.Join(errs...)
}

// reapplyOne reapplies what the device has, unless somebody changes it meanwhile:
// then the version id does not match and it begins again.
func (x *Actor) reapplyOne(ctx context.Context, b *bus, l link, flags uint32) error {
	dev, err := b.nmDevicePath(ctx, l)
	if err != nil {
		if named(err, nmName+".UnknownDevice") {
			x.log().Info("NetworkManager does not know the device, nothing to reapply", "link", l.name)
			return nil
		}
		return err
	}
	if own, err := b.nmOwns(ctx, dev); err != nil || !own {
		if err == nil {
			x.log().Info("device has no connection of NetworkManager, nothing to reapply", "link", l.name)
		}
		return err
	}
	for attempt := 0; ; attempt++ {
		var settings map[string]map[string]dbus.Variant
		var id uint64
		if err := b.call(ctx, dev, nmDevice+".GetAppliedConnection", []any{uint32(0)}, &settings, &id); err != nil {
			return err
		}
		err := b.call(ctx, dev, nmDevice+".Reapply", []any{map[string]map[string]dbus.Variant{}, id, flags})
		if attempt < 3 && named(err, nmDevice+".VersionIdMismatch") {
			continue
		}
		return err
	}
}

// nmOwns reports whether the device is activated by a connection of NetworkManager's
// own, not one that it made up for what it found ("connected (externally)").
func (b *bus) nmOwns(ctx context.Context, dev dbus.ObjectPath) (bool, error) {
	state, err := property[uint32](ctx, b, dev, nmDevice, "State")
	if err != nil || state != nmActivated {
		return false, err
	}
	ac, err := property[dbus.ObjectPath](ctx, b, dev, nmDevice, "ActiveConnection")
	if err != nil || ac == "/" {
		return false, err
	}
	flags, err := property[uint32](ctx, b, ac, nmName+".Connection.Active", "StateFlags")
	if unborn(err) || named(err, "org.freedesktop.DBus.Error.InvalidArgs") {
		return true, nil // before 1.10, or it has just changed
	}
	return flags&nmActivationExternal == 0, err
}

func (x *Actor) reloadConnections(ctx context.Context, b *bus, links []link, turn map[string]bool) error {
	var ok bool
	if err := b.call(ctx, nmSettings, nmName+".Settings.ReloadConnections", nil, &ok); err != nil {
		return err
	}
	var errs []error
	for _, l := range links {
		if managed, ok := turn[l.name]; ok {
			if err := b.manage(ctx, l, managed); err != nil {
				errs = append(errs, fmt.Errorf("cannot say whose %s is: %w", l.name, err))
				continue
			}
		}
		if err := x.activate(ctx, b, l); err != nil {
			errs = append(errs, fmt.Errorf("cannot activate %s: %w", l.name, err))
		}
	}
	return errors.Join(errs...)
}

// turning says which devices are to be managed from now on, or no more, as the file conf says.
func (x *Actor) turning(ctx context.Context, b *bus, links []link, conf string) (map[string]bool, error) {
	text, err := os.ReadFile(x.path(conf))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	lines := strings.Split(string(text), "\n")
	out := map[string]bool{}
	for _, l := range links {
		want := slices.Contains(lines, "match-device=interface-name:="+l.name)
		dev, err := b.nmDevicePath(ctx, l)
		var is bool
		if err == nil {
			is, err = property[bool](ctx, b, dev, nmDevice, "Managed")
		}
		if err != nil && !named(err, nmName+".UnknownDevice") {
			return nil, fmt.Errorf("cannot ask NetworkManager about %s: %w", l.name, err)
		}
		if err == nil && is != want {
			out[l.name] = want
		}
	}
	return out, nil
}

// manage has a device managed, or not. A managed one that a profile fits is activated by NetworkManager.
func (b *bus) manage(ctx context.Context, l link, managed bool) error {
	dev, err := b.nmDevicePath(ctx, l)
	if err != nil {
		return err
	}
	return b.call(ctx, dev, "org.freedesktop.DBus.Properties.Set", []any{nmDevice, "Managed", dbus.MakeVariant(managed)})
}

// activate brings up a device that lies idle though a profile fits it. On the way
// back the profile is gone and the device stays down.
func (x *Actor) activate(ctx context.Context, b *bus, l link) error {
	dev, err := b.nmDevicePath(ctx, l)
	if err != nil {
		if named(err, nmName+".UnknownDevice") {
			return nil
		}
		return err
	}
	state, err := property[uint32](ctx, b, dev, nmDevice, "State")
	if err != nil || state != nmDisconnected {
		return err
	}
	fits, err := property[[]dbus.ObjectPath](ctx, b, dev, nmDevice, "AvailableConnections")
	if err != nil || len(fits) == 0 {
		return err
	}
	var ac dbus.ObjectPath
	err = b.call(ctx, nmPath, nmName+".ActivateConnection", []any{fits[0], dev, dbus.ObjectPath("/")}, &ac)
	if err != nil {
		// A profile with autoconnect may have won the race.
		if now, e := property[uint32](ctx, b, dev, nmDevice, "State"); e == nil && now > nmDisconnected && now <= nmActivated {
			return nil
		}
	}
	return err
}

func (b *bus) nmDevicePath(ctx context.Context, l link) (dbus.ObjectPath, error) {
	var dev dbus.ObjectPath
	return dev, b.call(ctx, nmPath, nmName+".GetDeviceByIpIface", []any{l.name}, &dev)
}

// nmStanding maps the device state.
func (b *bus) nmStanding(ctx context.Context, l link) (standing, error) {
	starting, err := property[bool](ctx, b, nmPath, nmName, "Startup")
	if err != nil {
		if unborn(err) {
			return busy, nil
		}
		return busy, err
	}
	dev, err := b.nmDevicePath(ctx, l)
	var state uint32
	if err == nil {
		state, err = property[uint32](ctx, b, dev, nmDevice, "State")
	}
	if err != nil {
		if unborn(err) {
			if starting || !named(err, nmName+".UnknownDevice") {
				return busy, nil
			}
			return off, nil
		}
		return busy, fmt.Errorf("cannot ask NetworkManager about %s: %w", l.name, err)
	}
	switch {
	case state == nmActivated:
		return ready, nil
	case starting:
		return busy, nil
	case state <= nmDisconnected || state == nmFailed:
		return off, nil
	}
	return busy, nil
}

func (x *Actor) networkManagerRestart(ctx context.Context, r request) error {
	c, err := x.systemd(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	on, err := x.active(ctx, c, nmUnit)
	if err != nil {
		return err
	}
	if !on {
		return x.revive(ctx, c, nmUnit)
	}
	b, err := x.dial(ctx, nmName, "NetworkManager")
	if errors.Is(err, errNoBus) {
		return nil // NetworkManager does not run without one
	}
	if err != nil || b == nil {
		return err
	}
	defer b.close()
	links, err := x.resolve(ctx, r.selectors)
	if err != nil {
		return err
	}
	if r.probe {
		if err := x.probeAll(ctx, links); err != nil {
			return err
		}
	}
	d := disturbance{name: "NetworkManager", links: links, standing: b.nmStanding, kick: make(chan struct{}, 1)}
	if err := b.watch(ctx, d.kick); err != nil {
		return err
	}
	d.do = func(ctx context.Context) error {
		return x.restart(ctx, c, nmUnit)
	}
	return x.around(ctx, d)
}

// atLeast compares the version "1.42.4" with major.minor.
func atLeast(version string, major, minor int) (bool, error) {
	w := strings.SplitN(version, ".", 3)
	if len(w) >= 2 {
		a, err1 := strconv.Atoi(w[0])
		i, err2 := strconv.Atoi(w[1])
		if err1 == nil && err2 == nil {
			return a > major || a == major && i >= minor, nil
		}
	}
	return false, fmt.Errorf("NetworkManager says its version is %q", version)
}
