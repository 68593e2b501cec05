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
	State(ctx context.Context, unit string) (State, error)
	Restart(ctx context.Context, unit string) error
	Stop(ctx context.Context, unit string) error
	Close()
}

// State is what systemd has of a unit (org.freedesktop.systemd1(5)). Asked for one that it does not have yet, it looks for the file.
type State struct {
	Load, Active string // LoadState, ActiveState
	Stale        bool   // NeedDaemonReload: the file has changed, or gone, since it was read
}

// Actor carries out Action.
type Actor struct {
	// Open connects to systemd; nil, nil means that it is not the init system here.
	Open func(ctx context.Context) (Manager, error)
	Log  *slog.Logger
	// Limit bounds one start or stop; zero is 90 s, systemd's own for them (DefaultTimeoutStartSec). Reading the files again
	// may take twice that: generators run then, each for up to 90 s (DAEMON_RELOAD_TIMEOUT_SEC in systemd's def.h).
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
		limit = 90 * time.Second
	}
	ctx, cancel := context.WithCancel(ctx) // the connection ends with it
	defer cancel()
	late := time.AfterFunc(limit, cancel)
	m, err := x.Open(ctx)
	late.Stop()
	if err != nil {
		return fmt.Errorf("cannot ask systemd for %s: %w", name, err)
	}
	if m == nil {
		x.Log.Info("systemd is not the init system here, so nothing is started", "unit", name)
		return nil
	}
	defer m.Close()
	s, err := known(ctx, m, name, 2*limit)
	if err != nil {
		return err
	}
	ctx, cancel = context.WithTimeout(ctx, limit)
	defer cancel()
	switch s.Load {
	case "loaded":
		if err := m.Restart(ctx, name); err != nil {
			return fmt.Errorf("systemd does not start %s: %w; `systemctl status %s` says more", name, err, name)
		}
	case "masked":
		x.Log.Warn("the unit is masked, so it is not started", "unit", name)
	case "not-found":
		if s.Active == "inactive" || s.Active == "failed" {
			return nil
		}
		if err := m.Stop(ctx, name); err != nil {
			return fmt.Errorf("systemd does not stop %s: %w", name, err)
		}
	default:
		return fmt.Errorf("systemd has %s as %s", name, s.Load)
	}
	return nil
}

// known is what systemd has of a unit once it knows the file as it is. All files are read again only where they have to be:
// that takes seconds on a small board, and nothing else is started meanwhile. A file that has just come is found without
// (since systemd 246, which looks whether its folders have changed).
func known(ctx context.Context, m Manager, name string, limit time.Duration) (State, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	s, err := m.State(ctx, name)
	if err == nil && (s.Stale || s.Load != "loaded") {
		if err = m.Reload(ctx); err != nil {
			return s, fmt.Errorf("systemd does not read its unit files again: %w", err)
		}
		s, err = m.State(ctx, name)
	}
	if err != nil {
		return s, fmt.Errorf("systemd does not tell about %s: %w", name, err)
	}
	return s, nil
}

// valid reports whether name is a plain service's name.
func valid(name string) bool {
	base, ok := strings.CutSuffix(name, ".service")
	return ok && base != "" && !strings.ContainsFunc(base, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}
