package ra

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sort"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/link"
)

const (
	// forever is the end of what has none.
	forever = clock.Never

	// twoHours: hosts let no advertisement shorten an address' life to less, unless less was left anyway (RFC 4862 section
	// 5.5.3 e), so a prefix that is withdrawn lives so long with those that hear of it.
	twoHours = 2 * time.Hour

	// missingGrace is how long an interface's prefix may be away before hosts are told to let go: daemons that reconfigure
	// a link take its addresses away and put them back. It is not announced meanwhile, which tells hosts nothing.
	missingGrace = 3 * time.Second
	// restoredGrace is the same for prefixes from before a restart, whose addresses may come late at boot.
	restoredGrace = 30 * time.Second

	// foreverDeprecated bounds how long a prefix is withdrawn that had been announced without end: hosts that have not
	// heard of it in a week have not been here.
	foreverDeprecated = 7 * 24 * time.Hour

	maxDeprecated = 32
)

// known is a prefix that hosts may hold because we announced it.
type known struct {
	Prefix                   // as announced last while it was wanted
	until      clock.Instant // when the last host has let go of it, at the latest
	peak       time.Duration // the longest valid lifetime that was announced, rounded up; what is on stable storage
	config     bool          // from the configuration; else from the interface, or from before a restart
	restored   bool
	missing    bool // not wanted any more, since
	since      clock.Instant
	deprecated bool          // hosts are told so
	letGo      clock.Instant // end of the valid lifetime that they are told
	savedLeft  time.Duration // until as on stable storage
}

// book is all known prefixes: it compares prefixes, not addresses, and remembers them over links that come and go.
type book struct {
	entries map[netip.Prefix]*known
	dirty   bool // stable storage holds something else
}

// want is a prefix that is to be announced now.
type want struct {
	Prefix
	config bool
}

// wanted returns what the configuration and the addresses of the link ask for now, and when the first of the addresses
// ends: the kernel tells of that as well, but not a machine that sleeps.
func wanted(c *Config, l *link.Link, now clock.Instant, b *book) (out []want, until clock.Instant) {
	until = forever
	have := map[netip.Prefix]int{}
	for _, p := range c.Prefixes {
		have[p.Prefix] = -1
		out = append(out, want{p, true})
	}
	if !c.Interface.Enabled {
		return out, until
	}
	fixed := len(out)
	for _, a := range l.Addrs {
		p := a.Prefix.Masked()
		if !isPrefix6(p) || p.Bits() != 64 || a.Temporary || !a.Prefix.Addr().IsGlobalUnicast() {
			continue
		}
		if _, known := b.entries[p]; a.Tentative && !known {
			// Not ours yet. One that was announced before stays: a flap of the link makes all addresses tentative.
			continue
		}
		valid, preferred := left(a.Valid, a.At, now), left(a.Preferred, a.At, now)
		if a.Deprecated {
			preferred = 0
		}
		if valid < time.Second {
			continue
		}
		if valid != Infinite {
			until = min(until, now.Add(valid))
		}
		valid = min(valid, c.Interface.Valid)
		preferred = min(preferred, c.Interface.Preferred, valid)
		switch i, again := have[p]; {
		case !again:
			have[p] = len(out)
			out = append(out, want{Prefix: Prefix{
				Prefix: p, OnLink: c.Interface.OnLink, Autonomous: c.Interface.Autonomous,
				Preferred: preferred, Valid: valid, PreferredDelegation: c.Interface.PreferredDelegation,
			}})
		case i >= 0:
			out[i].Valid = max(out[i].Valid, valid)
			out[i].Preferred = max(out[i].Preferred, preferred)
		}
	}
	made := out[fixed:]
	sort.Slice(made, func(i, j int) bool { return made[i].Prefix.Prefix.Addr().Compare(made[j].Prefix.Prefix.Addr()) < 0 })
	return out[:min(len(out), maxPrefixes)], until
}

// left is what remains of a lifetime that was d at the instant at. Whole seconds: a lifetime must never be announced
// longer than the kernel holds it, and shorter by less than one does no harm.
func left(d time.Duration, at, now clock.Instant) time.Duration {
	if d == Infinite {
		return d
	}
	return max(0, d-now.Sub(at)).Truncate(time.Second)
}

// update takes in what is wanted now, and returns when it must be called again at the latest.
func (b *book) update(now clock.Instant, wants []want) (again clock.Instant) {
	again = forever
	for p, k := range b.entries {
		i := slices.IndexFunc(wants, func(w want) bool { return w.Prefix.Prefix == p })
		switch {
		case i >= 0:
			if k.deprecated {
				b.dirty = true
			}
			k.missing, k.deprecated, k.config = false, false, wants[i].config
			k.restored = false
		case now >= k.until:
			delete(b.entries, p)
			b.dirty = true
		default:
			if !k.missing {
				k.missing, k.since = true, now
			}
			if k.deprecated {
				continue
			}
			if end := k.since.Add(k.grace()); now < end {
				again = min(again, end)
				continue
			}
			k.deprecated = true
			if k.until == forever {
				k.until = now.Add(foreverDeprecated)
			}
			k.letGo = min(k.until, now.Add(twoHours))
			b.dirty = true
		}
	}
	b.trim()
	return again
}

func (k *known) grace() time.Duration {
	switch {
	case k.restored:
		return restoredGrace
	case k.config:
		return 0
	}
	return missingGrace
}

// trim keeps memory and advertisements bounded: of too many withdrawn prefixes those go that end first.
func (b *book) trim() {
	var gone []*known
	for _, k := range b.entries {
		if k.missing {
			gone = append(gone, k)
		}
	}
	if len(gone) <= maxDeprecated {
		return
	}
	sort.Slice(gone, func(i, j int) bool {
		x, y := gone[i], gone[j]
		return cmp.Or(cmp.Compare(x.until, y.until), x.Prefix.Prefix.Addr().Compare(y.Prefix.Prefix.Addr())) < 0
	})
	for _, k := range gone[:len(gone)-maxDeprecated] {
		delete(b.entries, k.Prefix.Prefix)
		b.dirty = true
	}
}

// withdrawn returns the deprecated prefixes as they are announced (RFC 9096 section 3.5).
func (b *book) withdrawn(now clock.Instant) []Prefix {
	var out []Prefix
	for _, k := range b.entries {
		if k.deprecated && now < k.until {
			p := k.Prefix
			p.Preferred, p.Valid = 0, max(0, k.letGo.Sub(now)).Truncate(time.Second)
			out = append(out, p)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Prefix.Addr().Compare(out[j].Prefix.Addr()) < 0 })
	return out
}

// announce notes that hosts are being told of the wanted prefixes.
func (b *book) announce(now clock.Instant, wants []want) {
	for _, w := range wants {
		k := b.entries[w.Prefix.Prefix]
		if k == nil {
			k = &known{until: now}
			b.entries[w.Prefix.Prefix] = k
		}
		k.Prefix, k.config = w.Prefix, w.config
		until := forever
		if w.Valid != Infinite {
			until = now.Add(w.Valid)
		}
		k.until = max(k.until, until)
		if peak := roundUp(w.Valid); peak > k.peak {
			k.peak = peak
			b.dirty = true
		}
	}
	for _, k := range b.entries {
		// Without this a machine that never knows the time would start anew after each reboot.
		if left := k.until.Sub(now); k.deprecated && k.savedLeft-left >= max(time.Hour, k.savedLeft/8) {
			b.dirty = true
		}
	}
}

// roundUp to the hour, so that lifetimes that run down and are renewed do not wear out the storage.
func roundUp(d time.Duration) time.Duration {
	if d > longestFinite-time.Hour {
		return Infinite
	}
	return (d + time.Hour - 1).Truncate(time.Hour)
}

// Saved is a prefix as stable storage keeps it.
type Saved struct {
	Prefix
	// Deprecated: hosts were told to let go; Left and LetGo count from when it was saved. Else the prefix was being
	// announced, and hosts hold it for up to Left after that ended.
	Deprecated  bool
	Left, LetGo time.Duration
}

// saved returns the book for stable storage, in order.
func (b *book) saved(now clock.Instant) []Saved {
	var out []Saved
	for _, k := range b.entries {
		s := Saved{Prefix: k.Prefix, Deprecated: k.deprecated, Left: k.peak}
		if k.deprecated {
			s.Left, s.LetGo = k.until.Sub(now), max(0, k.letGo.Sub(now))
			k.savedLeft = s.Left
		}
		if s.Left > 0 {
			out = append(out, s)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := &out[i], &out[j]
		return cmp.Or(a.Prefix.Prefix.Addr().Compare(b.Prefix.Prefix.Addr()), cmp.Compare(a.Prefix.Prefix.Bits(), b.Prefix.Prefix.Bits())) < 0
	})
	b.dirty = false
	return out
}

// restore fills the book with what was saved by an earlier process.
func (b *book) restore(now clock.Instant, list []Saved) {
	for _, s := range list {
		if _, have := b.entries[s.Prefix.Prefix]; have || s.Left <= 0 {
			b.dirty = true
			continue
		}
		k := &known{Prefix: s.Prefix, restored: true, until: forever, peak: s.Left}
		if s.Left != Infinite {
			k.until = now.Add(s.Left)
		}
		if s.Deprecated {
			k.missing, k.since, k.deprecated = true, now, true
			k.letGo, k.savedLeft = min(k.until, now.Add(s.LetGo)), s.Left
		}
		b.entries[s.Prefix.Prefix] = k
	}
	b.trim()
}

// list is for tests and status.
func (b *book) list() []netip.Prefix {
	out := slices.Collect(maps.Keys(b.entries))
	sort.Slice(out, func(i, j int) bool { return out[i].Addr().Compare(out[j].Addr()) < 0 })
	return out
}
