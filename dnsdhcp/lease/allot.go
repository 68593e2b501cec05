package lease

import (
	"net/netip"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// Propose holds an address for a client until then and returns it. In this order: the one reserved for it, the one
// that it has, the one that it had, the one that it wishes if that is free, a free one, and the one that has been
// unused for longest by somebody who had it. A live lease stays Bound as it is, also when another address is proposed.
//
// Errors: ErrNoNetwork, ErrExhausted, ErrReservedInUse (the address reserved for the client is still another's, or
// quarantined; if the client has a lease, it is proposed that one instead).
func (t *Table) Propose(network string, c Client, wish netip.Addr, until, now clock.Instant) (Proposal, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advance(now)
	n := t.nets[network]
	if n == nil || n.gone {
		return Proposal{}, ErrNoNetwork
	}
	addr, err := t.choose(n, c, wish)
	if err != nil {
		return Proposal{}, err
	}
	s := n.keys[c.Key]
	e := t.addrs[addr]
	own := e != nil && e.Key == c.Key && e.State != Declined
	if s.offer != nil && s.offer != e {
		t.lapse(s.offer)
	}
	switch {
	case own && e.State == Bound:
		e.hold = max(e.hold, until)
	case own && e.State == Offered:
		e.Expiry = max(e.Expiry, until)
		t.heap.set(e)
	case own:
		n.old.remove(e)
		e.was, e.oldUntil = e.State, e.Expiry
		e.State, e.Expiry = Offered, until
		t.heap.set(e)
	default:
		if e != nil {
			t.drop(e)
		}
		e = t.create(n, addr, c, now)
		e.State, e.Expiry = Offered, until
		t.heap.set(e)
		s = n.keys[c.Key]
		s.offer = e
		n.keys[e.Key] = s
	}
	p := Proposal{Lease: e.Lease, Probe: e.State == Offered && e.was == 0}
	if e.State == Offered {
		want := c.Hostname
		if want == "" {
			want = e.Hostname
		}
		p.Lease.Hostname = t.nameFor(n, c, want)
	}
	_, p.Lease.Reserved = n.reserved(addr, c)
	return p, nil
}

func (t *Table) choose(n *network, c Client, wish netip.Addr) (uint32, error) {
	s := n.keys[c.Key]
	if r, ok := n.reservation(c); ok && r.Addr.IsValid() {
		a := number(r.Addr)
		if t.obtainable(n, a, c) {
			return a, nil
		}
		if s.held != nil && s.held.live() && n.allowed(number(s.held.Addr), c) {
			return number(s.held.Addr), nil
		}
		return 0, ErrReservedInUse
	}
	if s.held != nil && n.allowed(number(s.held.Addr), c) {
		return number(s.held.Addr), nil
	}
	if s.offer != nil && n.allowed(number(s.offer.Addr), c) {
		return number(s.offer.Addr), nil
	}
	if wish.Is4() && n.dynamic(number(wish)) {
		e := t.addrs[number(wish)]
		if e == nil || !e.live() && e.State != Declined && e.HW == c.HW && c.HW.Addr != "" { // itself under another identity
			return number(wish), nil
		}
	}
	if a, ok := n.pick(c.Key); ok {
		return a, nil
	}
	if e := n.old.first(); e != nil {
		return number(e.Addr), nil
	}
	return 0, ErrExhausted
}

// obtainable tells whether nobody else uses the address. A reserved one passes between the identities of one network
// card at once: that is a machine on its way from its boot loader to its system.
func (t *Table) obtainable(n *network, addr uint32, c Client) bool {
	e := t.addrs[addr]
	switch {
	case e == nil:
		return true
	case e.State == Declined:
		return false
	case e.Key == c.Key && e.net == n, !e.live():
		return true
	}
	_, own := n.reserved(addr, c)
	return own && e.HW == c.HW && c.HW.Addr != ""
}

// Bind makes the address the client's until expiry, whether it was offered or not, and returns the lease as the client
// may be told it and the record that must be on stable storage before it is; nil if that is so already. If a record
// is returned although Expiry <= Durable (the name has changed), the answer need not wait for it. Any other address
// that the client has in the network is free from now on.
//
// Errors: ErrNoNetwork; ErrTaken (another client has it, or it is quarantined); ErrOutside; ErrReserved (it is reserved
// for another, or the client has one reserved that it could get).
func (t *Table) Bind(network string, c Client, addr netip.Addr, expiry, now clock.Instant) (Lease, *Record, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advance(now)
	n := t.nets[network]
	if n == nil || n.gone {
		return Lease{}, nil, ErrNoNetwork
	}
	if err := t.mayBind(n, c, addr); err != nil {
		return Lease{}, nil, err
	}
	e := t.addrs[number(addr)]
	if e != nil && e.Key != c.Key {
		t.drop(e)
		e = nil
	}
	if e == nil {
		e = t.create(n, number(addr), c, now)
	}
	left := t.leave(n, e)
	if e.State != Bound {
		n.old.remove(e)
		e.State, e.was = Bound, 0
		e.Since, e.Durable, e.promised = now, 0, 0
	}
	if e.HW != c.HW {
		t.unindexHW(e)
		e.HW = intern(c).HW
		t.indexHW(e)
		e.dirty = true
	}
	if e.ClientID != c.ClientID {
		e.ClientID = intern(c).ClientID
		e.dirty = true
	}
	if e.Agent != c.Agent && c.Agent != "" { // renewals do not pass the relay (RFC 3046 section 2.2)
		e.Agent = c.Agent
	}
	if t.name(e, c) {
		e.dirty = true
	}
	_, e.Reserved = n.reserved(number(addr), c)
	e.Expiry, e.hold = expiry, 0
	t.heap.set(e)
	if expiry <= e.Durable && !e.dirty {
		return e.Lease, nil, nil
	}
	e.promised = max(e.promised, t.stretch(expiry, now))
	r := &Record{Lease: e.Lease, At: now, Left: left}
	r.Durable = e.promised
	return e.Lease, r, nil
}

func (t *Table) mayBind(n *network, c Client, addr netip.Addr) error {
	if !addr.Is4() || !n.Prefix.Contains(addr) {
		return ErrOutside
	}
	a := number(addr)
	if reserved, own := n.reserved(a, c); reserved && !own {
		return ErrReserved
	} else if !reserved {
		if r, ok := n.reservation(c); ok && r.Addr.IsValid() && t.obtainable(n, number(r.Addr), c) {
			return ErrReserved
		}
		if !n.dynamic(a) {
			return ErrOutside
		}
	}
	if !t.obtainable(n, a, c) {
		return ErrTaken
	}
	return nil
}

// leave makes e the one address of its client and returns the one before.
func (t *Table) leave(n *network, e *entry) (left netip.Addr) {
	s := n.keys[e.Key]
	if s.offer != nil && s.offer != e {
		t.lapse(s.offer)
	}
	if s.held != nil && s.held != e {
		left = s.held.Addr
		t.drop(s.held)
	}
	n.keys[e.Key] = slot{held: e}
	return left
}

// stretch is up to when storage holds a lease: the slack spares it most renewals.
func (t *Table) stretch(expiry, now clock.Instant) clock.Instant {
	more := time.Duration(t.slack * float64(expiry.Sub(now)))
	if expiry == Forever || more > Forever.Sub(expiry) {
		return Forever
	}
	return expiry.Add(max(more, 0))
}

// Written tells that a record is on stable storage.
func (t *Table) Written(r Record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.at(r.Addr)
	if e == nil || r.State != Bound || e.State != Bound || e.Key != r.Key || e.Since != r.Since {
		return // it has ended since
	}
	e.Durable = r.Durable
	if e.Hostname == r.Hostname && e.HW == r.HW && e.ClientID == r.ClientID {
		e.dirty = false
	}
}
