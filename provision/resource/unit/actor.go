package unit

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/provision-net/provision/provision"
)

// Manager is what is needed of systemd.
type Manager interface {
	// Reload reads the unit files again (daemon-reload).
	Reload(ctx context.Context) error
	// State returns LoadState and ActiveState (org.freedesktop.systemd1(5)).
	State(ctx context.Context, unit string) (load, active string, err error)
	Restart(ctx context.Context, unit string) error
	Stop(ctx context.Context, unit string) error
	Close()
}

// Actor carries out Action.
type Actor struct {
	// Open connects to systemd; nil, nil means that it is not the init system here.
	Open func(ctx context.Context) (Manager, error)
	Log  *slog.Logger
	// Limit bounds one action; zero is 30 s.
	Limit time.Duration
}

var _ provision.Actor = (*Actor)(nil)

// Do implements provision.Actor.
func (x *Actor) Do(ctx context.Context, a provision.Action) error {
	name := a.Args[argUnit]
	if a.Kind != Kind || len(a.Args) != 1 || !valid(name) {
		return fmt.Errorf("cannot carry out %s %v: want the name of one unit", a.Kind, a.Args)
	}
	limit := x.Limit
	if limit == 0 {
		limit = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	m, err := x.Open(ctx)
	if err != nil {
		return fmt.Errorf("cannot ask systemd for %s: %w", name, err)
	}
	if m == nil {
		x.Log.Info("systemd is not the init system here, so nothing is started", "unit", name)
		return nil
	}
	defer m.Close()
	if err := m.Reload(ctx); err != nil {
		return fmt.Errorf("systemd does not read its unit files again: %w", err)
	}
	load, active, err := m.State(ctx, name)
	if err != nil {
		return fmt.Errorf("systemd does not tell about %s: %w", name, err)
	}
	switch load {
	case "loaded":
		if err := m.Restart(ctx, name); err != nil {
			return fmt.Errorf("systemd does not start %s: %w; `systemctl status %s` says more", name, err, name)
		}
	case "masked":
		x.Log.Warn("the unit is masked, so it is not started", "unit", name)
	case "not-found":
		if active == "inactive" || active == "failed" {
			return nil
		}
		if err := m.Stop(ctx, name); err != nil {
			return fmt.Errorf("systemd does not stop %s: %w", name, err)
		}
	default:
		return fmt.Errorf("systemd has %s as %s", name, load)
	}
	return nil
}

// valid reports whether name is a plain service's name.
func valid(name string) bool {
	base, ok := strings.CutSuffix(name, ".service")
	return ok && base != "" && !strings.ContainsFunc(base, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}
