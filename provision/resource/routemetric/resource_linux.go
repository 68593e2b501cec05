package routemetric

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/netdev"
	"golang.org/x/sys/unix"
)

// Resource is the metric of default routes in the calling thread's network
// namespace. The zero value is kind "route-metric".
type Resource struct {
	// Daemon leaves adding to the daemon that owns the routes: kind
	// "daemon-route-metric".
	Daemon bool
}

var (
	_ provision.Resource = Resource{}
	_ provision.Lister   = Resource{}
)

// parse splits a reference's name.
func parse(name string) (family uint8, selector string, err error) {
	word, selector, _ := strings.Cut(name, " ")
	switch word {
	case "inet":
		family = unix.AF_INET
	case "inet6":
		family = unix.AF_INET6
	default:
		return 0, "", fmt.Errorf("route metric %q: want \"inet SELECTOR\" or \"inet6 SELECTOR\"", name)
	}
	if _, err := netdev.Parse(selector); err != nil {
		return 0, "", fmt.Errorf("route metric %q: %w", name, err)
	}
	return family, selector, nil
}

// Parse reads the canonical text of Format.
func Parse(text string) ([]uint32, error) {
	var out []uint32
	for _, part := range strings.Split(text, ",") {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("metrics %q: want ascending numbers with commas", text)
		}
		out = append(out, uint32(n))
	}
	if Format(out...) != text {
		return nil, fmt.Errorf("metrics %q: want ascending numbers with commas", text)
	}
	return out, nil
}

// world is one look at devices and default routes.
type world struct {
	table  *netdev.Table
	routes map[uint8][]route
}

func look(ctx context.Context, names []string) (world, error) {
	w := world{routes: map[uint8][]route{}}
	var errs []error
	for _, name := range names {
		family, _, err := parse(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if _, ok := w.routes[family]; ok {
			continue
		}
		if w.routes[family], err = dump(ctx, family); err != nil {
			return w, err
		}
	}
	if len(errs) > 0 {
		return w, errors.Join(errs...)
	}
	var err error
	w.table, err = netdev.Read(ctx)
	return w, err
}

// units returns the device of name and what leaves through it.
func (w world) units(name string) (netdev.Device, []unit, error) {
	family, selector, err := parse(name)
	if err != nil {
		return netdev.Device{}, nil, err
	}
	d, ok, err := w.table.Find(selector)
	if err != nil || !ok {
		return netdev.Device{}, nil, err
	}
	return d, units(w.routes[family], d.Index), nil
}

func attrs(us []unit) provision.Attrs {
	if len(us) == 0 {
		return nil
	}
	return provision.Attrs{AttrMetrics: Format(metricsOf(us)...)}
}

// Delegated implements provision.Delegate.
func (r Resource) Delegated() bool { return r.Daemon }

// Get implements provision.Resource.
func (r Resource) Get(ctx context.Context, name string) (provision.Attrs, error) {
	all, err := r.List(ctx, []string{name})
	return all[name], err
}

// List implements provision.Lister.
func (Resource) List(ctx context.Context, names []string) (map[string]provision.Attrs, error) {
	w, err := look(ctx, names)
	if err != nil {
		return nil, err
	}
	out := make(map[string]provision.Attrs, len(names))
	var errs []error
	for _, name := range names {
		_, us, err := w.units(name)
		errs = append(errs, err)
		if a := attrs(us); a != nil {
			out[name] = a
		}
	}
	return out, errors.Join(errs...)
}

// Set implements provision.Resource. Routes that do not exist are not invented:
// that is provision.ErrPending, and so is everything that only the daemon can do.
func (r Resource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	w, err := look(ctx, []string{name})
	if err != nil {
		return err
	}
	d, us, err := w.units(name)
	if err != nil {
		return err
	}
	now := attrs(us)
	if (now == nil) != (have == nil) || now[AttrMetrics] != have[AttrMetrics] {
		return fmt.Errorf("default routes of %s: %w", name, provision.ErrStale)
	}
	for k := range want {
		if k != AttrMetrics {
			return fmt.Errorf("cannot set %s of default routes of %s: unknown attribute", k, name)
		}
	}
	switch text, listed := want[AttrMetrics]; {
	case want == nil && now == nil:
		return nil
	case want == nil && r.Daemon:
		return fmt.Errorf("the default routes of %s go when their daemon takes them away: %w", d.Name, provision.ErrPending)
	case want == nil:
		return r.make(ctx, name, d, us, change{drop: us}, nil)
	case !listed:
		return nil
	default:
		metrics, err := Parse(text)
		if err != nil {
			return err
		}
		if now == nil {
			return fmt.Errorf("%s has no default route yet: %w", name, provision.ErrPending)
		}
		if !r.Daemon {
			return r.make(ctx, name, d, us, move(us, metrics), metrics)
		}
		if !overlap(metricsOf(us), metrics) {
			return fmt.Errorf("%s has default routes with metric %s only, its daemon has not brought %s: %w", d.Name, now[AttrMetrics], text, provision.ErrPending)
		}
		return r.make(ctx, name, d, us, prune(us, metrics), metrics)
	}
}

func overlap(a, b []uint32) bool {
	return slices.ContainsFunc(a, func(m uint32) bool { return slices.Contains(b, m) })
}

// make carries a change out: add, look, only then delete, and look again.
func (r Resource) make(ctx context.Context, name string, d netdev.Device, before []unit, c change, want []uint32) error {
	var added []route
	undo := func(err error) error {
		for _, a := range slices.Backward(added) {
			err = errors.Join(err, remove(a))
		}
		return err
	}
	for _, a := range c.add {
		fresh, err := insert(a)
		if err != nil {
			return undo(explain(fmt.Sprintf("cannot give the default route of %s metric %d", d.Name, a.metric), err))
		}
		if fresh {
			added = append(added, a)
		}
	}
	is, err := reached(ctx, name, d)
	if err != nil {
		return undo(err)
	}
	for _, a := range c.add {
		if !slices.Contains(metricsOf(is), a.metric) {
			return undo(fmt.Errorf("the default route of %s with metric %d was taken away at once: %w", d.Name, a.metric, provision.ErrStale))
		}
	}
	for _, u := range c.drop {
		if err := drop(u); err != nil {
			return explain(fmt.Sprintf("cannot delete the default route of %s with metric %d", d.Name, u.metric), err)
		}
	}
	is, err = reached(ctx, name, d)
	if err != nil {
		return err
	}
	switch got := metricsOf(is); {
	case slices.Equal(got, want):
		return nil
	case !overlap(got, want) && len(want) > 0:
		// IPv4 takes "metric 0" in a deletion for any metric, so with bad luck the
		// wrong one went: a daemon had deleted the right one a moment before.
		return errors.Join(restore(before, c), fmt.Errorf("default routes of %s changed while they were moved: %w", d.Name, provision.ErrStale))
	case r.Daemon && subset(got, want):
		return fmt.Errorf("%s has default routes with metric %s, its daemon has not brought the others of %s: %w", d.Name, Format(got...), Format(want...), provision.ErrPending)
	default:
		return fmt.Errorf("somebody put a default route of %s back, they have metrics %s: %w", d.Name, Format(got...), provision.ErrStale)
	}
}

func subset(a, b []uint32) bool {
	return !slices.ContainsFunc(a, func(m uint32) bool { return !slices.Contains(b, m) })
}

// reached looks again. The device is the one that was found before: if it has gone
// meanwhile, so have its routes.
func reached(ctx context.Context, name string, d netdev.Device) ([]unit, error) {
	family, _, err := parse(name)
	if err != nil {
		return nil, err
	}
	routes, err := dump(ctx, family)
	return units(routes, d.Index), err
}

// drop deletes a unit. A route that is shared with other devices is deleted as a
// whole, after its other hops are there as a route of their own.
func drop(u unit) error {
	if u.whole == nil {
		return remove(u.route)
	}
	if _, err := insert(u.whole.with(u.others)); err != nil {
		return err
	}
	return remove(*u.whole)
}

// restore adds again what was there or was meant to be.
func restore(before []unit, c change) error {
	again := c.add
	if len(again) == 0 {
		for _, u := range before {
			if !slices.ContainsFunc(c.drop, func(d unit) bool { return d.metric == u.metric }) {
				again = append(again, u.route)
			}
		}
	}
	var errs []error
	for _, r := range again {
		_, err := insert(r)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func explain(what string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%s: run as root: %w", what, err)
	case errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("%s: the device went down or away: %w: %w", what, err, provision.ErrStale)
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH):
		return fmt.Errorf("%s: its gateway is not on a connected network any more: %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
