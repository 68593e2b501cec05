package nft

import (
	"bytes"
	"slices"
	"sort"
)

// A set with intervals (but no concatenation) is kept by the kernel as a list of places where a
// range begins and where one has ended: the end is the first key behind the range, and a range
// up to the last key there is has none (net/netfilter/nft_set_rbtree.c).

// increment makes key the one behind it; that of the last key would be the first.
func increment(key []byte) {
	for i := len(key) - 1; i >= 0; i-- {
		key[i]++
		if key[i] != 0 {
			return
		}
	}
}

// precede makes key the one before it; that of the first key would be the last.
func precede(key []byte) {
	for i := len(key) - 1; i >= 0; i-- {
		key[i]--
		if key[i] != 0xff {
			return
		}
	}
}

// last is the last key of an element.
func (e *Element) last() []byte {
	if e.To != nil {
		return e.To
	}
	return e.Key
}

// joinIntervals gives starts their ends. Both come in the kernel's order, which is ascending or
// descending. Ends are used up.
func joinIntervals(starts []Element, ends [][]byte) []Element {
	if len(starts) > 1 && compareElements(starts[0], starts[len(starts)-1]) > 0 {
		slices.Reverse(starts)
	}
	if len(ends) > 1 && bytes.Compare(ends[0], ends[len(ends)-1]) > 0 {
		slices.Reverse(ends)
	}
	if !slices.IsSortedFunc(starts, compareElements) {
		sort.SliceStable(starts, func(i, j int) bool { return compareElements(starts[i], starts[j]) < 0 })
	}
	if !slices.IsSortedFunc(ends, bytes.Compare) {
		sort.Slice(ends, func(i, j int) bool { return bytes.Compare(ends[i], ends[j]) < 0 })
	}
	for i := range starts {
		s := &starts[i]
		if len(s.Key) == 0 {
			continue // catches what no range has
		}
		for len(ends) > 0 && bytes.Compare(ends[0], s.Key) <= 0 {
			ends = ends[1:] // nft ends what is before the first range, too
		}
		var to []byte
		switch {
		case i+1 < len(starts) && (len(ends) == 0 || bytes.Compare(starts[i+1].Key, ends[0]) < 0):
			// In constant sets a range may end where the next one begins.
			to = slices.Clone(starts[i+1].Key)
			precede(to)
		case len(ends) > 0:
			to = ends[0]
			precede(to)
			ends = ends[1:]
		default:
			to = bytes.Repeat([]byte{0xff}, len(s.Key))
		}
		if !bytes.Equal(to, s.Key) {
			s.To = to
		}
	}
	return starts
}
