package dhcp4

import (
	"hash/maphash"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

const (
	// buckets bounds the memory of the flood limit: clients share one if their hashes fall together.
	buckets = 2048
	// unknownRate is how many packets a second all unknown clients of a link have together. It is far above what honest
	// ones send, even when a whole rack boots, and leaves time for the known ones when somebody makes up addresses.
	unknownRate = 10000
	// maxOffers is how many offers of a link may wait to be taken. From a quarter of it on they are held shortly only.
	maxOffers  = 4096
	shortOffer = 10 * time.Second
)

// limiter is the flood limit of one link. Clients that hold a lease or an offer have budgets apart from those that do
// not, so that nobody who makes up addresses can use up theirs.
type limiter struct {
	seed           maphash.Seed
	known, unknown [buckets]bucket
	shared         bucket
}

// bucket is a token bucket in one word: the time at which it will be full again (the generic cell rate algorithm).
type bucket clock.Instant

func (b *bucket) take(now clock.Instant, every time.Duration, burst int) bool {
	t := max(clock.Instant(*b), now)
	if t.Sub(now) > every*time.Duration(burst-1) {
		return false
	}
	*b = bucket(t.Add(every))
	return true
}

// allow says whether one more packet of this client is looked at, and else why not.
func (l *limiter) allow(now clock.Instant, c *lease.Client, known bool, rate int) (reason string, ok bool) {
	// By hardware address where there is one, as long as the client is unknown: an identifier is easier made up. A known one
	// is counted under what it is known by.
	id := c.HW.Addr
	if known || id == "" {
		id = string(c.Key)
	}
	i := maphash.String(l.seed, id) % buckets
	every, burst := time.Second/time.Duration(rate), 2*rate
	if known {
		if !l.known[i].take(now, every, burst) {
			return ReasonFlood, false
		}
		return "", true
	}
	if !l.unknown[i].take(now, every, burst) {
		return ReasonFlood, false
	}
	if !l.shared.take(now, time.Second/unknownRate, unknownRate/10) {
		return ReasonFloodUnknown, false
	}
	return "", true
}

// offers counts the offers that wait to be taken.
type offers struct {
	until map[lease.Key]clock.Instant
	swept clock.Instant
}

// hold says until when a new offer may be held, false if there are too many.
func (o *offers) hold(now clock.Instant, k lease.Key, d time.Duration) (clock.Instant, bool) {
	if o.until == nil {
		o.until = map[lease.Key]clock.Instant{}
	}
	if len(o.until) >= maxOffers/4 {
		if d = min(d, shortOffer); now.Sub(o.swept) >= time.Second {
			o.swept = now
			for k, until := range o.until {
				if until <= now {
					delete(o.until, k)
				}
			}
		}
	}
	before, ok := o.until[k]
	if !ok && len(o.until) >= maxOffers {
		return 0, false
	}
	until := max(before, now.Add(d)) // the table does not shorten what it holds, either
	o.until[k] = until
	return until, true
}

func (o *offers) drop(k lease.Key) { delete(o.until, k) }
