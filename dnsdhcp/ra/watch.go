package ra

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

// What another router on the link says that a keeper should know of: Entry.Reason of package trace.
const (
	ReasonOtherRouter     = "other-router"      // it is a default router, too
	ReasonForeignPrefix   = "foreign-prefix"    // it has hosts make addresses that we know nothing of
	ReasonPrefixDiffers   = "prefix-differs"    // it announces our prefix with other flags or lifetimes
	ReasonForeignDNS      = "foreign-dns"       // it names resolvers that we do not
	ReasonHopLimitDiffers = "hop-limit-differs" // RFC 4861 section 6.2.7, also those below
	ReasonFlagsDiffer     = "flags-differ"
	ReasonTimersDiffer    = "timers-differ"
	ReasonMTUDiffers      = "mtu-differs"
)

const (
	maxWatched  = 16               // routers that are told apart
	repeatAfter = 10 * time.Minute // a finding is reported again
)

// Watch compares other routers' advertisements with ours (RFC 4861 section 6.2.7) and keeps from saying the same thing
// over and over. Its memory is bounded.
type Watch struct {
	routers map[netip.Addr]*watched
}

type watched struct {
	seen     clock.Instant
	reported map[string]clock.Instant
}

// Finding is one thing to report.
type Finding struct{ Reason, Detail string }

// Observe compares and returns what has not been said of this router for a while.
func (w *Watch) Observe(now clock.Instant, from netip.Addr, theirs, ours *Message) []Finding {
	all := compare(theirs, ours)
	if len(all) == 0 {
		return nil
	}
	r := w.routers[from]
	if r == nil {
		if w.routers == nil {
			w.routers = map[netip.Addr]*watched{}
		}
		if len(w.routers) >= maxWatched {
			var oldest netip.Addr
			for a, x := range w.routers {
				if !oldest.IsValid() || x.seen < w.routers[oldest].seen {
					oldest = a
				}
			}
			if now.Sub(w.routers[oldest].seen) < multicastGap {
				return nil // a flood of made-up routers is no more worth than its first sixteen
			}
			delete(w.routers, oldest)
		}
		r = &watched{reported: map[string]clock.Instant{}}
		w.routers[from] = r
	}
	r.seen = now
	return slices.DeleteFunc(all, func(f Finding) bool {
		if at, said := r.reported[f.Reason]; said && now.Sub(at) < repeatAfter {
			return true
		}
		r.reported[f.Reason] = now
		return false
	})
}

// compare returns at most one finding of each reason.
func compare(theirs, ours *Message) []Finding {
	var out []Finding
	found := func(reason, format string, a ...any) {
		if !slices.ContainsFunc(out, func(f Finding) bool { return f.Reason == reason }) {
			out = append(out, Finding{reason, fmt.Sprintf(format, a...)})
		}
	}
	if theirs.RouterLifetime > 0 {
		found(ReasonOtherRouter, "default router for %v, preference %v; ours %v, %v",
			theirs.RouterLifetime, theirs.Preference, ours.RouterLifetime, ours.Preference)
	}
	for _, t := range theirs.Prefixes {
		i := slices.IndexFunc(ours.Prefixes, func(o Prefix) bool { return o.Prefix == t.Prefix })
		switch {
		case i < 0 && t.Autonomous && t.Valid > 0:
			found(ReasonForeignPrefix, "hosts make addresses of %v, valid %v", t.Prefix, t.Valid)
		case i < 0:
		default:
			o := ours.Prefixes[i]
			if o.OnLink != t.OnLink || o.Autonomous != t.Autonomous || differ(o.Valid, t.Valid) || differ(o.Preferred, t.Preferred) {
				found(ReasonPrefixDiffers, "%v: on-link %v, autonomous %v, preferred %v, valid %v; ours %v, %v, %v, %v", t.Prefix,
					t.OnLink, t.Autonomous, t.Preferred, t.Valid, o.OnLink, o.Autonomous, o.Preferred, o.Valid)
			}
		}
	}
	for _, t := range theirs.DNS {
		if t.Lifetime > 0 && !slices.ContainsFunc(ours.DNS, func(o DNS) bool { return o.Addr == t.Addr }) {
			found(ReasonForeignDNS, "resolver %v for %v", t.Addr, t.Lifetime)
		}
	}
	if theirs.HopLimit != 0 && ours.HopLimit != 0 && theirs.HopLimit != ours.HopLimit {
		found(ReasonHopLimitDiffers, "%d; ours %d", theirs.HopLimit, ours.HopLimit)
	}
	if theirs.Managed != ours.Managed || theirs.Other != ours.Other {
		found(ReasonFlagsDiffer, "managed %v, other %v; ours %v, %v", theirs.Managed, theirs.Other, ours.Managed, ours.Other)
	}
	if theirs.Reachable != 0 && ours.Reachable != 0 && theirs.Reachable != ours.Reachable ||
		theirs.Retrans != 0 && ours.Retrans != 0 && theirs.Retrans != ours.Retrans {
		found(ReasonTimersDiffer, "reachable %v, retransmission %v; ours %v, %v",
			theirs.Reachable, theirs.Retrans, ours.Reachable, ours.Retrans)
	}
	if theirs.MTU != 0 && ours.MTU != 0 && theirs.MTU != ours.MTU {
		found(ReasonMTUDiffers, "%d; ours %d", theirs.MTU, ours.MTU)
	}
	return out
}

// differ allows for lifetimes that run down with time, here or there.
func differ(a, b time.Duration) bool {
	if (a == 0) != (b == 0) || (a == Infinite) != (b == Infinite) {
		return true
	}
	return max(a, b)-min(a, b) > max(time.Minute, max(a, b)/4)
}
