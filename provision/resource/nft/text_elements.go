package nft

import (
	"bytes"
	"cmp"
	"slices"
	"sort"
	"strings"
)

// elements writes all elements of a set, in nft's order.
func elements(set Set) ([]string, bool) {
	es := slices.Clone(set.Elements)
	// Single intervals of numbers in host order are kept in network order, or they were no intervals.
	d, _ := typeOf(set.Key[0])
	swapped := set.Interval && len(set.Key) == 1 && d.host
	sort.SliceStable(es, func(i, j int) bool { return compareKeys(set, swapped, es[i].Key, es[j].Key) < 0 })
	out := make([]string, 0, len(es))
	good := true
	for _, e := range es {
		text, ok := "*", true // every key that has no element of its own
		if len(e.Key) > 0 {
			text, ok = concat(set.Key, e.Key, e.To, swapped)
		}
		if !ok {
			text, good = hexNumber(e.Key), false
		}
		if e.Timeout > 0 && e.Timeout != set.Timeout {
			text += " timeout " + sayTime(e.Timeout)
		}
		if e.Expires > 0 {
			text += " expires " + sayTime(e.Expires)
		}
		if e.Comment != "" {
			text += " comment " + quote(e.Comment)
		}
		switch {
		case e.Verdict != nil:
			text += " : " + verdictText(*e.Verdict)
		case len(set.Data) > 0:
			d, ok := dataText(set.Data, e.Data)
			if !ok {
				d, good = hexNumber(e.Data), false
			}
			text += " : " + d
		}
		out = append(out, text)
	}
	return out, good
}

// dataText writes a map's value; nat prefixes are both ends of a range.
func dataText(types []string, data []byte) (string, bool) {
	if d, ok := typeByName(types[0]); ok && len(types) == 1 && len(data) == d.size && d.size == 2*TypeSize(d.whole()) {
		return sayRange(d.whole(), data[:d.size/2], data[d.size/2:], false)
	}
	return concat(types, data, nil, false)
}

// whole is the type by a number alone, whatever the size: a map's value that has twice the size
// of its type is a range.
func (d datatype) whole() string {
	for _, x := range datatypes {
		if x.number == d.number {
			return x.name
		}
	}
	return ""
}

// concat writes the parts of a key; with to each part is a range.
func concat(types []string, from, to []byte, swapped bool) (string, bool) {
	if len(to) == 0 {
		to = from
	}
	var out []string
	for i, name := range types {
		d, known := typeOf(name)
		n := d.size
		if n == 0 && i == len(types)-1 {
			n = len(from)
		}
		if !known || len(from) < n || len(to) < n || n == 0 {
			return "", false
		}
		text, ok := sayRange(name, from[:n], to[:n], swapped)
		if !ok {
			return "", false
		}
		out = append(out, text)
		n = min(int(align4(uint32(n))), len(from), len(to))
		from, to = from[n:], to[n:]
	}
	return strings.Join(out, " . "), len(from) == 0
}

// compareKeys orders as nft does: as numbers, in the order of the type's bytes; "*" is last.
func compareKeys(set Set, swapped bool, a, b []byte) int {
	if len(a) == 0 || len(b) == 0 {
		return cmp.Compare(len(b), len(a))
	}
	for _, name := range set.Key {
		d, _ := typeOf(name)
		n := min(len(a), len(b))
		if len(set.Key) > 1 {
			n = min(n, int(align4(uint32(d.size))))
		}
		x, y := a[:n], b[:n]
		if (d.host && !swapped) || name == TypeIfname && !set.Interval {
			x, y = reversed(x), reversed(y)
		}
		if c := bytes.Compare(x, y); c != 0 {
			return c
		}
		a, b = a[n:], b[n:]
	}
	return 0
}
