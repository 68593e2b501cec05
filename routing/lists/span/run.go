package span

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"sort"
)

// number is an address as a number.
type number[T any] interface {
	comparable
	less(T) bool
	next() T // of the last one: the first
	prev() T
	addr() netip.Addr
	// zeros is how many bits at its end are 0, and width how many it has.
	zeros() int
	width() int
	// fill is the last number of the block of n bits that begins with it.
	fill(n int) T
}

// run is a run of numbers, both ends in it.
type run[T any] struct{ from, to T }

// v4 is an IPv4 address.
type v4 uint32

func (a v4) less(b v4) bool { return a < b }
func (a v4) next() v4       { return a + 1 }
func (a v4) prev() v4       { return a - 1 }
func (a v4) zeros() int     { return bits.TrailingZeros32(uint32(a)) }
func (a v4) width() int     { return 32 }
func (a v4) fill(n int) v4  { return a | v4(uint64(1)<<n-1) }

func (a v4) addr() netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(a))
	return netip.AddrFrom4(b)
}

// v6 is an IPv6 address.
type v6 struct{ hi, lo uint64 }

func (a v6) less(b v6) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

func (a v6) next() v6 {
	lo, carry := bits.Add64(a.lo, 1, 0)
	return v6{a.hi + carry, lo}
}

func (a v6) prev() v6 {
	lo, borrow := bits.Sub64(a.lo, 1, 0)
	return v6{a.hi - borrow, lo}
}

func (a v6) zeros() int {
	if a.lo != 0 {
		return bits.TrailingZeros64(a.lo)
	}
	return 64 + bits.TrailingZeros64(a.hi)
}

func (a v6) width() int { return 128 }

func (a v6) fill(n int) v6 {
	if n <= 64 {
		return v6{a.hi, a.lo | (uint64(1)<<n - 1)} // a shift by 64 gives 0, and that less one is all bits
	}
	return v6{a.hi | (uint64(1)<<(n-64) - 1), ^uint64(0)}
}

func (a v6) addr() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.hi)
	binary.BigEndian.PutUint64(b[8:], a.lo)
	return netip.AddrFrom16(b)
}

// normal sorts runs, in place, and joins those that overlap or touch.
func normal[T number[T]](rs []run[T]) []run[T] {
	if len(rs) == 0 {
		return nil
	}
	sorted := true
	for i := 1; i < len(rs) && sorted; i++ {
		sorted = !rs[i].from.less(rs[i-1].from)
	}
	if !sorted {
		sort.Slice(rs, func(i, j int) bool { return rs[i].from.less(rs[j].from) })
	}
	n := 0
	for _, r := range rs[1:] {
		l := &rs[n]
		// It touches when its beginning is at most the one behind the end, which is no number after the last one.
		if !l.to.less(r.from) || l.to.next() == r.from {
			if l.to.less(r.to) {
				l.to = r.to
			}
			continue
		}
		n++
		rs[n] = r
	}
	rs = rs[:n+1]
	if cap(rs) > 2*len(rs) { // what was put in may have been many times more than what remains
		rs = append(make([]run[T], 0, len(rs)), rs...)
	}
	return rs
}

// complement is all numbers that are in no run.
func complement[T number[T]](rs []run[T], most T) []run[T] {
	var first T
	out := make([]run[T], 0, len(rs)+1)
	for _, r := range rs {
		if first.less(r.from) {
			out = append(out, run[T]{first, r.from.prev()})
		}
		if r.to == most {
			return out
		}
		first = r.to.next()
	}
	return append(out, run[T]{first, most})
}

func intersect[T number[T]](a, b []run[T]) []run[T] {
	var out []run[T]
	for len(a) > 0 && len(b) > 0 {
		from, to := a[0].from, a[0].to
		if from.less(b[0].from) {
			from = b[0].from
		}
		if b[0].to.less(to) {
			to = b[0].to
		}
		if !to.less(from) {
			out = append(out, run[T]{from, to})
		}
		if a[0].to.less(b[0].to) {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}

func has[T number[T]](rs []run[T], n T) bool {
	i := sort.Search(len(rs), func(i int) bool { return !rs[i].to.less(n) })
	return i < len(rs) && !n.less(rs[i].from)
}

func same[T number[T]](a, b []run[T]) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// split appends the fewest prefixes that are the run: each is the largest that begins there and
// does not go beyond the end.
func split[T number[T]](out []netip.Prefix, r run[T]) []netip.Prefix {
	for from := r.from; ; {
		n := min(from.zeros(), from.width())
		for r.to.less(from.fill(n)) {
			n--
		}
		out = append(out, netip.PrefixFrom(from.addr(), from.width()-n))
		end := from.fill(n)
		if end == r.to {
			return out
		}
		from = end.next()
	}
}
