package firewall

import (
	"math/rand/v2"
	"testing"

	"github.com/provision-net/provision/routing/match"
)

// TestSpan: what the spans tell apart, covers tells apart too.
func TestSpan(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	some := func() (ts []traffic) {
		for _, proto := range []uint8{match.ICMP, match.TCP, match.UDP} {
			if random.IntN(3) == 0 {
				continue
			}
			one := traffic{proto: proto}
			for range random.IntN(3) {
				if proto == match.ICMP {
					one.types = append(one.types, uint8(random.IntN(3)))
					continue
				}
				from := uint16(random.IntN(6))
				one.ports = append(one.ports, match.PortRange{From: from, To: from + uint16(random.IntN(3))})
			}
			ts = append(ts, one)
		}
		return ts
	}
	apart, covered := 0, 0
	for range 200_000 {
		a, b := some(), some()
		all := a == nil || b != nil
		for i := range b {
			all = all && (a == nil || coversOne(a, &b[i]))
		}
		g, n := gives(a), needs(b)
		if out := g.first > n.first || g.last < n.last; out && all {
			t.Fatalf("%+v covers %+v, but %+v is outside of %+v", a, b, n, g)
		} else if out {
			apart++
		}
		if all {
			covered++
		}
	}
	if apart < 10_000 || covered < 10_000 {
		t.Errorf("%d told apart, %d covered: nothing was tried", apart, covered)
	}
}
