//go:build lab && linux

package selftest

import (
	"testing"

	"github.com/provision-net/provision/provision"
)

// One peer more on a device of a thousand: the whole apply, with its snapshot and its commit.
func BenchmarkOneMore(b *testing.B) {
	w := newWorld(b)
	w.tunnel(right4 + ":2")
	wants := append(w.left.want, many(0, 1000)...)
	apply := func() {
		var err error
		w.left.ns.Do(func() {
			_, err = w.left.engine.Apply(b.Context(), provision.Desired{Wants: wants}, provision.ApplyOptions{})
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	apply()
	next := 1000
	for b.Loop() {
		wants = append(wants, many(next, 1)...)
		next++
		apply()
	}
}
