package route

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/rtnl"
)

// Resource is the routes of the calling thread's network namespace. The zero value is ready for
// use.
type Resource struct{}

var (
	_ provision.Resource = Resource{}
	_ provision.Lister   = Resource{}
	_ provision.Batcher  = Resource{}
	_ provision.Author   = Resource{}
)

// Wrote implements provision.Author.
func (Resource) Wrote(have provision.Attrs) bool { return have[AttrProto] == ours }

// Get implements provision.Resource.
func (r Resource) Get(ctx context.Context, name string) (provision.Attrs, error) {
	all, err := r.List(ctx, []string{name})
	return all[name], err
}

// List implements provision.Lister: one dump of a family answers for all its names.
func (Resource) List(ctx context.Context, names []string) (map[string]provision.Attrs, error) {
	w, asks, err := look(ctx, names)
	if w == nil {
		return nil, err
	}
	out := make(map[string]provision.Attrs, len(names))
	for _, a := range asks {
		if r := w.get(a); r != nil {
			out[a.name] = r.attrs()
		}
	}
	return out, err
}

// Set implements provision.Resource. It is provision.ErrPending while the device is missing or
// down, and while gateway or source address are not there.
func (r Resource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	return r.SetAll(ctx, []provision.Step{{Name: name, Have: have, Want: want}})
}

// SetAll implements provision.Batcher. The kernel has no transactions for routes: what was done is
// undone when something fails.
func (Resource) SetAll(ctx context.Context, steps []provision.Step) error {
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = s.Name
	}
	w, asks, err := look(ctx, names)
	if err != nil {
		return err
	}
	changes := make([]change, 0, len(steps))
	for i, s := range steps {
		c, err := w.change(ctx, asks[i], s)
		if err != nil {
			return err
		}
		if c.differs() {
			changes = append(changes, c)
		}
	}
	if len(changes) == 0 {
		return nil
	}
	conn, err := rtnl.Open()
	if err != nil {
		return err
	}
	defer conn.Close()
	h := hand{ctx: ctx, conn: conn, world: w}
	for _, c := range changes {
		if err := h.make(c); err != nil {
			return h.undo(err)
		}
	}
	if err := h.verify(names, changes); err != nil {
		return h.undo(err)
	}
	return nil
}

// change is what one step does: to nil is a removal, from nil an addition.
type change struct {
	ask
	from, to *live
}

func (c change) differs() bool {
	if c.from == nil || c.to == nil {
		return c.from != c.to
	}
	return !c.from.same(*c.to)
}

// same compares what attributes tell.
func (r live) same(o live) bool { return maps.Equal(r.attrs(), o.attrs()) }

func (w *world) change(ctx context.Context, a ask, s provision.Step) (change, error) {
	c := change{ask: a, from: w.get(a)}
	var now provision.Attrs
	if c.from != nil {
		now = c.from.attrs()
	}
	if stale(now, s.Have, s.Want) {
		return c, fmt.Errorf("route %s: %w", a.name, provision.ErrStale)
	}
	if s.Want == nil {
		if c.from == nil {
			return c, nil
		}
		return c, c.mayTouch()
	}
	if !a.present {
		return c, fmt.Errorf("route %s: there is no such device yet: %w", a.name, provision.ErrPending)
	}
	to := live{place: a.place, proto: Protocol, plain: true}
	if c.from != nil {
		to = *c.from
	}
	if err := to.set(a.name, s.Want); err != nil {
		return c, err
	}
	c.to = &to
	if !c.differs() {
		return c, nil
	}
	if c.from != nil {
		if err := c.mayTouch(); err != nil {
			return c, err
		}
	}
	if a.index != 0 && !a.dev.Up {
		return c, fmt.Errorf("route %s: %s is down: %w", a.name, a.dev.Name, provision.ErrPending)
	}
	for _, o := range w.row(a.row) {
		if o.proto != Protocol && (c.from == nil || o != *c.from) {
			return c, fmt.Errorf("cannot add route %s: %s already has a route to there with this metric; choose another metric or table", a.name, maker(o.proto))
		}
	}
	if to.source.IsValid() {
		ok, err := onMachine(ctx, to.source)
		if err == nil && !ok {
			err = fmt.Errorf("route %s: this machine does not have the source address %s yet: %w", a.name, to.source, provision.ErrPending)
		}
		return c, err
	}
	return c, nil
}

// mayTouch says why the route that is there must stay as it is.
func (c change) mayTouch() error {
	switch {
	case c.from.proto == Protocol:
		return nil
	case !byHand(c.from.proto):
		return fmt.Errorf("cannot change route %s: %s keeps it; leave it to that, or choose another metric or table", c.name, maker(c.from.proto))
	case !c.from.plain:
		return fmt.Errorf("cannot change route %s: %s made it with more than can be put back afterwards; delete it, or choose another metric or table", c.name, maker(c.from.proto))
	}
	return nil
}

// stale reports whether now is no longer have, as far as want is about it.
func stale(now, have, want provision.Attrs) bool {
	if (now == nil) != (have == nil) {
		return true
	}
	keys := slices.Collect(maps.Keys(want))
	if want == nil {
		keys = slices.Collect(maps.Keys(now))
	}
	return slices.ContainsFunc(keys, func(k string) bool { return now[k] != have[k] })
}
