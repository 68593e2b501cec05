package ra

import (
	"cmp"
	"sort"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// told remembers, for one kind of option, what hosts were told and until when they believe it. What is told no more is
// taken back with lifetime 0, as leaving it out means nothing to them (RFC 8106 section 5.1, RFC 4191 section 2.3).
type told[K comparable] struct {
	m map[K]clock.Instant
}

const (
	maxTold  = 16             // taken back at once
	toldLong = 24 * time.Hour // the longest that something is taken back
)

// tell notes that hosts are told of k for so long.
func (t *told[K]) tell(now clock.Instant, k K, lifetime time.Duration) {
	if t.m == nil {
		t.m = map[K]clock.Instant{}
	}
	if lifetime > 0 {
		t.m[k] = max(t.m[k], now.Add(min(lifetime, toldLong)))
	}
}

// gone returns what is to be taken back, in the order of compare: all that was told but what is in now.
func (t *told[K]) gone(now clock.Instant, current func(K) bool, compare func(a, b K) int) []K {
	var out []K
	for k, until := range t.m {
		switch {
		case current(k):
		case until <= now:
			delete(t.m, k)
		default:
			out = append(out, k)
		}
	}
	if len(out) > maxTold {
		sort.Slice(out, func(i, j int) bool {
			a, b := out[i], out[j]
			return cmp.Or(cmp.Compare(t.m[b], t.m[a]), compare(a, b)) < 0
		})
		for _, k := range out[maxTold:] {
			delete(t.m, k)
		}
		out = out[:maxTold]
	}
	sort.Slice(out, func(i, j int) bool { return compare(out[i], out[j]) < 0 })
	return out
}
