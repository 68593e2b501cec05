// Package cache keeps answers as they came over the wire, with the places of their TTLs, bounded by bytes. A hit is a
// copy and a few subtractions.
package cache

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/dns/wire"
)

// Cache of answers. Its methods may be called at once.
type Cache struct {
	config Config
	seed   maphash.Seed
	shards []shard
	epoch  atomic.Uint32 // failures of another epoch are forgotten
	keep   func(entry, clock.Instant) bool
}

// Stats are counted since the start, except Entries, Used and Bytes. Hits and misses are look-ups, those for names that
// then turn out to be local among them.
type Stats struct {
	Hits, Stale, Failed, Misses uint64
	Stored, Evicted, TooLarge   uint64
	Refreshes                   uint64 // prefetches asked for
	Entries                     int
	Used                        int // bytes of answers, with what waits to be overwritten
	Bytes                       int // room for them
	NotCacheable                uint64
}

// New makes a cache. The configuration must be valid.
func New(c Config) *Cache {
	k := &Cache{config: c, seed: maphash.MakeSeed()}
	k.keep = func(e entry, now clock.Instant) bool {
		return now < e.stored().Add(time.Duration(e.life())*time.Second+c.StaleFor)
	}
	if c.Bytes == 0 {
		return k
	}
	arena := c.Bytes / 4 * 3
	n := 1
	for n < 8 && arena/(2*n) >= 128<<10 {
		n *= 2
	}
	k.shards = make([]shard, n)
	for i := range k.shards {
		k.shards[i].init(arena / n)
	}
	return k
}

// State of what is known about a question.
type State uint8

const (
	Miss   State = iota
	Fresh        // answered
	Stale        // answered from what has run out, because asking failed a moment ago
	Failed       // asking failed a moment ago, and there is nothing to fall back on
)

// Hit is the result of Get.
type Hit struct {
	State State
	// Refresh: the answer is popular and near its end, and this caller is the one to have it renewed.
	Refresh bool
	// HasStale: there is an answer that has run out, for Stale to give when asking fails or takes long.
	HasStale bool
}

func (c *Cache) shard(key []byte) (*shard, uint64) {
	h := maphash.Bytes(c.seed, key)
	return &c.shards[int(h>>32)&(len(c.shards)-1)], h
}

// Get appends the answer for key to out, with its TTLs as old as they are: the message as it was stored, so ID, flags
// and question are for the caller to set. Nothing is appended for Miss and Failed.
func (c *Cache) Get(key []byte, now clock.Instant, out []byte) ([]byte, Hit) {
	if len(c.shards) == 0 {
		return out, Hit{}
	}
	s, hash := c.shard(key)
	s.mu.Lock()
	e := s.find(hash, key)
	if e == nil {
		s.stats.Misses++
		s.mu.Unlock()
		return out, Hit{}
	}
	var hit Hit
	age := now.Sub(e.stored())
	life := time.Duration(e.life()) * time.Second
	if age < life {
		e.set(flagUsed)
		hits := e.hits()
		if hits < 0xffff {
			hits++
			le.PutUint16(e[offHits:], hits)
		}
		if p := c.config.PrefetchHits; p > 0 && int(hits) >= p && !e.has(flagRefresh) && life-age < time.Duration(float64(life)*c.config.PrefetchLeft) {
			e.set(flagRefresh)
			hit.Refresh = true
			s.stats.Refreshes++
		}
		hit.State = Fresh
		s.stats.Hits++
		out = aged(e, out, uint32(max(age, 0)/time.Second))
		s.mu.Unlock()
		return out, hit
	}
	hit.HasStale = e.life() > 0 && age < life+c.config.StaleFor
	if now < e.until() && e.epoch() == c.epoch.Load() {
		hit.State = Failed
		if hit.HasStale {
			hit.State = Stale
			e.set(flagUsed)
			out = c.stale(e, out)
			s.stats.Stale++
		} else {
			s.stats.Failed++
		}
	} else {
		s.stats.Misses++
	}
	s.mu.Unlock()
	return out, hit
}

// Stale appends an answer that has run out, or a fresh one, with the TTL of stale ones; ok is false if there is none.
func (c *Cache) Stale(key []byte, now clock.Instant, out []byte) (reply []byte, ok bool) {
	if len(c.shards) == 0 {
		return out, false
	}
	s, hash := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(hash, key)
	if e == nil || e.life() == 0 || now.Sub(e.stored()) >= time.Duration(e.life())*time.Second+c.config.StaleFor {
		return out, false
	}
	s.stats.Stale++
	e.set(flagUsed)
	return c.stale(e, out), true
}

func aged(e entry, out []byte, age uint32) []byte {
	start := len(out)
	out = append(out, e.wire()...)
	msg := out[start:]
	for t := e.ttls(); len(t) >= 2; t = t[2:] {
		at := msg[le.Uint16(t):]
		wire.PutU32(at, wire.U32(at)-age)
	}
	return out
}

func (c *Cache) stale(e entry, out []byte) []byte {
	start := len(out)
	out = append(out, e.wire()...)
	msg := out[start:]
	for t := e.ttls(); len(t) >= 2; t = t[2:] {
		wire.PutU32(msg[le.Uint16(t):], uint32(c.config.StaleTTL/time.Second))
	}
	return out
}

// Put stores an answer: a whole message with one question and without OPT. Its TTLs are brought within the configured
// bounds in place, also when it is not kept. It returns how long it will be kept.
func (c *Cache) Put(key, msg []byte, now clock.Instant) time.Duration {
	var room [64]uint16
	ttls, life, ok := c.prepare(msg, room[:0])
	if len(c.shards) == 0 {
		return 0
	}
	s, hash := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok || life == 0 || len(msg) > 0xffff {
		s.stats.NotCacheable++
		s.remove(hash) // what it replaces is no longer true
		return 0
	}
	e := s.place(hash, sizeOf(len(key), len(msg), len(ttls)), now, c.keep)
	if e == nil {
		s.stats.TooLarge++
		return 0
	}
	e.fill(hash, key, msg, ttls, now, life)
	s.stats.Stored++
	return time.Duration(life) * time.Second
}

// Fail remembers that asking for key has failed, for twice as long each time in a row. An answer that has run out
// stays, to be given as stale. It returns for how long.
func (c *Cache) Fail(key []byte, now clock.Instant) time.Duration {
	if len(c.shards) == 0 {
		return 0
	}
	epoch := c.epoch.Load()
	s, hash := c.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(hash, key)
	if e == nil {
		if e = s.place(hash, sizeOf(len(key), 0, 0), now, c.keep); e == nil {
			return 0
		}
		e.fill(hash, key, nil, nil, now, 0)
	}
	fails := e[offFails]
	if e.epoch() != epoch || now > e.until().Add(c.config.FailMax) {
		fails = 0
	}
	d := c.config.FailMax
	if fails < 16 {
		d = min(d, c.config.FailMin<<fails)
		fails++
	}
	e.setFailure(fails, now.Add(d), epoch)
	e.clear(flagRefresh)
	return d
}

// ForgetFailures is for when the network has changed: what failed may work now.
func (c *Cache) ForgetFailures() { c.epoch.Add(1) }

// Flush forgets everything.
func (c *Cache) Flush() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.flush()
		s.mu.Unlock()
	}
}

// FlushName forgets all answers for name, in wire form and lower case, and with below also those for names beneath
// it, in every view. It returns how many there were.
func (c *Cache) FlushName(name []byte, below bool) int {
	n := 0
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.each(func(e entry) {
			if matches(e.key(), name, below) {
				s.remove(e.hash())
				n++
			}
		})
		s.mu.Unlock()
	}
	return n
}

func matches(key, name []byte, below bool) bool {
	owner := key[:max(0, len(key)-4-wire.KeyExtra)]
	for {
		if string(owner) == string(name) {
			return true
		}
		if !below || len(owner) == 0 || owner[0] == 0 || int(owner[0])+1 > len(owner) {
			return false
		}
		owner = owner[1+int(owner[0]):]
	}
}

// Drop forgets the answers for which f is true. It holds a lock while f runs.
func (c *Cache) Drop(f func(name []byte, qtype, class uint16) bool) {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.each(func(e entry) {
			k := e.key()
			n := len(k) - wire.KeyExtra - 4
			if n > 0 && f(k[:n], wire.U16(k[n:]), wire.U16(k[n+2:])) {
				s.remove(e.hash())
			}
		})
		s.mu.Unlock()
	}
}

// Stats sums up.
func (c *Cache) Stats() Stats {
	var t Stats
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		t.Hits += s.stats.Hits
		t.Stale += s.stats.Stale
		t.Failed += s.stats.Failed
		t.Misses += s.stats.Misses
		t.Stored += s.stats.Stored
		t.Evicted += s.stats.Evicted
		t.TooLarge += s.stats.TooLarge
		t.Refreshes += s.stats.Refreshes
		t.NotCacheable += s.stats.NotCacheable
		t.Entries += len(s.index)
		t.Used += s.used
		t.Bytes += s.size
		s.mu.Unlock()
	}
	return t
}
