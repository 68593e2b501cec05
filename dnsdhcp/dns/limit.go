package dns

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// limiter is a token bucket per client in a table of fixed size. A bucket is one number, the time when it will be full
// again (the generic cell rate algorithm), so a client that is not in the table is one with a full bucket.
type limiter struct {
	seed     maphash.Seed
	interval time.Duration // between questions at the steady rate
	slack    time.Duration // how far ahead a client may be
	sets     []limitSet
}

const limitWays = 8

type limitSet struct {
	mu   sync.Mutex
	hash [limitWays]uint64
	full [limitWays]clock.Instant
}

func newLimiter(r Rate) *limiter {
	if r.PerSecond == 0 {
		return nil
	}
	n := 1
	for n*limitWays < r.Clients {
		n *= 2
	}
	interval := time.Second / time.Duration(r.PerSecond)
	return &limiter{seed: maphash.MakeSeed(), interval: interval, slack: interval * time.Duration(r.Burst-1), sets: make([]limitSet, n)}
}

// allow takes a token for addr, and says whether there was one.
func (l *limiter) allow(addr netip.Addr, now clock.Instant) bool {
	if l == nil {
		return true
	}
	b := addr.As16()
	key := b[:]
	if !addr.Is4() {
		key = b[:8] // who has a /64 has 2^64 addresses
	}
	h := maphash.Bytes(l.seed, key)
	s := &l.sets[int(h>>32)&(len(l.sets)-1)]
	s.mu.Lock()
	defer s.mu.Unlock()
	way, oldest := -1, 0
	for i := range s.hash {
		if s.hash[i] == h {
			way = i
			break
		}
		if s.full[i] < s.full[oldest] {
			oldest = i
		}
	}
	if way < 0 {
		way = oldest
		s.hash[way], s.full[way] = h, now
	}
	full := max(s.full[way], now)
	if full.Sub(now) > l.slack {
		return false
	}
	s.full[way] = full.Add(l.interval)
	return true
}
