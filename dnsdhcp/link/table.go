package link

import (
	"cmp"
	"net/netip"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// Kind is what happened to a link.
type Kind uint8

const (
	Removed Kind = iota + 1
	Updated      // other name, flags, addresses ...: the same incarnation
	Added
)

// Change is one link's difference from what a subscriber saw last.
type Change struct {
	Kind Kind
	Link Link // the last known state if Removed
	Old  Link // what the subscriber saw before; zero if Added
}

// Update is all that a subscriber has not seen yet. Links come in an order in which they can be acted on: Removed, then
// Updated, then Added, so a name is free before its next bearer turns up; within these by index.
type Update struct {
	Links      []Change
	Neighbours []Neighbour // only for who asked for them
	Routing    bool        // default routes or forwarding have changed: see Table.Routing
}

// Table is the present state of all links. A Watcher keeps one up to date; tests may fill one by hand. Subscribers are
// told that there is something new and then compare, so one that is slow sees the latest state and costs no memory.
//
// Links and slices that it hands out are shared and must not be written to.
type Table struct {
	mu         sync.Mutex
	links      map[int]known
	births     uint64
	neighbours map[neighbourKey]Neighbour
	routing    Routing
	revision   uint64 // of routing
	subs       map[*Subscription]struct{}
}

// known is a link with the number of its incarnation: an index alone does not tell, since one may ask for an index
// (ip link add index) and a link may come back from another namespace with the one it had. No name: only addresses are
// known so far.
type known struct {
	Link
	birth uint64
}

type neighbourKey struct {
	index int
	addr  netip.Addr
}

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{
		links:      map[int]known{},
		neighbours: map[neighbourKey]Neighbour{},
		subs:       map[*Subscription]struct{}{},
	}
}

// Put adds a link or replaces the one of the same index, as the same incarnation.
func (t *Table) Put(l Link) {
	t.change(func() { t.put(l) })
}

func (t *Table) put(l Link) {
	k, ok := t.links[l.Index]
	if !ok {
		t.births++
		k.birth = t.births
	}
	k.Link = l
	t.links[l.Index] = k
}

// Remove deletes a link with all its addresses and neighbours.
func (t *Table) Remove(index int) {
	t.change(func() { t.remove(index) })
}

func (t *Table) remove(index int) {
	delete(t.links, index)
	for k := range t.neighbours {
		if k.index == index {
			delete(t.neighbours, k)
		}
	}
}

// PutNeighbour adds or replaces a neighbour, or deletes it if it is Gone.
func (t *Table) PutNeighbour(n Neighbour) {
	t.change(func() { t.putNeighbour(n) })
}

func (t *Table) putNeighbour(n Neighbour) {
	k := neighbourKey{n.Index, n.Addr}
	if n.Gone {
		delete(t.neighbours, k)
		return
	}
	t.neighbours[k] = n
}

// SetRouting replaces default routes and forwarding.
func (t *Table) SetRouting(r Routing) {
	t.change(func() { t.setRouting(r) })
}

func (t *Table) setRouting(r Routing) {
	if !t.routing.equal(r) {
		t.routing = r
		t.revision++
	}
}

// change makes a change under the lock and wakes the subscribers.
func (t *Table) change(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
	t.wake()
}

func (t *Table) wake() {
	for s := range t.subs {
		select {
		case s.c <- struct{}{}:
		default: // it has been told already
		}
	}
}

// Snapshot returns all links by index.
func (t *Table) Snapshot() []Link {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]Link, 0, len(t.links))
	for _, k := range t.links {
		if k.Name != "" {
			out = append(out, k.Link)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Index < out[j].Index })
	return out
}

// ByIndex returns a link.
func (t *Table) ByIndex(index int) (Link, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k, ok := t.links[index]
	return k.Link, ok && k.Name != ""
}

// Routing returns default routes and forwarding.
func (t *Table) Routing() Routing {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.routing
}

// Uplink returns the best default route of one family in the main table out of a link that is up, has a carrier and is
// not ours (nil: none is). Links change it as well as routes, so ask again after every Update.
func (t *Table) Uplink(v6 bool, ours func(index int) bool) (Default, bool) {
	for _, d := range t.usable(v6) {
		if d.Index == 0 || ours == nil || !ours(d.Index) { // called without the lock: it may ask the table
			return d, true
		}
	}
	return Default{}, false
}

// usable returns the default routes of the main table that lead out of a working link, by metric. The link of a route by
// nexthop object is not known (net.ipv4.nexthop_compat_mode=0).
func (t *Table) usable(v6 bool) []Default {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Default
	for _, d := range t.routing.Defaults {
		k := t.links[d.Index]
		if d.V6 == v6 && d.Table == mainTable && (d.Index == 0 || k.Up && k.Carrier) {
			out = append(out, d)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Metric < out[j].Metric })
	return out
}

// Subscription is one reader of a Table.
type Subscription struct {
	t             *Table
	c             chan struct{}
	links         map[int]known
	neighbours    map[neighbourKey]Neighbour // nil if not asked for
	routing       uint64
	routingIsSeen bool
}

// Subscribe starts a reader that has seen nothing yet: its first Next returns every link as Added.
func (t *Table) Subscribe(neighbours bool) *Subscription {
	s := &Subscription{t: t, c: make(chan struct{}, 1), links: map[int]known{}}
	if neighbours {
		s.neighbours = map[neighbourKey]Neighbour{}
	}
	s.c <- struct{}{}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subs[s] = struct{}{}
	return s
}

// Close ends the subscription; C never fires again.
func (s *Subscription) Close() {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	delete(s.t.subs, s)
}

// C has a value when Next may have something.
func (s *Subscription) C() <-chan struct{} { return s.c }

// Next returns what has changed since it was called last, perhaps nothing. One goroutine only.
func (s *Subscription) Next() Update {
	t := s.t
	t.mu.Lock()
	defer t.mu.Unlock()
	u := Update{Links: s.diffLinks(), Routing: !s.routingIsSeen || s.routing != t.revision}
	s.routing, s.routingIsSeen = t.revision, true
	if s.neighbours != nil {
		u.Neighbours = s.diffNeighbours()
	}
	return u
}

func (s *Subscription) diffLinks() []Change {
	var out []Change
	for index, old := range s.links {
		if k := s.t.links[index]; k.birth != old.birth {
			out = append(out, Change{Kind: Removed, Link: old.Link, Old: old.Link})
			delete(s.links, index)
		}
	}
	for index, k := range s.t.links {
		if k.Name == "" {
			continue
		}
		old, seen := s.links[index]
		switch {
		case !seen:
			out = append(out, Change{Kind: Added, Link: k.Link})
		case !old.Equal(k.Link):
			out = append(out, Change{Kind: Updated, Link: k.Link, Old: old.Link})
		default:
			continue
		}
		s.links[index] = k
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := &out[i], &out[j]
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Link.Index, b.Link.Index)) < 0
	})
	return out
}

func (s *Subscription) diffNeighbours() []Neighbour {
	var out []Neighbour
	for k, old := range s.neighbours {
		if _, ok := s.t.neighbours[k]; !ok {
			old.Gone, old.Reachable = true, false
			out = append(out, old)
			delete(s.neighbours, k)
		}
	}
	for k, n := range s.t.neighbours {
		if old, ok := s.neighbours[k]; !ok || !old.equal(n) {
			out = append(out, n)
			s.neighbours[k] = n
		}
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := &out[i], &out[j]
		return cmp.Or(cmp.Compare(a.Index, b.Index), a.Addr.Compare(b.Addr)) < 0
	})
	return out
}

// Equal says whether two states of a link are the same; lifetimes of addresses that end within the same two seconds are
// (the kernel counts them in whole seconds).
func (l Link) Equal(o Link) bool {
	return l.Name == o.Name && l.Index == o.Index && string(l.MAC) == string(o.MAC) && l.MTU == o.MTU && l.Up == o.Up &&
		l.Carrier == o.Carrier && l.Type == o.Type && l.Loopback == o.Loopback && l.Multicast == o.Multicast &&
		l.Master == o.Master && slices.EqualFunc(l.Addrs, o.Addrs, Addr.equal)
}

func (a Addr) equal(o Addr) bool {
	return a.Prefix == o.Prefix && a.Tentative == o.Tentative && a.Temporary == o.Temporary &&
		a.Deprecated == o.Deprecated &&
		sameEnd(a.At, a.Preferred, o.At, o.Preferred) && sameEnd(a.At, a.Valid, o.At, o.Valid)
}

func sameEnd(at clock.Instant, left time.Duration, at2 clock.Instant, left2 time.Duration) bool {
	if left == Infinite || left2 == Infinite || left == 0 || left2 == 0 {
		return left == left2
	}
	return at.Add(left).Sub(at2.Add(left2)).Abs() <= 2*time.Second
}

func (n Neighbour) equal(o Neighbour) bool {
	return string(n.MAC) == string(o.MAC) && n.Reachable == o.Reachable
}
