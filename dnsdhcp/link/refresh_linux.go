package link

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sort"

	"golang.org/x/sys/unix"
)

// refresh reads anew what is stale. If that fails it stays stale, and what was known is kept, or replaced by what came
// where the list merely changed while it was read.
func (w *Watcher) refresh() error {
	if w.staleAll {
		return w.refreshAll()
	}
	if w.stale4 {
		if err := w.refreshRoutes(unix.AF_INET); err != nil {
			return err
		}
	}
	if w.stale6 {
		return w.refreshRoutes(unix.AF_INET6)
	}
	return nil
}

// list repeats a dump that a change interrupted.
func (w *Watcher) list(what string, request uint16, header []byte, begin func(), each func(message)) error {
	var err error
	for range 5 {
		w.dumps.Add(1)
		begin()
		if err = w.dump.dump(request, header, each); !errors.Is(err, errChanged) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("cannot list %s: %w", what, err)
	}
	return nil
}

func (w *Watcher) refreshRoutes(family uint8) error {
	var found []Default
	header := make([]byte, unix.SizeofRtMsg)
	header[0] = family
	err := w.list("routes", unix.RTM_GETROUTE, header, func() { found = nil }, func(m message) {
		// A kernel without the family answers with the routes of the others.
		if len(m.body) > 0 && m.body[0] == family {
			hops, _ := decodeDefaults(m.body)
			found = append(found, hops...)
		}
	})
	if err != nil && !errors.Is(err, errChanged) {
		return err
	}
	sort.Slice(found, func(i, j int) bool { return found[i].compare(found[j]) < 0 })
	w.mu.Lock()
	defer w.mu.Unlock()
	if family == unix.AF_INET {
		w.defaults4, w.stale4 = found, err != nil
	} else {
		w.defaults6, w.stale6 = found, err != nil
	}
	w.publish()
	return err
}

// refreshAll reads everything into a fresh table and puts that in the place of the old one, at once: a subscriber sees the
// difference, not the emptiness between.
func (w *Watcher) refreshAll() error {
	fresh := &Watcher{Table: NewTable(), cfg: w.cfg}
	none := func() {}
	header := func(size int, family byte) []byte {
		b := make([]byte, size)
		b[0] = family
		return b
	}
	// Events that the dumps are older than are applied afterwards, by drain.
	errs := []error{
		w.list("interfaces", unix.RTM_GETLINK, header(unix.SizeofIfInfomsg, unix.AF_UNSPEC),
			func() { clear(fresh.links) },
			func(m message) { fresh.linkIs(m.body) }),
		w.list("addresses", unix.RTM_GETADDR, header(unix.SizeofIfAddrmsg, unix.AF_UNSPEC),
			fresh.forgetAddrs,
			func(m message) {
				if index, a, ok := decodeAddr(m.body, w.cfg.Clock.Now()); ok {
					fresh.putAddr(index, a)
				}
			}),
	}
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6} {
		errs = append(errs, w.list("forwarding", unix.RTM_GETNETCONF, header(sizeofNetconf, family), none, func(m message) {
			if c, ok := decodeNetconf(m.kind, m.body); ok {
				fresh.netconf(c, false)
			}
		}))
	}
	if w.cfg.Neighbours {
		errs = append(errs, w.list("neighbours", unix.RTM_GETNEIGH, header(unix.SizeofNdMsg, unix.AF_UNSPEC),
			func() { clear(fresh.neighbours) },
			func(m message) {
				if n, ok := decodeNeighbour(m.kind, m.body); ok {
					fresh.putNeighbour(n)
				}
			}))
	}
	changed := false
	for _, err := range errs {
		if err != nil && !errors.Is(err, errChanged) {
			return err
		}
		changed = changed || err != nil
	}
	w.mu.Lock()
	w.replace(fresh.Table)
	w.forward4, w.forward6 = fresh.forward4, fresh.forward6
	w.staleAll = changed
	w.stale4, w.stale6 = true, true
	w.publish()
	w.mu.Unlock()
	err := errors.Join(w.refreshRoutes(unix.AF_INET), w.refreshRoutes(unix.AF_INET6))
	if changed && err == nil {
		err = errChanged
	}
	return err
}

func (t *Table) forgetAddrs() {
	for index, k := range t.links {
		k.Addrs = nil
		t.links[index] = k
	}
}

// replace takes over another table's links and neighbours. An index that is in both is the same incarnation: the kernel
// gives them out in turn. Only who asks for a certain index can have one again, and that is noticed if the MAC differs.
func (t *Table) replace(fresh *Table) {
	for index, k := range fresh.links {
		old, ok := t.links[index]
		if ok && old.Name != "" && (string(old.MAC) == string(k.MAC) || old.Name == k.Name) {
			k.birth = old.birth
			// Lifetimes that only ran on are no news.
			if slices.EqualFunc(old.Addrs, k.Addrs, Addr.equal) {
				k.Addrs = old.Addrs
			}
		} else {
			t.births++
			k.birth = t.births
		}
		fresh.links[index] = k
	}
	t.links, t.neighbours = fresh.links, fresh.neighbours
}

func (f Forwarding) clone() Forwarding {
	return Forwarding{All: f.All, Link: maps.Clone(f.Link)}
}
