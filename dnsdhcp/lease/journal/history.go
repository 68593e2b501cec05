package journal

import (
	"cmp"
	"net/netip"
	"sort"
	"strings"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

// How a lease ended.
type How uint8

// The ends.
const (
	NotEnded  How = iota
	ByRelease     // the client gave it back
	ByExpiry      // its time ran out
	ByDecline     // the client found the address in use
	ByMove        // the client got another address, or another one this address
)

func (h How) String() string {
	if names := []string{"held", "released", "expired", "declined", "moved"}; int(h) < len(names) {
		return names[h]
	}
	return "unknown"
}

// Interval is the time for which one client had one address. The times are the wall clock's as best known by now: of
// a boot whose clock was put right later, the right ones. Approx: it never was, and the times are what it claimed.
type Interval struct {
	lease.Client
	Network  string
	Addr     netip.Addr
	From, To time.Time // To is where the lease is stored to end if it has not; zero if that is never
	How      How
	Approx   bool
}

// Filter says which intervals; its zero value means all.
type Filter struct {
	Addr     netip.Addr
	HW       lease.HW
	Name     string    // letter case does not matter
	From, To time.Time // any part of the interval in between, From included, To not
	Limit    int       // the latest so many; 0: no limit
}

func (f Filter) has(i Interval) bool {
	return (!f.Addr.IsValid() || f.Addr == i.Addr) &&
		(f.HW == lease.HW{} || f.HW == i.HW) &&
		(f.Name == "" || strings.EqualFold(f.Name, i.Hostname)) &&
		(f.From.IsZero() || i.To.IsZero() || i.To.After(f.From)) &&
		(f.To.IsZero() || i.From.Before(f.To))
}

// History returns who had which address, ended leases in the order in which they ended, then those that have not.
// Options.History says how far back it goes.
func (j *Journal) History(f Filter) []Interval {
	j.stateMu.RLock()
	defer j.stateMu.RUnlock()
	now := j.clock.Read()
	var out []Interval
	for _, b := range j.state.past.all() {
		if p, err := decodePast(b[2:]); err == nil {
			if i := j.state.interval(p, now); f.has(i) {
				out = append(out, i)
			}
		}
	}
	ended := len(out)
	for _, b := range j.state.leases {
		e, err := decodeEntry(b[2:])
		if err != nil || e.State != lease.Bound {
			continue
		}
		p := past{entry: e, end: e.Durable}
		if e.Durable <= now.Boot {
			p.how = ByExpiry
		}
		if i := j.state.interval(p, now); f.has(i) {
			out = append(out, i)
		}
	}
	open := out[ended:]
	sort.Slice(open, func(i, j int) bool {
		a, b := &open[i], &open[j]
		return cmp.Or(a.From.Compare(b.From), a.Addr.Compare(b.Addr)) < 0
	})
	if f.Limit > 0 && len(out) > f.Limit {
		out = out[len(out)-f.Limit:]
	}
	return out
}

// At returns who had an address at a time, at least From and before To.
func (j *Journal) At(addr netip.Addr, wall time.Time) (Interval, bool) {
	all := j.History(Filter{Addr: addr, From: wall, To: wall.Add(1), Limit: 1})
	if len(all) == 0 {
		return Interval{}, false
	}
	return all[0], true
}

// interval puts wall clock times to one. If the clock is right just now, that is the best anchor of all. If it has not
// been right since the start of this boot, the end of a lease that began in an earlier one is counted from there.
func (s *state) interval(p past, now clock.Reading) Interval {
	i := Interval{Client: p.Client, Network: p.Network, Addr: p.Addr, How: p.how, Approx: p.approx}
	wall := func(at clock.Instant, known int64) (t time.Time, approx bool) {
		switch {
		case known != 0:
			return unixNano(known), false
		case now.Synced:
			return now.Wall.Add(at.Sub(now.Boot)), false
		}
		return s.wall(at)
	}
	from, unsure := wall(p.Since, p.sinceWall)
	i.From, i.Approx = from, i.Approx || unsure
	if p.end != lease.Forever {
		i.To, unsure = wall(p.end, p.endWall)
		if unsure && p.sinceWall != 0 {
			i.To = from.Add(p.end.Sub(p.Since))
		}
		i.Approx = i.Approx || unsure
	}
	return i
}
