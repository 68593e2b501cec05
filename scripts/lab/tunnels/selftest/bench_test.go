//go:build lab && linux

package selftest

import (
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/wireguard"
)

// A thousand peers in one apply, with its snapshot and its commit.
func BenchmarkThousand(b *testing.B) {
	w := newWorld(b)
	w.tunnel(right4 + ":2")
	thousand := append(w.left.want[:len(w.left.want):len(w.left.want)], many(0, 1000)...)
	for b.Loop() {
		for _, wants := range [][]provision.Want{thousand, w.left.want} {
			var err error
			w.left.ns.Do(func() {
				_, err = w.left.engine.Apply(b.Context(), provision.Desired{Wants: wants}, provision.ApplyOptions{})
			})
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer() // taking them away is not what is asked
		}
		b.StartTimer()
	}
}

// One peer more on a device of a thousand: the whole apply, with its snapshot and its commit; wire-ms is what the device takes
// of it, one dump and one request.
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
	wire := time.Hour
	for i := range 5 {
		one := many(next+i, 1)[0]
		var err error
		w.left.ns.Do(func() {
			begin := time.Now()
			err = wireguard.Peers{Sockets: w.left.sockets}.Set(b.Context(), one.Name, nil, one.Attrs)
			wire = min(wire, time.Since(begin))
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(wire.Microseconds())/1000, "wire-ms")
}
