package cache

import (
	"bytes"
	"sync"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// secondChances is how many used entries one insertion moves at most before it takes the next one, used or not: it
// bounds the time under the lock.
const secondChances = 8

// shard is a ring of entries in one piece of memory. The oldest is overwritten first, except that one that was used
// since the hand last passed is moved to the front: the clock algorithm, without lists.
type shard struct {
	mu    sync.Mutex
	size  int               // of the arena, in bytes
	arena []byte            // nil until there is something to hold: a server is to answer before it has asked anybody anything
	index map[uint64]uint32 // hash of the key to offset
	r, w  int               // oldest entry, and where the next one goes; equal when empty or full
	used  int
	stats Stats
	_     [64]byte // the next shard's lock is on another cache line
}

func (s *shard) init(size int) {
	s.size = size &^ 7
	s.index = make(map[uint64]uint32)
}

func (s *shard) at(off int) entry {
	n := int(le.Uint32(s.arena[off:]))
	return entry(s.arena[off : off+n : off+n])
}

func (s *shard) find(hash uint64, key []byte) entry {
	off, ok := s.index[hash]
	if !ok {
		return nil
	}
	if e := s.at(int(off)); bytes.Equal(e.key(), key) {
		return e
	}
	return nil
}

// place makes room for an entry of n bytes for hash and registers it. It reuses the room of an entry of the same hash
// if it is large enough. nil: it is larger than what the shard wants to hold in one piece.
func (s *shard) place(hash uint64, n int, now clock.Instant, keep func(entry, clock.Instant) bool) entry {
	if n > s.size/4 {
		s.remove(hash)
		return nil
	}
	if s.arena == nil {
		s.arena = make([]byte, s.size) // of the operating system's zero pages: costs memory only as it fills
	}
	if off, ok := s.index[hash]; ok {
		if e := s.at(int(off)); n <= e.size() && e.size() <= 2*n {
			return e
		}
		s.remove(hash)
	}
	for chances := secondChances; ; {
		if s.used == 0 {
			s.r, s.w = 0, 0
		}
		switch {
		case s.w < s.r || s.w == s.r && s.used > 0:
			if s.r-s.w >= n {
				return s.take(hash, n)
			}
			s.evict(now, keep, &chances)
		case len(s.arena)-s.w >= n:
			return s.take(hash, n)
		default:
			if gap := len(s.arena) - s.w; gap > 0 {
				le.PutUint32(s.arena[s.w+offSize:], uint32(gap))
				le.PutUint16(s.arena[s.w+offKey:], padKey)
				s.used += gap
			}
			s.w = 0
		}
	}
}

func (s *shard) take(hash uint64, n int) entry {
	e := entry(s.arena[s.w : s.w+n : s.w+n])
	s.index[hash] = uint32(s.w)
	s.w += n
	s.used += n
	return e
}

// evict takes the oldest entry away, or moves it to the front. The free room, if any, lies right before it.
func (s *shard) evict(now clock.Instant, keep func(entry, clock.Instant) bool, chances *int) {
	off := s.r
	n := int(le.Uint32(s.arena[off:]))
	if s.r += n; s.r == len(s.arena) {
		s.r = 0
	}
	if le.Uint16(s.arena[off+offKey:]) == padKey {
		s.used -= n
		return
	}
	e := s.at(off)
	if !e.has(flagDead) && e.has(flagUsed) && *chances > 0 && keep(e, now) {
		*chances--
		e.clear(flagUsed)
		s.index[e.hash()] = uint32(s.w)
		copy(s.arena[s.w:], e)
		if s.w += n; s.w == len(s.arena) {
			s.w = 0
		}
		return
	}
	if !e.has(flagDead) {
		delete(s.index, e.hash())
		s.stats.Evicted++
	}
	s.used -= n
}

func (s *shard) remove(hash uint64) {
	if off, ok := s.index[hash]; ok {
		s.at(int(off)).set(flagDead)
		delete(s.index, hash)
	}
}

// each calls f for all entries that the index knows, oldest first. f may remove the one it is given.
func (s *shard) each(f func(entry)) {
	for off, left := s.r, s.used; left > 0; {
		n := int(le.Uint32(s.arena[off:]))
		if e := s.at(off); !e.isPad() && !e.has(flagDead) {
			f(e)
		}
		left -= n
		if off += n; off == len(s.arena) {
			off = 0
		}
	}
}

func (s *shard) flush() {
	clear(s.index)
	s.r, s.w, s.used = 0, 0, 0
}
