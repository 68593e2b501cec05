//go:build lab && linux

package routing

import (
	"fmt"
	"slices"
)

// figures are what was measured, by name, round by round.
type figures struct {
	title, unit string
	names       []string
	by          map[string][]float64
}

func newFigures(title, unit string) *figures {
	return &figures{title: title, unit: unit, by: map[string][]float64{}}
}

func (f *figures) add(name string, v float64) {
	if _, ok := f.by[name]; !ok {
		f.names = append(f.names, name)
	}
	f.by[name] = append(f.by[name], v)
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// print gives each name's median and range, and ours beside nft's: the median and the range of the
// ratios round by round.
func (f *figures) print() {
	fmt.Printf("\n%s, %s\n", f.title, f.unit)
	for _, n := range f.names {
		v := f.by[n]
		fmt.Printf("  %-28s %10.2f (%.2f .. %.2f, %d rounds)\n", n, median(v), slices.Min(v), slices.Max(v), len(v))
	}
	for _, n := range f.names {
		if peer, ok := f.by["nft "+n]; ok {
			var r []float64
			for i, v := range f.by[n] {
				r = append(r, v/peer[i])
			}
			fmt.Printf("  %s / nft: %.3f (%.3f .. %.3f)\n", n, median(r), slices.Min(r), slices.Max(r))
		}
	}
}
