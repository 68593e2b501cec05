package lease

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sort"
)

// Range is the addresses from First to Last, both included.
type Range struct{ First, Last netip.Addr }

// Reservation ties an address or a name, or both, to a client, which is known by any of its hardware addresses or
// client identifiers: a hardware address matches also when a client identifier was sent, because boot loader, initrd
// and system of one machine send different ones.
type Reservation struct {
	Addr      netip.Addr // invalid: the name only
	HW        []HW
	ClientIDs []string // option 61, raw
	Name      string   // a label; empty: the address only
}

// Network is what addresses are allotted from. Reserved addresses may be inside or outside of the pools and go to
// nobody else. The first and the last address of the prefix (unless it is a /31 or /32), and any x.x.x.0 and x.x.x.255
// of a prefix shorter than /24, which old clients refuse, are never taken from a pool.
type Network struct {
	Name         string
	Prefix       netip.Prefix
	Pools        []Range
	Exclude      []netip.Addr // never allotted from a pool: the server's own address, routers
	Reservations []Reservation
}

// maxPool is how many addresses the pools of a network may have together: a bit each.
const maxPool = 1 << 24

// Validate returns everything that is wrong with networks, joined.
func Validate(networks []Network) error {
	var errs []error
	bad := func(n Network, format string, args ...any) {
		errs = append(errs, fmt.Errorf("network %s: %s", n.Name, fmt.Sprintf(format, args...)))
	}
	for i, n := range networks {
		if n.Name == "" {
			bad(n, "no name")
		}
		if !n.Prefix.IsValid() || !n.Prefix.Addr().Is4() {
			bad(n, "prefix %v is none of IPv4", n.Prefix)
			continue
		}
		for _, o := range networks[:i] {
			if o.Name == n.Name {
				bad(n, "two of that name")
			}
			if o.Prefix.IsValid() && o.Prefix.Overlaps(n.Prefix) {
				bad(n, "prefix %v overlaps %v of %s", n.Prefix, o.Prefix, o.Name)
			}
		}
		n.validate(func(format string, args ...any) { bad(n, format, args...) })
	}
	return errors.Join(errs...)
}

func (n Network) validate(bad func(string, ...any)) {
	size := uint64(0)
	pools := slices.Clone(n.Pools)
	sort.Slice(pools, func(i, j int) bool { return pools[i].First.Compare(pools[j].First) < 0 })
	for i, p := range pools {
		switch {
		case !n.Prefix.Contains(p.First) || !n.Prefix.Contains(p.Last):
			bad("pool %v-%v is not inside %v", p.First, p.Last, n.Prefix)
		case p.Last.Less(p.First):
			bad("pool %v-%v runs backwards", p.First, p.Last)
		case i > 0 && !pools[i-1].Last.Less(p.First):
			bad("pools %v-%v and %v-%v overlap", pools[i-1].First, pools[i-1].Last, p.First, p.Last)
		default:
			size += uint64(number(p.Last)-number(p.First)) + 1
		}
	}
	if size > maxPool {
		bad("pools of %d addresses, at most %d", size, maxPool)
	}
	addrs, hws, ids := map[netip.Addr]bool{}, map[HW]bool{}, map[string]bool{}
	for _, r := range n.Reservations {
		if r.Addr.IsValid() && !n.Prefix.Contains(r.Addr) {
			bad("reserved address %v is not inside %v", r.Addr, n.Prefix)
		}
		if r.Addr.IsValid() && addrs[r.Addr] {
			bad("address %v is reserved twice", r.Addr)
		}
		addrs[r.Addr] = true
		if len(r.HW)+len(r.ClientIDs) == 0 {
			bad("the reservation of %v %s names no client", r.Addr, r.Name)
		}
		for _, hw := range r.HW {
			if hws[hw] {
				bad("two reservations for hardware address %x", hw.Addr)
			}
			hws[hw] = true
		}
		for _, id := range r.ClientIDs {
			if ids[id] {
				bad("two reservations for client identifier %x", id)
			}
			ids[id] = true
		}
	}
}

// number is an IPv4 address as the integer that it is.
func number(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func address(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// pool is the pools of a network end to end: addresses numbered from 0, and which are free.
type pool struct {
	spans []span
	size  int
	free  bitmap
}

type span struct {
	first, last uint32
	base        int // number of the first one
}

func newPool(ranges []Range) pool {
	var p pool
	for _, r := range ranges {
		p.spans = append(p.spans, span{first: number(r.First), last: number(r.Last)})
	}
	sort.Slice(p.spans, func(i, j int) bool { return p.spans[i].first < p.spans[j].first })
	for i := range p.spans {
		p.spans[i].base = p.size
		p.size += int(p.spans[i].last-p.spans[i].first) + 1
	}
	p.free = newBitmap(p.size)
	return p
}

func (p *pool) index(addr uint32) (int, bool) {
	i, found := slices.BinarySearchFunc(p.spans, addr, func(s span, a uint32) int { return cmp.Compare(s.first, a) })
	if !found {
		i--
	}
	if i < 0 || addr > p.spans[i].last {
		return 0, false
	}
	return p.spans[i].base + int(addr-p.spans[i].first), true
}

func (p *pool) addr(index int) uint32 {
	i, found := slices.BinarySearchFunc(p.spans, index, func(s span, x int) int { return cmp.Compare(s.base, x) })
	if !found {
		i--
	}
	return p.spans[i].first + uint32(index-p.spans[i].base)
}
