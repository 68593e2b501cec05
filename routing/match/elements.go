package match

import (
	"bytes"
	"net/netip"
	"slices"
	"sort"
	"strings"

	"github.com/provision-net/provision/provision/resource/nft"
)

// nameLen is IFNAMSIZ of linux/if.h: a name of at most 15 bytes and a zero.
const nameLen = 16

// NameKey is an interface's name as the kernel compares it: 16 bytes padded with zeros.
//
//go:noinline
func NameKey(name string) []byte {
	b := make([]byte, nameLen)
	copy(b, name)
	return b
}

// Range is one run of addresses of one family, both ends in it.
type Range struct{ From, To netip.Addr }

// RangeOf is the run of addresses that a prefix is.
func RangeOf(p netip.Prefix) Range { return Range{p.Masked().Addr(), LastOf(p)} }

// Merge sorts runs of addresses of one family and joins those that overlap or touch: elements
// of a set must not overlap, and fewer are smaller.
func Merge(rs []Range) []Range {
	rs = slices.Clone(rs)
	sort.Slice(rs, func(i, j int) bool { return rs[i].From.Less(rs[j].From) })
	var out []Range
	for _, r := range rs {
		if n := len(out); n > 0 && (r.From.Compare(out[n-1].To) <= 0 || r.From == out[n-1].To.Next()) {
			if r.To.Compare(out[n-1].To) > 0 {
				out[n-1].To = r.To
			}
			continue
		}
		out = append(out, r)
	}
	return out
}

// Addresses are the elements of a set of addresses of one family with Interval: merged, sorted.
func Addresses(rs []Range) []nft.Element {
	var out []nft.Element
	for _, r := range Merge(rs) {
		e := nft.Element{Key: r.From.AsSlice()}
		if r.To != r.From {
			e.To = r.To.AsSlice()
		}
		out = append(out, e)
	}
	return out
}

// PortRange is a run of ports, both ends in it.
type PortRange struct{ From, To uint16 }

// Ports are the elements of a set of ports with Interval: merged, sorted.
func Ports(rs []PortRange) []nft.Element {
	rs = slices.Clone(rs)
	if len(rs) > 1 {
		sort.Slice(rs, func(i, j int) bool { return rs[i].From < rs[j].From })
	}
	var out []nft.Element
	last := -2
	for _, r := range rs {
		if n := len(out); n > 0 && int(r.From) <= last+1 {
			if int(r.To) > last {
				out[n-1].To, last = PortKey(r.To), int(r.To)
			}
			continue
		}
		e := nft.Element{Key: PortKey(r.From)}
		if r.To != r.From {
			e.To = PortKey(r.To)
		}
		out, last = append(out, e), int(r.To)
	}
	return out
}

// Names are the elements of a set of interface names without Interval: exact names only,
// sorted, each once.
func Names(names []string) []nft.Element {
	names = slices.Clone(names)
	slices.Sort(names)
	var out []nft.Element
	for _, n := range slices.Compact(names) {
		out = append(out, nft.Element{Key: NameKey(n)})
	}
	return out
}

// Types are the elements of a set of TypeICMPv6.
func Types(types ...uint8) []nft.Element {
	types = slices.Clone(types)
	sort.Slice(types, func(i, j int) bool { return types[i] < types[j] })
	var out []nft.Element
	for _, t := range slices.Compact(types) {
		out = append(out, nft.Element{Key: []byte{t}})
	}
	return out
}

// NameVerdicts are the elements of a verdict map from interface names.
func NameVerdicts(to map[string]nft.Verdict) []nft.Element {
	var out []nft.Element
	for n, v := range to {
		out = append(out, nft.Element{Key: NameKey(n), Verdict: &v})
	}
	slices.SortFunc(out, func(a, b nft.Element) int { return bytes.Compare(a.Key, b.Key) })
	return out
}

// Pattern says that a name stands for every interface with that beginning.
func Pattern(name string) bool { return strings.HasSuffix(name, "*") }

// Covers says that each interface that b names is one that a names; both may be patterns.
func Covers(a, b string) bool {
	start, is := strings.CutSuffix(a, "*")
	if !is {
		return a == b
	}
	return strings.HasPrefix(strings.TrimSuffix(b, "*"), start)
}

// Overlap says that some interface is named by both.
func Overlap(a, b string) bool { return Covers(a, b) || Covers(b, a) }
