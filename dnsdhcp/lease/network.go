package lease

// network is a Network at work. One that the configuration no longer has stays, without addresses to give, until its
// last lease has ended.
type network struct {
	Network
	gone    bool
	total   int // dynamic addresses
	pool    pool
	exclude map[uint32]struct{}
	byAddr  map[uint32]int // into Reservations, as the next two
	byHW    map[HW]int
	byID    map[string]int

	keys map[Key]slot
	hw   map[HW]*entry // chained by nextHW
	old  list
}

// slot is what a client has in a network: the address that it holds or held, and one more while it is moving to a
// reserved one.
type slot struct{ held, offer *entry }

func newNetwork(c Network) *network {
	n := &network{
		Network: c, pool: newPool(c.Pools), exclude: map[uint32]struct{}{},
		byAddr: map[uint32]int{}, byHW: map[HW]int{}, byID: map[string]int{},
		keys: map[Key]slot{}, hw: map[HW]*entry{},
	}
	n.old.init()
	for _, a := range c.Exclude {
		if a.Is4() {
			n.exclude[number(a)] = struct{}{}
			n.take(number(a))
		}
	}
	for i, r := range c.Reservations {
		for _, hw := range r.HW {
			n.byHW[hw] = i
		}
		for _, id := range r.ClientIDs {
			n.byID[id] = i
		}
		if r.Addr.IsValid() {
			n.byAddr[number(r.Addr)] = i
			n.take(number(r.Addr))
		}
	}
	for _, s := range n.pool.spans { // the edges, see Network
		for a := uint64(s.first) &^ 0xff; a <= uint64(s.last); a += 256 {
			for _, edge := range []uint32{uint32(a), uint32(a) | 0xff} {
				if n.edge(edge) {
					n.take(edge)
				}
			}
		}
		first, last := n.bounds()
		for _, edge := range []uint32{first, last} {
			if n.edge(edge) {
				n.take(edge)
			}
		}
	}
	n.total = n.pool.free.count
	return n
}

func (n *network) bounds() (first, last uint32) {
	first = number(n.Prefix.Masked().Addr())
	return first, first | uint32(uint64(1)<<(32-n.Prefix.Bits())-1)
}

func (n *network) edge(addr uint32) bool {
	first, last := n.bounds()
	switch {
	case n.Prefix.Bits() >= 31:
		return false
	case n.Prefix.Bits() < 24 && (addr&0xff == 0 || addr&0xff == 0xff):
		return true
	}
	return addr == first || addr == last
}

// take and give mark an address of the pool as used and free.
func (n *network) take(addr uint32) {
	if i, ok := n.pool.index(addr); ok {
		n.pool.free.remove(i)
	}
}

func (n *network) give(addr uint32) {
	if i, ok := n.pool.index(addr); ok && n.dynamic(addr) {
		n.pool.free.add(i)
	}
}

// dynamic tells whether anybody may get the address.
func (n *network) dynamic(addr uint32) bool {
	if _, ok := n.pool.index(addr); !ok || n.edge(addr) {
		return false
	}
	_, excluded := n.exclude[addr]
	_, reserved := n.byAddr[addr]
	return !excluded && !reserved
}

// reservation returns the client's; one by hardware address before one by client identifier.
func (n *network) reservation(c Client) (Reservation, bool) {
	if i, ok := n.byHW[c.HW]; ok {
		return n.Reservations[i], true
	}
	if i, ok := n.byID[c.ClientID]; ok && c.ClientID != "" {
		return n.Reservations[i], true
	}
	return Reservation{}, false
}

// reserved tells whether the address is reserved, and whether for this client.
func (n *network) reserved(addr uint32, c Client) (reserved, own bool) {
	if _, ok := n.byAddr[addr]; !ok {
		return false, false
	}
	r, ok := n.reservation(c)
	return true, ok && r.Addr.IsValid() && number(r.Addr) == addr
}

// allowed tells whether the client may have the address, as far as the configuration goes.
func (n *network) allowed(addr uint32, c Client) bool {
	if n.gone {
		return false
	}
	if reserved, own := n.reserved(addr, c); reserved {
		return own
	}
	return n.dynamic(addr)
}

// pick returns a free address. It depends on the client's identity, so that most clients get the one that they had
// even when all memory of it was lost.
func (n *network) pick(k Key) (uint32, bool) {
	if n.pool.size == 0 {
		return 0, false
	}
	h := uint64(14695981039346656037) // FNV-1a: the same in every process, unlike hash/maphash
	for i := range len(k) {
		h = (h ^ uint64(k[i])) * 1099511628211
	}
	i, ok := n.pool.free.next(int((h ^ h>>32) % uint64(n.pool.size)))
	if !ok {
		i, ok = n.pool.free.next(0)
	}
	if !ok {
		return 0, false
	}
	return n.pool.addr(i), true
}
