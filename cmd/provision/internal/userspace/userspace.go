// Package userspace makes WireGuard devices where the kernel cannot: each is a process of this
// program, supervised by systemd where that is the init system, else detached.
package userspace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/provision-net/provision/provision/resource/unit"
)

// Dir is where units are written that are forgotten at a boot (systemd.unit(5)).
const Dir = "/run/systemd/system"

// template is the name of the unit's file.
const template = "provision-wireguard@.service"

// Starter starts a process that is not supervised.
type Starter interface {
	Start(ctx context.Context, name string) error
	Stop(ctx context.Context, name string) error
}

// Devices implements wireguard.Userspace.
type Devices struct {
	Detached Starter
	// Unit is the text of the template; empty: systemd cannot start the program.
	Unit string
	// Open connects to systemd; nil, nil means that it is not the init system here.
	Open func(ctx context.Context) (unit.Manager, error)
	// Home reports whether systemd's processes are in the network namespace of this thread.
	Home func() bool
	Dir  string // empty for the directory of that name
	Log  *slog.Logger
}

// Start implements wireguard.Userspace.
func (d *Devices) Start(ctx context.Context, name string) error {
	m, err := d.manager(ctx)
	if err != nil {
		return err
	}
	if m == nil {
		return d.Detached.Start(ctx, name)
	}
	defer m.Close()
	if err := d.install(ctx, m); err != nil {
		return err
	}
	u := Unit(name)
	if err := m.Restart(ctx, u); err != nil {
		return fmt.Errorf("cannot start the WireGuard device %s: %w; `journalctl -u '%s'` says why", name, err, u)
	}
	return nil
}

// Stop implements wireguard.Userspace.
func (d *Devices) Stop(ctx context.Context, name string) error {
	m, err := d.manager(ctx)
	if err != nil {
		return err
	}
	if m != nil {
		defer m.Close()
		// One that is not systemd's (the program was somewhere else then) goes with its device.
		if err := m.Stop(ctx, Unit(name)); err != nil {
			d.Log.Debug("systemd does not stop the device", "unit", Unit(name), "error", err)
		}
	}
	return d.Detached.Stop(ctx, name)
}

// manager is systemd where it can carry the devices of this thread's namespace.
func (d *Devices) manager(ctx context.Context) (unit.Manager, error) {
	if d.Unit == "" || !d.Home() {
		return nil, nil
	}
	m, err := d.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot ask systemd for a WireGuard device: %w", err)
	}
	return m, nil
}

// install writes the template where it is not there or another one.
func (d *Devices) install(ctx context.Context, m unit.Manager) error {
	dir := d.Dir
	if dir == "" {
		dir = Dir
	}
	path := filepath.Join(dir, template)
	have, err := os.ReadFile(path)
	if err == nil && string(have) == d.Unit {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot install the unit of WireGuard devices: %w", err)
	}
	next := path + ".new"
	if err := os.WriteFile(next, []byte(d.Unit), 0o644); err != nil {
		return fmt.Errorf("cannot install the unit of WireGuard devices: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("cannot install the unit of WireGuard devices: %w", err)
	}
	if err := m.Reload(ctx); err != nil {
		return fmt.Errorf("systemd does not read its unit files again: %w", err)
	}
	return nil
}

// Unit is the unit of a device, its name escaped as in systemd.unit(5).
func Unit(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == ':', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	return strings.Replace(template, "@", "@"+b.String(), 1)
}
