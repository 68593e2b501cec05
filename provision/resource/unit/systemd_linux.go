package unit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	sd "github.com/coreos/go-systemd/v22/dbus"
)

// Systemd connects to systemd; nil, nil when it is not the init system (sd_booted(3)).
func Systemd(ctx context.Context) (Manager, error) {
	if _, err := os.Lstat("/run/systemd/system"); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	// The private socket answers root also while no message bus runs, as early in the boot.
	c, err := sd.NewSystemdConnectionContext(ctx)
	if err != nil {
		if c, err = sd.NewSystemConnectionContext(ctx); err != nil {
			return nil, err
		}
	}
	return manager{c}, nil
}

type manager struct{ c *sd.Conn }

func (m manager) Close() { m.c.Close() }

func (m manager) Reload(ctx context.Context) error { return m.c.ReloadContext(ctx) }

func (m manager) State(ctx context.Context, unit string) (State, error) {
	all, err := m.c.GetUnitPropertiesContext(ctx, unit)
	if err != nil {
		return State{}, err
	}
	var s State
	s.Load, _ = all["LoadState"].(string)
	s.Active, _ = all["ActiveState"].(string)
	s.Stale, _ = all["NeedDaemonReload"].(bool)
	return s, nil
}

func (m manager) Restart(ctx context.Context, unit string) error {
	// A unit that failed too often before does not start again by itself.
	_ = m.c.ResetFailedUnitContext(ctx, unit)
	return m.job(ctx, unit, m.c.RestartUnitContext)
}

func (m manager) Stop(ctx context.Context, unit string) error {
	return m.job(ctx, unit, m.c.StopUnitContext)
}

func (m manager) job(ctx context.Context, unit string, start func(context.Context, string, string, chan<- string) (int, error)) error {
	done := make(chan string, 1)
	if _, err := start(ctx, unit, "replace", done); err != nil {
		return err
	}
	select {
	case result := <-done:
		if result != "done" && result != "skipped" {
			return fmt.Errorf("its job ended as %s", result)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("its job does not end: %w", ctx.Err())
	}
}
