package rule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host/rtnl"
	"golang.org/x/sys/unix"
)

// Resource is the policy rules of the calling thread's network namespace. The zero value is ready
// for use.
type Resource struct{}

var (
	_ provision.Resource = Resource{}
	_ provision.Lister   = Resource{}
	_ provision.Batcher  = Resource{}
	_ provision.Author   = Resource{}
)

// ours is Protocol as an attribute says it.
const ours = "158"

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
	if err != nil {
		return nil, err
	}
	out := make(map[string]provision.Attrs, len(names))
	for _, a := range asks {
		if r := w.get(a); r != nil {
			out[a.name] = r.attrs()
		}
	}
	return out, nil
}

// Set implements provision.Resource. It is provision.ErrPending while a device that is selected by
// its MAC address is not there.
func (r Resource) Set(ctx context.Context, name string, have, want provision.Attrs) error {
	return r.SetAll(ctx, []provision.Step{{Name: name, Have: have, Want: want}})
}

// SetAll implements provision.Batcher. The kernel has no transactions for rules: what was done is
// undone when something fails. All that is added is added before anything goes.
func (Resource) SetAll(ctx context.Context, steps []provision.Step) error {
	names := make([]string, len(steps))
	for i, s := range steps {
		names[i] = s.Name
	}
	w, asks, err := look(ctx, names)
	if err != nil {
		return err
	}
	var changes []change
	for i, s := range steps {
		c, err := w.change(asks[i], s)
		if err != nil {
			return err
		}
		if c.from != nil || c.to != nil {
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
	h := &hand{ctx: ctx, conn: conn, world: w}
	if err := h.make(changes); err != nil {
		return h.undo(err)
	}
	if err := verify(ctx, names, steps); err != nil {
		return h.undo(err)
	}
	return nil
}

// change is what one step does: to is added, from goes. Either may be nil.
type change struct {
	ask
	from, to *live
}

func (w *world) change(a ask, s provision.Step) (change, error) {
	c := change{ask: a}
	now := w.get(a)
	var attrs provision.Attrs
	if now != nil {
		attrs = now.attrs()
	}
	if stale(attrs, s.Have, s.Want) {
		return c, fmt.Errorf("rule %s: %w", a.name, provision.ErrStale)
	}
	if s.Want == nil {
		if now != nil && now.proto != Protocol {
			return c, fmt.Errorf("cannot delete rule %s: somebody else made it (proto %d)", a.name, now.proto)
		}
		c.from = now
		return c, nil
	}
	if a.missing != "" {
		return c, fmt.Errorf("rule %s: there is no device %s yet: %w", a.name, a.missing, provision.ErrPending)
	}
	to := live{ident: a.ident, proto: Protocol, suppress: -1}
	if now != nil {
		to.suppress, to.proto = now.suppress, now.proto
	}
	if err := to.set(a.name, s.Want); err != nil {
		return c, err
	}
	if w.position(to) < 0 {
		c.to = &to
	}
	// What somebody else made stays: ours stands beside it, and shows it again when it goes.
	if now != nil && now.proto == Protocol && *now != to {
		c.from = now
	}
	return c, nil
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

// verify looks again: every name has to read as it was wanted.
func verify(ctx context.Context, names []string, steps []provision.Step) error {
	w, asks, err := look(ctx, names)
	if err != nil {
		return err
	}
	for i, s := range steps {
		var is provision.Attrs
		if r := w.get(asks[i]); r != nil {
			is = r.attrs()
		}
		if s.Want == nil && is[AttrProto] != ours {
			continue // gone, and what others have in its place is theirs
		}
		if stale(is, s.Want, s.Want) {
			return fmt.Errorf("rule %s was changed again at once: %w", s.Name, provision.ErrStale)
		}
	}
	return nil
}

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

func (h *hand) make(changes []change) error {
	for _, c := range changes {
		if c.to == nil {
			continue
		}
		if err := h.add(*c.to); err != nil {
			return explain("add", c.name, err)
		}
		h.back = append(h.back, func() error { return h.del(*c.to) })
	}
	// In the kernel's order: what goes first cannot stand before what goes later.
	goes := slices.DeleteFunc(slices.Clone(changes), func(c change) bool { return c.from == nil })
	sort.Slice(goes, func(i, j int) bool { return h.world.position(*goes[i].from) < h.world.position(*goes[j].from) })
	gone := map[live]bool{}
	for _, c := range goes {
		if err := h.take(*c.from, gone); err != nil {
			return explain("delete", c.name, err)
		}
		gone[*c.from] = true
		h.back = append(h.back, func() error { return h.add(*c.from) })
	}
	return nil
}

// take deletes exactly r. Rules before it that the request fits as well are first made a second
// time behind it, so that they are there all the while.
func (h *hand) take(r live, gone map[live]bool) error {
	for _, o := range h.world.before(r) {
		if gone[o] {
			continue
		}
		if err := h.add(o); err != nil {
			return err
		}
		if err := h.del(o); err != nil {
			return err
		}
	}
	return h.del(r)
}

// add adds a rule behind those of its priority. NLM_F_EXCL is not said: the kernel would take
// rules for the same that are not (rule_exists is as generous as rule_find), and one of somebody
// else for ours.
func (h *hand) add(r live) error {
	return h.conn.Do(h.ctx, unix.RTM_NEWRULE, unix.NLM_F_CREATE, r.encode())
}

func (h *hand) del(r live) error {
	err := h.conn.Do(h.ctx, unix.RTM_DELRULE, 0, r.encode())
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

func explain(verb, name string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("cannot %s rule %s: run as root: %w", verb, name, err)
	case errors.Is(err, unix.EAFNOSUPPORT), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("cannot %s rule %s: this kernel has no policy routing for that family: %w", verb, name, err)
	}
	return fmt.Errorf("cannot %s rule %s: %w", verb, name, err)
}
