package lease

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sort"
	"sync"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// What Propose and Bind refuse.
var (
	ErrNoNetwork     = errors.New("no such network")
	ErrExhausted     = errors.New("no free address")
	ErrReservedInUse = errors.New("the reserved address is in use")
	ErrTaken         = errors.New("another client has the address")
	ErrOutside       = errors.New("the address is in no pool of the network")
	ErrReserved      = errors.New("the address, or another one for this client, is reserved")
)

// DefaultSlack is the share of a lease time by which storage is told to hold an address longer than the client is, so
// that not every renewal is a write.
const DefaultSlack = 0.5

// Options of a Table.
type Options struct {
	Clock clock.Clock // for Addrs and Name, which are asked without a time
	// Slack is the share, see DefaultSlack; 0 writes every renewal.
	Slack float64
}

// Proposal is an address held for a client.
type Proposal struct {
	Lease Lease
	// Probe: somebody unknown may be using the address. False if this client itself had it last.
	Probe bool
}

// Record is what must be on stable storage before the client may be told. It is the lease as it then is: Bound (the
// storage holds it until Durable), Released, Expired, or Declined (until Expiry).
type Record struct {
	Lease
	At   clock.Instant // when it was made
	Left netip.Addr    // the address that the client held before in this network and has no more; invalid if none
}

// Record is the lease as one, for what Advance returned: worth writing for the history, but nothing waits for it.
func (l Lease) Record(now clock.Instant) Record { return Record{Lease: l, At: now} }

// Table is who holds what. It is safe for concurrent use; names are read while leases are made.
//
// All methods that take now first let end what has ended by then; the others show the table as the last of those left
// it, except for Addrs and Name, which look at the clock.
type Table struct {
	clock clock.Clock
	slack float64

	mu       sync.RWMutex
	nets     map[string]*network
	addrs    map[uint32]*entry
	names    map[string]*entry // by folded label; Bound ones, chained by nextName
	reserved map[string]bool   // folded labels that reservations give
	heap     deadlines
	expired  []Lease // since the last Advance
}

// NewTable returns an empty table without networks.
func NewTable(o Options) *Table {
	return &Table{
		clock: o.Clock, slack: max(o.Slack, 0),
		nets: map[string]*network{}, addrs: map[uint32]*entry{}, names: map[string]*entry{}, reserved: map[string]bool{},
	}
}

// Configure replaces the networks. Leases stay, with the network that now has their address. One that its client may
// not have any more (its address is in no network or pool, excluded, or reserved for another) lasts until its end: Of
// and At show it, Bind refuses to renew it with ErrNoNetwork, ErrOutside or ErrReserved, and Propose passes it over.
// Invalid networks (see Validate) change nothing.
func (t *Table) Configure(networks []Network) error {
	if err := Validate(networks); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.nets
	t.nets, t.names, t.reserved = map[string]*network{}, map[string]*entry{}, map[string]bool{}
	for _, c := range networks {
		t.nets[c.Name] = newNetwork(c)
		for _, r := range c.Reservations {
			if r.Name != "" {
				t.reserved[fold(r.Name)] = true
			}
		}
	}
	var all []*entry
	for _, name := range slices.Sorted(maps.Keys(before)) {
		n := before[name]
		for e := n.old.first(); e != nil; e = n.old.first() { // in their order
			n.old.remove(e)
			all = append(all, e)
		}
	}
	seen := make(map[*entry]bool, len(all))
	for _, e := range all {
		seen[e] = true
	}
	for _, e := range t.addrs {
		if !seen[e] {
			all = append(all, e)
		}
	}
	old := len(seen)
	live := all[old:]
	sort.Slice(live, func(i, j int) bool {
		a, b := live[i], live[j]
		return a.Since < b.Since || a.Since == b.Since && a.Addr.Less(b.Addr)
	})
	for _, e := range append(live, all[:old]...) { // live ones first: they keep their client's slot
		t.adopt(e)
	}
	return nil
}

// adopt puts an entry that is in no index but the map by address (and the heap) into the network that has its address.
func (t *Table) adopt(e *entry) {
	e.nextName, e.prevHW, e.nextHW = nil, nil, nil
	e.net = t.home(e.Addr, e.Network)
	e.Network = e.net.Name
	_, e.Reserved = e.net.reserved(number(e.Addr), e.Client)
	if e.State == Declined {
		e.Reserved = false
		t.addrs[number(e.Addr)] = e
		e.net.take(number(e.Addr))
		return
	}
	t.insert(e)
	s := e.net.keys[e.Key]
	switch {
	case e.State == Offered && e.was == 0:
		s.offer = e
	case s.held == nil || e.live() && (!s.held.live() || e.Since >= s.held.Since):
		s.held = e
	}
	e.net.keys[e.Key] = s
	switch e.State {
	case Bound:
		e.dirty = t.name(e, e.Client) || e.dirty
	case Released, Expired:
		t.remember(e, e.State)
	}
}

// home finds the network that has an address; if none has, one that is gone.
func (t *Table) home(addr netip.Addr, name string) *network {
	for _, n := range t.nets {
		if !n.gone && n.Prefix.Contains(addr) {
			return n
		}
	}
	for n := t.nets[name]; n != nil; n = t.nets[name] {
		if n.gone {
			return n
		}
		name += " (gone)" // the name went to other addresses
	}
	n := newNetwork(Network{Name: name})
	n.gone = true
	t.nets[name] = n
	return n
}

// Of returns what the client has in a network: the address that it holds or held last, or else one that is offered.
func (t *Table) Of(network string, k Key) (Lease, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n := t.nets[network]
	if n == nil {
		return Lease{}, false
	}
	s := n.keys[k]
	if s.held == nil {
		s.held = s.offer
	}
	if s.held == nil {
		return Lease{}, false
	}
	return s.held.Lease, true
}

// OfferOf returns the address that is offered to the client in a network.
func (t *Table) OfferOf(network string, k Key) (Lease, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n := t.nets[network]
	if n == nil {
		return Lease{}, false
	}
	s := n.keys[k]
	if s.offer == nil && s.held != nil && s.held.State == Offered {
		s.offer = s.held
	}
	if s.offer == nil {
		return Lease{}, false
	}
	return s.offer.Lease, true
}

// At returns what is known of an address. It need not be live: see Lease.State.
func (t *Table) At(addr netip.Addr) (Lease, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if e := t.at(addr); e != nil {
		return e.Lease, true
	}
	return Lease{}, false
}

func (t *Table) at(addr netip.Addr) *entry {
	if !addr.Is4() {
		return nil
	}
	return t.addrs[number(addr)]
}

// ByHW returns all leases of a hardware address in a network, of any state but Declined, latest first.
func (t *Table) ByHW(network string, hw HW) []Lease {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n := t.nets[network]
	if n == nil {
		return nil
	}
	var out []Lease
	for e := n.hw[hw]; e != nil; e = e.nextHW {
		out = append(out, e.Lease)
	}
	sort.SliceStable(out, func(i, j int) bool { return out[j].Since < out[i].Since })
	return out
}

// All returns everything that the table knows, by address.
func (t *Table) All() []Lease {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]Lease, 0, len(t.addrs))
	for _, e := range t.addrs {
		out = append(out, e.Lease)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Addr.Compare(out[j].Addr) < 0 })
	return out
}

// ReservationOf returns what the configuration reserves for a client in a network.
func (t *Table) ReservationOf(network string, c Client) (Reservation, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n := t.nets[network]
	if n == nil {
		return Reservation{}, false
	}
	return n.reservation(c)
}

// Usage is how full a network is: addresses in its pools that anybody may get, and how many of them are free.
// Free ones include those remembered for somebody who has gone.
type Usage struct{ Total, Free int }

// Usage returns a network's.
func (t *Table) Usage(network string) (Usage, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	n := t.nets[network]
	if n == nil || n.gone {
		return Usage{}, false
	}
	return Usage{Total: n.total, Free: n.pool.free.count + n.old.count}, true
}
