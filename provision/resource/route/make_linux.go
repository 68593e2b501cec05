package route

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/rtnl"
	"golang.org/x/sys/unix"
)

// hand makes changes and remembers how to undo them.
type hand struct {
	ctx   context.Context
	conn  *rtnl.Conn
	world *world
	back  []func() error
}

func (h *hand) undo(err error) error {
	for _, f := range slices.Backward(h.back) {
		err = errors.Join(err, f())
	}
	return err
}

func (h *hand) make(c change) error {
	switch {
	case c.from == nil:
		if err := h.insert(c, *c.to, true); err != nil {
			return err
		}
		h.back = append(h.back, func() error { return h.remove(c, *c.to) })
	case c.to == nil:
		if err := h.remove(c, *c.from); err != nil {
			return err
		}
		h.back = append(h.back, func() error { return h.insert(c, *c.from, false) })
	default:
		if err := h.turn(c, *c.from, *c.to); err != nil {
			return err
		}
		h.back = append(h.back, func() error { return h.turn(c, *c.to, *c.from) })
	}
	return nil
}

// turn brings one route to another form: the new one is added before the old one goes. IPv4 keeps
// both for that moment. So does IPv6 if their next hops differ (it uses both); otherwise they are
// the same to it (net/ipv6/ip6_fib.c rt6_duplicate_nexthop), and it puts one in the other's place.
func (h *hand) turn(c change, from, to live) error {
	if from.family == unix.AF_INET6 && from.gateway == to.gateway {
		return h.replace(c, from, to)
	}
	if err := h.insert(c, to, false); err != nil {
		return err
	}
	if err := h.remove(c, from); err != nil {
		return errors.Join(err, h.remove(c, to))
	}
	return nil
}

// replace puts a route in the place of another one with the same next hop. The kernel would put it
// in the place of all that share the metric, so with others about it is taken out first.
func (h *hand) replace(c change, from, to live) error {
	if len(h.world.row(from.row)) > 1 {
		if err := h.remove(c, from); err != nil {
			return err
		}
		if err := h.insert(c, to, false); err != nil {
			return errors.Join(err, h.insert(c, from, false))
		}
		return nil
	}
	return h.explain(c, to, h.conn.Do(h.ctx, unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, to.add()))
}

// insert adds a route behind those that are there. fresh demands that there is none of anybody
// else by now; NLM_F_EXCL says so, but would not have our own ones either.
func (h *hand) insert(c change, r live, fresh bool) error {
	flags := uint16(unix.NLM_F_CREATE | unix.NLM_F_APPEND)
	if fresh && len(h.world.row(r.row)) == 0 {
		flags = unix.NLM_F_CREATE | unix.NLM_F_EXCL
	}
	err := h.conn.Do(h.ctx, unix.RTM_NEWROUTE, flags, r.add())
	if errors.Is(err, unix.EEXIST) && flags&unix.NLM_F_EXCL != 0 && len(h.back) > 0 {
		// Another step of this batch may have made one in the same row.
		err = h.conn.Do(h.ctx, unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, r.add())
	}
	return h.explain(c, r, err)
}

func (h *hand) remove(c change, r live) error {
	err := h.conn.Do(h.ctx, unix.RTM_DELROUTE, 0, r.del())
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot delete route %s: %w", c.name, err)
	}
	return nil
}

func (h *hand) explain(c change, r live, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("cannot add route %s: run as root: %w", c.name, err)
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("cannot add route %s: somebody has just added one: %w", c.name, provision.ErrStale)
	case errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("route %s: its device is down or has gone: %w (%w)", c.name, provision.ErrPending, err)
	case r.gateway.IsValid() && (errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.EINVAL)):
		return fmt.Errorf("route %s: its gateway %s is not on a connected network yet: %w (%w)", c.name, r.gateway, provision.ErrPending, err)
	case r.source.IsValid() && errors.Is(err, unix.EINVAL):
		return fmt.Errorf("route %s: its source address %s cannot be used yet: %w (%w)", c.name, r.source, provision.ErrPending, err)
	}
	return fmt.Errorf("cannot add route %s: %w", c.name, err)
}

// verify looks again: every name has to read as it was wanted, and nothing else may be missing.
func (h *hand) verify(names []string, changes []change) error {
	w, asks, err := look(h.ctx, names)
	if err != nil {
		return err
	}
	is := map[string]*live{}
	for _, a := range asks {
		is[a.name] = w.get(a)
	}
	for _, c := range changes {
		r := is[c.name]
		switch {
		case c.to == nil && (r == nil || r.proto != c.from.proto):
		case c.to != nil && r != nil && maps.Equal(r.attrs(), c.to.attrs()):
		default:
			return fmt.Errorf("route %s was changed again at once: %w", c.name, provision.ErrStale)
		}
	}
	return h.missing(w, changes)
}

// missing puts back what a deletion took by mistake. IPv4 takes "no metric" for any metric, so if
// somebody deleted the route a moment before, the one behind it went instead. What a daemon made it
// may have taken away itself.
func (h *hand) missing(w *world, changes []change) error {
	touched := map[place]bool{}
	for _, c := range changes {
		touched[c.place] = true
	}
	type group struct {
		table uint32
		dst   netip.Prefix
	}
	before := map[group][]live{}
	for _, r := range h.world.routes[unix.AF_INET] {
		if r.proto == Protocol && !touched[r.place] {
			g := group{r.table, r.dst}
			before[g] = append(before[g], r)
		}
	}
	var errs []error
	for _, c := range changes {
		if c.from == nil || c.family != unix.AF_INET || c.metric != 0 {
			continue
		}
		for _, r := range before[group{c.table, c.dst}] {
			if len(w.at[r.place]) == 0 {
				errs = append(errs, fmt.Errorf("another route to the destination of %s went meanwhile and is back: %w", c.name, provision.ErrStale),
					h.conn.Do(h.ctx, unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, r.add()))
			}
		}
	}
	return errors.Join(errs...)
}
