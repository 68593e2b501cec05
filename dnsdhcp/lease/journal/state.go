package journal

import (
	"bytes"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sort"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

// state is what a file says, in the time of the file's boot. Records are kept as they were written: a third of the
// memory, and a compaction copies them.
type state struct {
	leases map[[4]byte][]byte
	past   queue // oldest first
	values map[string][]byte

	last, best clock.Reading // anchors: the latest, and the latest synchronised one (BootID empty if there is none)
	known      clock.Instant // the latest instant that is known to have been
}

// queue is the payloads of ended leases, at most limit.
type queue struct {
	limit int
	items [][]byte
	first int // of items, which is a ring once it is full
}

func (q *queue) push(b []byte) {
	switch {
	case q.limit <= 0:
	case len(q.items) < q.limit:
		q.items = append(q.items, b)
	default:
		q.items[q.first] = b
		q.first = (q.first + 1) % len(q.items)
	}
}

// all returns them oldest first.
func (q *queue) all() [][]byte { return append(slices.Clone(q.items[q.first:]), q.items[:q.first]...) }

func newState(history int) *state {
	return &state{leases: map[[4]byte][]byte{}, values: map[string][]byte{}, past: queue{limit: history}}
}

// ErrNewer is the error of Open for a file that a later release of this program has written.
var ErrNewer = errors.New("written by a later version of this program")

// apply takes one payload, of which it keeps no part.
func (s *state) apply(payload []byte) error {
	if len(payload) < 2 {
		return errBad
	}
	if payload[0] > version {
		return ErrNewer
	}
	switch body := payload[2:]; payload[1] {
	case kindAnchor:
		a, err := decodeAnchor(body)
		if err != nil || a.Boot < 0 {
			return errBad
		}
		s.anchor(a)
	case kindLease:
		e, err := decodeEntry(body)
		if err != nil {
			return err
		}
		s.lease(e, payload)
	case kindPast:
		if _, err := decodePast(body); err != nil {
			return err
		}
		s.past.push(bytes.Clone(payload))
	case kindValue:
		v, err := decodeValue(body)
		if err != nil {
			return err
		}
		if v.deleted {
			delete(s.values, v.key)
		} else {
			s.values[v.key] = v.value
		}
	default:
		return errBad
	}
	return nil
}

func (s *state) anchor(a clock.Reading) {
	if a.BootID != s.last.BootID {
		s.best, s.known = clock.Reading{}, a.Boot
	}
	s.last, s.known = a, max(s.known, a.Boot)
	if a.Synced {
		s.best = a
	}
}

func (s *state) get(addr netip.Addr) (entry, bool) {
	b, ok := s.leases[addr.As4()]
	if !ok {
		return entry{}, false
	}
	e, err := decodeEntry(b[2:])
	return e, err == nil
}

// same tells whether two records are of one stay of one client.
func same(a, b entry) bool { return a.Key == b.Key && a.Since == b.Since }

// lease applies a record. One that ends a stay that is not the present one came late and changes nothing: the address
// may be somebody else's by now.
func (s *state) lease(e entry, payload []byte) {
	s.known = max(s.known, e.At)
	prev, ok := s.get(e.Addr)
	if (e.State == lease.Released || e.State == lease.Expired) && ok && !same(prev, e) {
		return
	}
	if ok && prev.State == lease.Bound {
		switch {
		case e.State == lease.Released:
			s.close(prev, e.At, ByRelease)
		case e.State == lease.Expired:
			s.close(prev, e.Expiry, ByExpiry)
		case e.State == lease.Declined:
			s.close(prev, e.At, ByDecline)
		case !same(prev, e):
			s.supersede(prev, e.At)
		}
	}
	if e.Left.Is4() && e.Left != e.Addr {
		if left, ok := s.get(e.Left); ok && left.Key == e.Key {
			if left.State == lease.Bound {
				s.close(left, e.At, ByMove)
			}
			delete(s.leases, e.Left.As4())
		}
	}
	if e.Left.IsValid() { // is done, and must not be done again by a copy of this record
		e.Left = netip.Addr{}
		payload = appendEntry(nil, e)
	}
	s.leases[e.Addr.As4()] = bytes.Clone(payload)
}

// supersede ends a stay of which nobody has said when it ended.
func (s *state) supersede(e entry, now clock.Instant) {
	if e.Durable < now {
		s.close(e, e.Durable, ByExpiry)
		return
	}
	s.close(e, now, ByMove)
}

func (s *state) close(e entry, end clock.Instant, how How) {
	e.Left = netip.Addr{}
	s.past.push(appendPast(nil, past{entry: e, end: end, how: how}))
}

// snapshot returns the payloads that make this state, anchors first.
func (s *state) snapshot() [][]byte {
	var out [][]byte
	for _, a := range []clock.Reading{s.best, s.last} {
		if a.BootID != "" {
			out = append(out, appendAnchor(nil, a))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(s.values)) {
		out = append(out, appendValue(nil, value{key: k, value: s.values[k]}))
	}
	out = append(out, s.past.all()...)
	addrs := slices.Collect(maps.Keys(s.leases))
	sort.Slice(addrs, func(i, j int) bool { return bytes.Compare(addrs[i][:], addrs[j][:]) < 0 })
	for _, a := range addrs {
		out = append(out, s.leases[a])
	}
	return out
}

// wall tells the wall clock's time at an instant of the file's boot, and whether that clock had never been right.
func (s *state) wall(i clock.Instant) (time.Time, bool) {
	a, approx := s.best, false
	if a.BootID == "" {
		a, approx = s.last, true
	}
	return a.Wall.Add(i.Sub(a.Boot)), approx
}

// rebase moves everything to the time of another boot, of which now is a reading. How long the machine was off is
// known only if the wall clock was right before and is right now; else no time has passed, and leases last longer than
// they were to, never shorter: a clock that starts in 1970 or jumps by years must not end them.
func (s *state) rebase(now clock.Reading) {
	then := s.known
	if s.last.BootID == "" { // damaged: as if all had been until now
		s.last = clock.Reading{Boot: then, Wall: now.Wall}
	}
	if s.last.Synced && now.Synced {
		then = max(then, shift(s.last.Boot, now.Wall.Sub(s.last.Wall)))
	}
	by := now.Boot.Sub(then)
	for a, b := range s.leases {
		e, err := decodeEntry(b[2:])
		if err != nil {
			continue
		}
		if e.sinceWall == 0 {
			w, approx := s.wall(e.Since)
			e.sinceWall, e.approx = nonzero(w), approx
		}
		for _, i := range []*clock.Instant{&e.At, &e.Since, &e.Expiry, &e.Durable} {
			*i = shift(*i, by)
		}
		s.leases[a] = appendEntry(nil, e)
	}
	for n, b := range s.past.items {
		p, err := decodePast(b[2:])
		if err != nil {
			continue
		}
		for _, w := range []struct {
			wall *int64
			at   *clock.Instant
		}{{&p.sinceWall, &p.Since}, {&p.endWall, &p.end}} {
			if *w.wall == 0 {
				wall, approx := s.wall(*w.at)
				*w.wall, p.approx = nonzero(wall), p.approx || approx
			}
			*w.at = shift(*w.at, by)
		}
		p.At, p.Expiry, p.Durable = shift(p.At, by), shift(p.Expiry, by), shift(p.Durable, by)
		s.past.items[n] = appendPast(nil, p)
	}
	s.last, s.best, s.known = clock.Reading{}, clock.Reading{}, now.Boot
	s.anchor(now)
}

// shift is i later by d, without running over either end; the end of time stays where it is.
func shift(i clock.Instant, d time.Duration) clock.Instant {
	if i == lease.Forever {
		return i
	}
	switch sum := i.Add(d); {
	case d > 0 && sum < i:
		return lease.Forever - 1
	case d < 0 && sum > i:
		return -lease.Forever
	default:
		return sum
	}
}

func nonzero(t time.Time) int64 {
	if n := t.UnixNano(); n != 0 {
		return n
	}
	return 1
}

func unixNano(n int64) time.Time { return time.Unix(0, n) }
