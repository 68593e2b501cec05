// Package span is exact sets of IP addresses as sorted runs: no address more or less than was put
// in. A run need not be a prefix. The registries count addresses (1536 are no power of two), and
// whoever rounds that to a prefix routes strangers.
//
// IPv4 and IPv6 are kept apart, a run of IPv4 in 8 bytes and one of IPv6 in 32: lists of the
// whole world fit into a small machine.
package span

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Range is a run of addresses of one family, both ends in it.
type Range struct{ From, To netip.Addr }

// Set is a set of addresses. The zero value is empty. Sets are not changed once they are made.
type Set struct {
	four []run[v4]
	six  []run[v6]
}

// Builder collects runs in any order. The zero value is ready.
type Builder struct{ s Set }

// Add puts a run in: both ends of one family, without zone. IPv4 written as IPv6 is IPv4.
func (b *Builder) Add(from, to netip.Addr) error {
	if from.Is4In6() && to.Is4In6() {
		from, to = from.Unmap(), to.Unmap()
	}
	switch {
	case !from.IsValid() || !to.IsValid() || from.Zone() != "" || to.Zone() != "":
		return fmt.Errorf("%s to %s are no addresses", from, to)
	case from.BitLen() != to.BitLen():
		return fmt.Errorf("%s to %s begins in one family and ends in the other", from, to)
	case to.Less(from):
		return fmt.Errorf("%s to %s ends before it begins", from, to)
	case from.Is4():
		b.s.four = append(b.s.four, run[v4]{four(from), four(to)})
	default:
		b.s.six = append(b.s.six, run[v6]{six(from), six(to)})
	}
	return nil
}

// AddPrefix puts a prefix in; bits behind its length do not count.
func (b *Builder) AddPrefix(p netip.Prefix) error {
	if !p.IsValid() {
		return fmt.Errorf("%s is no prefix", p)
	}
	p = p.Masked()
	if p.Addr().Is6() { // a part of IPv6 may lie where IPv4 is mapped
		b.s.six = append(b.s.six, run[v6]{six(p.Addr()), six(Last(p))})
		return nil
	}
	return b.Add(p.Addr(), Last(p))
}

// AddSet puts all of a set in.
func (b *Builder) AddSet(s Set) {
	b.s.four, b.s.six = append(b.s.four, s.four...), append(b.s.six, s.six...)
}

// Len is how many runs were put in, joined or not.
func (b *Builder) Len() int { return len(b.s.four) + len(b.s.six) }

// Set is all that was put in; the builder is empty afterwards.
func (b *Builder) Set() Set {
	out := Set{normal(b.s.four), normal(b.s.six)}
	b.s = Set{}
	return out
}

// Of is the set of prefixes.
func Of(prefixes ...netip.Prefix) (Set, error) {
	var b Builder
	for _, p := range prefixes {
		if err := b.AddPrefix(p); err != nil {
			return Set{}, err
		}
	}
	return b.Set(), nil
}

// All is every address of both families.
func All() Set { return Set{}.Complement() }

// Union is what is in a or in b.
func Union(a, b Set) Set {
	return Set{normal(append(append([]run[v4](nil), a.four...), b.four...)), normal(append(append([]run[v6](nil), a.six...), b.six...))}
}

// Complement is every address, of both families, that is not in s.
func (s Set) Complement() Set {
	return Set{complement(s.four, ^v4(0)), complement(s.six, v6{^uint64(0), ^uint64(0)})}
}

// Intersect is what is in both.
func Intersect(a, b Set) Set { return Set{intersect(a.four, b.four), intersect(a.six, b.six)} }

// Minus is s without what is in o.
func (s Set) Minus(o Set) Set { return Intersect(s, o.Complement()) }

// Of4 is the IPv4 part, Of6 the IPv6 part.
func (s Set) Of4() Set { return Set{four: s.four} }

// Of6 is the IPv6 part.
func (s Set) Of6() Set { return Set{six: s.six} }

// Has reports whether an address is in the set. A zone does not count.
func (s Set) Has(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	switch {
	case !a.IsValid():
		return false
	case a.Is4():
		return has(s.four, four(a))
	}
	return has(s.six, six(a))
}

// Empty reports whether nothing is in it.
func (s Set) Empty() bool { return len(s.four)+len(s.six) == 0 }

// String tells its size.
func (s Set) String() string {
	return fmt.Sprintf("%d runs of IPv4 addresses and %d of IPv6", len(s.four), len(s.six))
}

// Runs is how many runs a family (4, 6) has: that many elements a set of nf_tables gets.
func (s Set) Runs(family int) int {
	if family == 6 {
		return len(s.six)
	}
	return len(s.four)
}

// Count4 is how many IPv4 addresses there are, and Count6 how many /64 of IPv6 are at least begun
// (all of them: 1<<64-1, one less than there are).
func (s Set) Count4() uint64 {
	n := uint64(0)
	for _, r := range s.four {
		n += uint64(r.to-r.from) + 1
	}
	return n
}

// Count6 is how many /64 the set has a part of.
func (s Set) Count6() uint64 {
	n, seen, at := uint64(0), false, uint64(0)
	for _, r := range s.six {
		first := r.from.hi
		if seen && first == at {
			if r.to.hi == first {
				continue
			}
			first++
		}
		m := r.to.hi - first
		if m == ^uint64(0) {
			return m
		}
		n += m + 1
		seen, at = true, r.to.hi
	}
	return n
}

// Ranges are the runs of a family, ascending; neighbours do not touch.
func (s Set) Ranges(family int) []Range {
	out := make([]Range, 0, s.Runs(family))
	if family == 6 {
		for _, r := range s.six {
			out = append(out, Range{r.from.addr(), r.to.addr()})
		}
		return out
	}
	for _, r := range s.four {
		out = append(out, Range{r.from.addr(), r.to.addr()})
	}
	return out
}

// Prefixes are the fewest prefixes that are the set and nothing else, ascending, IPv4 first.
func (s Set) Prefixes() []netip.Prefix {
	var out []netip.Prefix
	for _, r := range s.four {
		out = split(out, r)
	}
	for _, r := range s.six {
		out = split(out, r)
	}
	return out
}

// Equal reports whether both hold the same addresses.
func Equal(a, b Set) bool { return same(a.four, b.four) && same(a.six, b.six) }

func four(a netip.Addr) v4 { b := a.As4(); return v4(binary.BigEndian.Uint32(b[:])) }

func six(a netip.Addr) v6 {
	b := a.As16()
	return v6{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// Last is the last address of a masked prefix.
func Last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b) // 4 or 16 bytes
	return a
}
