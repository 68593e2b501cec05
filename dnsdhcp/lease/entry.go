package lease

import "github.com/provision-net/provision/dnsdhcp/clock"

// entry is an address that is not free. It is in the table's map by address and, by its state:
//
//	Offered   the heap, its client's slot
//	Bound     the heap unless infinite, its client's slot, the names
//	Released, Expired   its client's slot, and the network's list of old ones if anybody may get the address
//	Declined  the heap
type entry struct {
	Lease
	net      *network
	promised clock.Instant // the latest Durable of a record of this holder
	hold     clock.Instant // proposed again while Bound: not before this does it go to another
	oldUntil clock.Instant // Expiry before it was offered again
	was      State         // what an offer falls back to: Released or Expired; 0 for free
	dirty    bool          // storage has another name or hardware address
	pos      int32         // in the heap; -1 if not

	prev, next     *entry // list
	prevHW, nextHW *entry
	nextName       *entry
}

// list is the old entries of a network, longest untouched first; its root is no lease.
type list struct {
	root  entry
	count int
}

func (l *list) init() { l.root.prev, l.root.next = &l.root, &l.root }

func (l *list) push(e *entry) {
	e.prev, e.next = l.root.prev, &l.root
	e.prev.next, e.next.prev = e, e
	l.count++
}

func (l *list) first() *entry {
	if l.root.next == &l.root {
		return nil
	}
	return l.root.next
}

func (l *list) remove(e *entry) {
	if e.next != nil {
		l.count--
		e.prev.next, e.next.prev = e.next, e.prev
		e.prev, e.next = nil, nil
	}
}

// live tells whether the address is some client's.
func (e *entry) live() bool { return e.State == Bound || e.State == Offered }

// intern lets the parts of a client that repeat its key share the key's memory.
func intern(c Client) Client {
	k := string(c.Key)
	if len(k) > 1 && k[0] == 'i' && k[1:] == c.ClientID {
		c.ClientID = k[1:]
	}
	if len(k) > 2 && k[0] == 'h' && k[2:] == c.HW.Addr {
		c.HW.Addr = k[2:]
	}
	return c
}

// create makes an entry for a client at an address that has none.
func (t *Table) create(n *network, addr uint32, c Client, now clock.Instant) *entry {
	e := &entry{Lease: Lease{Client: intern(c), Network: n.Name, Addr: address(addr), Since: now}, net: n, pos: -1}
	e.Hostname = ""
	t.insert(e)
	return e
}

func (t *Table) insert(e *entry) {
	t.addrs[number(e.Addr)] = e
	e.net.take(number(e.Addr))
	t.indexHW(e)
}

// drop forgets all about an address.
func (t *Table) drop(e *entry) {
	t.detach(e)
	t.heap.remove(e)
	delete(t.addrs, number(e.Addr))
	e.net.give(number(e.Addr))
	if n := e.net; n.gone && len(n.keys) == 0 && t.nets[n.Name] == n {
		delete(t.nets, n.Name)
	}
}

// detach takes an entry from its client.
func (t *Table) detach(e *entry) {
	t.unname(e)
	t.unindexHW(e)
	e.net.old.remove(e)
	s, ok := e.net.keys[e.Key]
	if !ok {
		return
	}
	if s.held == e {
		s.held = nil
	}
	if s.offer == e {
		s.offer = nil
	}
	e.net.setSlot(e.Key, s)
}

func (n *network) setSlot(k Key, s slot) {
	if s == (slot{}) {
		delete(n.keys, k)
		return
	}
	n.keys[k] = s
}

// lapse ends an offer.
func (t *Table) lapse(e *entry) {
	if e.was == 0 {
		t.drop(e)
		return
	}
	e.Expiry = e.oldUntil
	t.remember(e, e.was)
}

// remember keeps an address for its last holder until somebody needs it.
func (t *Table) remember(e *entry, as State) {
	t.unname(e)
	t.heap.remove(e)
	if !e.net.allowed(number(e.Addr), e.Client) {
		t.drop(e)
		return
	}
	e.State, e.was, e.hold = as, 0, 0
	if e.net.dynamic(number(e.Addr)) {
		e.net.old.push(e)
	}
}

// indexHW and unindexHW: the chain of one hardware address may be long (somebody who invents client identifiers).
func (t *Table) indexHW(e *entry) {
	if e.HW.Addr == "" {
		return
	}
	if e.nextHW = e.net.hw[e.HW]; e.nextHW != nil {
		e.nextHW.prevHW = e
	}
	e.net.hw[e.HW] = e
}

func (t *Table) unindexHW(e *entry) {
	if e.nextHW != nil {
		e.nextHW.prevHW = e.prevHW
	}
	switch {
	case e.prevHW != nil:
		e.prevHW.nextHW = e.nextHW
	case e.net.hw[e.HW] != e: // not indexed
	case e.nextHW == nil:
		delete(e.net.hw, e.HW)
	default:
		e.net.hw[e.HW] = e.nextHW
	}
	e.prevHW, e.nextHW = nil, nil
}
