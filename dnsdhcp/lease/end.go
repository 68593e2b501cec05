package lease

import (
	"net/netip"
	"slices"
	"sort"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// holder returns the entry if the client has that address in the network, bound or offered.
func (t *Table) holder(network string, k Key, addr netip.Addr) *entry {
	e := t.at(addr)
	if e == nil || !e.live() || e.Key != k || e.Network != network {
		return nil
	}
	return e
}

// Release ends a lease at its holder's wish; the address is remembered for it. The record should be written, but
// nothing waits for it. False: the client does not hold the address.
func (t *Table) Release(network string, k Key, addr netip.Addr, now clock.Instant) (*Record, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advance(now)
	e := t.holder(network, k, addr)
	if e == nil {
		return nil, false
	}
	if e.State == Offered {
		t.lapse(e)
		return nil, true
	}
	e.Expiry = now
	r := &Record{Lease: e.Lease, At: now}
	r.State = Released
	t.remember(e, Released)
	return r, true
}

// Decline quarantines an address that the client it was given or offered to found in use. False: it is not this
// client's, who therefore has no say in it.
func (t *Table) Decline(network string, k Key, addr netip.Addr, until, now clock.Instant) (*Record, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advance(now)
	e := t.holder(network, k, addr)
	if e == nil {
		return nil, false
	}
	return t.quarantine(e, until, now), true
}

// Quarantine is for an address that was found in use by somebody unknown. It returns nil and does nothing if a client
// holds it, or no network has it.
func (t *Table) Quarantine(network string, addr netip.Addr, until, now clock.Instant) *Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advance(now)
	n := t.nets[network]
	if n == nil || n.gone || !addr.Is4() || !n.Prefix.Contains(addr) {
		return nil
	}
	e := t.at(addr)
	if e != nil && e.State == Bound {
		return nil
	}
	if e == nil {
		e = t.create(n, number(addr), Client{}, now)
	}
	return t.quarantine(e, until, now)
}

func (t *Table) quarantine(e *entry, until, now clock.Instant) *Record {
	t.detach(e)
	e.State, e.was, e.Since, e.Expiry, e.Durable, e.Reserved = Declined, 0, now, until, until, false
	t.heap.set(e)
	return &Record{Lease: e.Lease, At: now}
}

// Withdraw gives up what is offered to a client. Its lease, if it has one, stays.
func (t *Table) Withdraw(network string, k Key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.nets[network]
	if n == nil {
		return
	}
	s := n.keys[k]
	if s.offer != nil {
		t.lapse(s.offer)
	}
	if s.held != nil {
		s.held.hold = 0
		if s.held.State == Offered {
			t.lapse(s.held)
		}
	}
}

// Advance lets end what has ended by now, and returns the leases that expired since the last call. It must be called
// now and then, at best when Next says; else what it has to return piles up.
func (t *Table) Advance(now clock.Instant) []Lease {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advance(now)
	out := t.expired
	t.expired = nil
	return out
}

// Next returns when the next offer, lease or quarantine ends.
func (t *Table) Next() (clock.Instant, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if len(t.heap) == 0 {
		return 0, false
	}
	return t.heap[0].Expiry, true
}

func (t *Table) advance(now clock.Instant) {
	for e := t.heap.due(now); e != nil; e = t.heap.due(now) {
		switch e.State {
		case Offered:
			t.lapse(e)
		case Declined:
			t.drop(e)
		default:
			l := e.Lease
			l.State = Expired
			t.expired = append(t.expired, l)
			if e.hold <= now {
				t.remember(e, Expired)
				continue
			}
			t.unname(e)
			e.was, e.oldUntil = Expired, e.Expiry
			e.State, e.Expiry = Offered, e.hold
			t.heap.set(e)
		}
	}
}

// Restore adds leases as a journal loaded them: Durable is what storage says, Expiry not before it, and no offers.
// Of two for one address the later one counts, and of two live ones of one client in a network. It is called after the
// first Configure, without which nobody knows what is worth remembering.
func (t *Table) Restore(leases []Lease, now clock.Instant) {
	t.mu.Lock()
	defer t.mu.Unlock()
	leases = slices.Clone(leases)
	sort.SliceStable(leases, func(i, j int) bool {
		a, b := &leases[i], &leases[j]
		if a.live() != b.live() && !a.live() {
			return true // the old ones first, in the order in which they ended
		} else if a.live() != b.live() {
			return false
		} else if !a.live() {
			return a.Expiry < b.Expiry
		}
		return a.Since < b.Since
	})
	for _, l := range leases {
		if !l.Addr.Is4() || l.State < Bound || l.State > Declined || l.State == Declined && l.Expiry <= now {
			continue
		}
		if e := t.at(l.Addr); e != nil {
			t.drop(e)
		}
		l.Client = intern(l.Client)
		e := &entry{Lease: l, promised: l.Durable, pos: -1}
		e.net = t.home(l.Addr, l.Network)
		if s := e.net.keys[l.Key]; l.State != Declined && s.held != nil {
			t.drop(s.held)
		}
		t.adopt(e)
		if e.State == Bound || e.State == Declined {
			t.heap.set(e)
		}
	}
	t.advance(now)
}

func (l Lease) live() bool { return l.State == Bound }
