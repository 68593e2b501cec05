package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// bus is a connection for one action, with a limit for each answer.
type bus struct {
	conn   *dbus.Conn
	name   string // the well-known name of the daemon
	people string // its name for people
	limit  time.Duration
}

// dial opens the message bus for a daemon; nil without error means that the daemon
// does not run.
func (x *Actor) dial(ctx context.Context, name, people string) (*bus, error) {
	limit := orElse(x.CallTimeout, 10*time.Second)
	open := x.Bus
	if open == nil {
		open = func(ctx context.Context) (*dbus.Conn, error) {
			return dbus.ConnectSystemBus(dbus.WithContext(ctx))
		}
	}
	got := make(chan dialled, 1)
	go func() {
		c, err := open(context.WithoutCancel(ctx)) // the connection ends by Close
		got <- dialled{c, err}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	var conn *dbus.Conn
	select {
	case r := <-got:
		if errors.Is(r.err, unix.ENOENT) || errors.Is(r.err, unix.ECONNREFUSED) {
			return nil, fmt.Errorf("%w: %w", errNoBus, r.err)
		}
		if r.err != nil {
			return nil, fmt.Errorf("cannot reach the message bus that %s is on: %w", people, r.err)
		}
		conn = r.conn
	case <-timer.C:
		err := fmt.Errorf("the message bus that %s is on does not answer within %v", people, limit)
		go late(got)
		return nil, err
	case <-ctx.Done():
		go late(got)
		return nil, ctx.Err()
	}
	b := &bus{conn: conn, name: name, people: people, limit: limit}
	running, err := b.running(ctx)
	if err == nil && !running {
		running, err = x.born(ctx, b)
	}
	if err != nil || !running {
		conn.Close()
		if err == nil {
			x.log().Info("daemon does not run, nothing to do", "daemon", people)
		}
		return nil, err
	}
	return b, nil
}

// errNoBus says that no message bus runs.
var errNoBus = errors.New("there is no message bus")

type dialled struct {
	conn *dbus.Conn
	err  error
}

// late closes a connection that came when nobody waited any more.
func late(got chan dialled) {
	if r := <-got; r.err == nil {
		r.conn.Close()
	}
}

func (b *bus) close() { b.conn.Close() }

// running asks for an owner of the name without starting one.
func (b *bus) running(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, b.limit)
	defer cancel()
	var has bool
	err := b.conn.BusObject().CallWithContext(ctx, "org.freedesktop.DBus.NameHasOwner", 0, b.name).Store(&has)
	if err != nil {
		return false, b.explain(ctx, "the message bus", err)
	}
	return has, nil
}

// born waits for a daemon that systemd has started and that is not on the message bus
// yet: it may have read its files already, so it must hear of what changed since.
func (x *Actor) born(ctx context.Context, b *bus) (bool, error) {
	unit := map[string]string{networkdName: networkdUnit, nmName: nmUnit}[b.name]
	c, err := x.systemd(ctx)
	if err != nil {
		x.log().Debug("cannot ask whether the daemon is starting", "daemon", b.people, "error", err)
		return false, nil
	}
	defer c.Close()
	limit := time.NewTimer(b.limit)
	defer limit.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		on, err := x.active(ctx, c, unit)
		if err != nil {
			x.log().Debug("cannot ask whether the daemon is starting", "daemon", b.people, "error", err)
		}
		if err != nil || !on {
			return false, nil
		}
		if running, err := b.running(ctx); err != nil || running {
			return running, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false, ctx.Err()
		case <-limit.C:
			return false, fmt.Errorf("%s hangs: %s has been started and has not come to the message bus within %v", b.people, unit, b.limit)
		}
	}
}

// call calls a method and stores its results.
func (b *bus) call(ctx context.Context, path dbus.ObjectPath, method string, args []any, results ...any) error {
	cctx, cancel := context.WithTimeout(ctx, b.limit)
	defer cancel()
	c := b.conn.Object(b.name, path).CallWithContext(cctx, method, dbus.FlagNoAutoStart, args...)
	if c.Err != nil {
		return b.explain(ctx, b.people, c.Err)
	}
	if len(results) == 0 {
		return nil
	}
	if err := c.Store(results...); err != nil {
		return fmt.Errorf("%s answered %s with something else: %w", b.people, method, err)
	}
	return nil
}

// explain turns a missing answer into words. parent distinguishes our limit from the
// caller's end.
func (b *bus) explain(parent context.Context, who string, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && parent.Err() == nil || errors.Is(err, context.DeadlineExceeded) && who == "the message bus" {
		return fmt.Errorf("%s hangs: no answer on D-Bus within %v", who, b.limit)
	}
	return err
}

// property reads one property; a value of another type is an error.
func property[T any](ctx context.Context, b *bus, path dbus.ObjectPath, iface, name string) (T, error) {
	var v dbus.Variant
	var zero T
	if err := b.call(ctx, path, "org.freedesktop.DBus.Properties.Get", []any{iface, name}, &v); err != nil {
		return zero, err
	}
	t, ok := v.Value().(T)
	if !ok {
		return zero, fmt.Errorf("%s gives %s as %s", b.people, name, v.Signature())
	}
	return t, nil
}

// watch pokes kick at each signal of the daemon until the connection closes.
func (b *bus) watch(ctx context.Context, kick chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, b.limit)
	defer cancel()
	if err := b.conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(b.name)); err != nil {
		return b.explain(ctx, "the message bus", err)
	}
	ch := make(chan *dbus.Signal, 64)
	b.conn.Signal(ch)
	go func() {
		for range ch { // closed with the connection
			poke(kick)
		}
	}()
	return nil
}

// named reports whether err is the D-Bus error of that name.
func named(err error, names ...string) bool {
	var e dbus.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, n := range names {
		if e.Name == n {
			return true
		}
	}
	return false
}

// systemd opens the service manager. One that is frozen still accepts connections and
// then says nothing.
func (x *Actor) systemd(ctx context.Context) (*sd.Conn, error) {
	open := x.Systemd
	if open == nil {
		open = func(ctx context.Context) (*sd.Conn, error) {
			c, err := sd.NewSystemdConnectionContext(ctx)
			if err != nil && ctx.Err() == nil {
				var e error
				if c, e = sd.NewSystemConnectionContext(ctx); e != nil {
					return nil, fmt.Errorf("cannot reach systemd: %w", errors.Join(err, e))
				}
				err = nil
			}
			return c, err
		}
	}
	limit := orElse(x.CallTimeout, 10*time.Second)
	// The connection lives as long as its context: only a late one is ended by it.
	cctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(limit, cancel)
	c, err := open(cctx)
	if !timer.Stop() && ctx.Err() == nil {
		if err == nil {
			c.Close()
		}
		return nil, fmt.Errorf("systemd hangs: no connection within %v", limit)
	}
	if err != nil {
		cancel()
	}
	return c, err
}

// active reports whether a unit runs.
func (x *Actor) active(ctx context.Context, c *sd.Conn, unit string) (bool, error) {
	s, err := x.unitState(ctx, c, unit)
	return s == "active" || s == "reloading" || s == "activating" || s == "refreshing", err
}

// unitState asks for ActiveState (org.freedesktop.systemd1(5)).
func (x *Actor) unitState(ctx context.Context, c *sd.Conn, unit string) (string, error) {
	limit := orElse(x.CallTimeout, 10*time.Second)
	cctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	p, err := c.GetUnitPropertyContext(cctx, unit, "ActiveState")
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return "", fmt.Errorf("systemd hangs: no answer on D-Bus within %v", limit)
		}
		return "", fmt.Errorf("cannot ask systemd about %s: %w", unit, err)
	}
	s, _ := p.Value.Value().(string)
	return s, nil
}

// restart restarts a unit and waits until it runs.
func (x *Actor) restart(ctx context.Context, c *sd.Conn, unit string) error {
	return x.job(ctx, unit, func(ctx context.Context, ch chan<- string) (int, error) {
		// This also forgets earlier starts: the sixth within ten seconds would be
		// refused and leave the unit stopped (systemd.unit(5), StartLimitBurst=).
		if err := c.ResetFailedUnitContext(ctx, unit); err != nil {
			x.log().Debug("cannot reset the start limit", "unit", unit, "error", err)
		}
		return c.RestartUnitContext(ctx, unit, "replace", ch)
	})
}

// revive starts a unit that has failed, and leaves one that was stopped. A daemon that
// did not survive the restart with the new files needs another one on the way back.
func (x *Actor) revive(ctx context.Context, c *sd.Conn, unit string) error {
	s, err := x.unitState(ctx, c, unit)
	if err != nil || s != "failed" {
		return err
	}
	x.log().Warn("the unit had failed, starting it again", "unit", unit)
	return x.restart(ctx, c, unit)
}

// job waits for a job of systemd that start queues.
func (x *Actor) job(ctx context.Context, unit string, start func(context.Context, chan<- string) (int, error)) error {
	limit := orElse(x.RestartTimeout, 30*time.Second)
	cctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ch := make(chan string, 1)
	_, err := start(cctx, ch)
	if err == nil {
		select {
		case result := <-ch:
			if result != "done" {
				return fmt.Errorf("%s: systemd says %q; see journalctl -u %s", unit, result, unit)
			}
			return nil
		case <-cctx.Done():
			err = cctx.Err()
		}
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return fmt.Errorf("%s did not restart within %v; see journalctl -u %s", unit, limit, unit)
	}
	return fmt.Errorf("%s: %w", unit, err)
}
