package ra

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
)

func TestCompare(t *testing.T) {
	ours := full()
	for name, c := range map[string]struct {
		change func(*Message)
		want   []string
	}{
		"another default router": {func(m *Message) {}, []string{ReasonOtherRouter}},
		"the same but no router": {func(m *Message) { m.RouterLifetime = 0 }, nil},
		"unspecified": {func(m *Message) {
			m.RouterLifetime, m.HopLimit, m.Reachable, m.Retrans, m.MTU = 0, 0, 0, 0, 0
		}, nil},
		"everything": {func(m *Message) {
			m.HopLimit, m.Managed, m.Reachable, m.MTU = 63, false, time.Second, 1500
			m.Prefixes = []Prefix{{Prefix: pfx("2001:db8:9::/64"), Autonomous: true, Valid: time.Hour}, {Prefix: pfx("2001:db8::/64"), OnLink: true, Autonomous: true, Valid: Infinite}}
			m.DNS = []DNS{{ip("2001:db8:9::1"), time.Hour}, {ip("2001:db8:9::2"), time.Hour}}
		}, []string{ReasonOtherRouter, ReasonForeignPrefix, ReasonPrefixDiffers, ReasonForeignDNS, ReasonHopLimitDiffers, ReasonFlagsDiffer, ReasonTimersDiffer, ReasonMTUDiffers}},
		"lifetimes that run down": {func(m *Message) {
			m.RouterLifetime = 0
			m.Prefixes = []Prefix{{Prefix: pfx("fd00:1:2:3::/64"), OnLink: true, Autonomous: true, Preferred: 44 * time.Minute, Valid: 80 * time.Minute}}
		}, nil},
		"our prefix withdrawn": {func(m *Message) {
			m.RouterLifetime = 0
			m.Prefixes = []Prefix{{Prefix: pfx("fd00:1:2:3::/64"), OnLink: true, Autonomous: true, Valid: 80 * time.Minute}}
		}, []string{ReasonPrefixDiffers}},
		"a foreign prefix that ends": {func(m *Message) {
			m.RouterLifetime = 0
			m.Prefixes = []Prefix{{Prefix: pfx("2001:db8:9::/64"), Autonomous: true}}
		}, nil},
	} {
		theirs := full()
		c.change(&theirs)
		var got []string
		for _, f := range compare(&theirs, &ours) {
			got = append(got, f.Reason)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestWatchSaysItOnce(t *testing.T) {
	var w Watch
	ours, theirs := full(), full()
	now := clock.Instant(0)
	count := 0
	for range 60 { // an hour, every minute
		count += len(w.Observe(now, ip("fe80::9"), &theirs, &ours))
		now = now.Add(time.Minute)
	}
	if count != 6 {
		t.Errorf("said %d times", count)
	}
	// A flood of made-up routers is bounded in memory and in what is said of it.
	count = 0
	for i := range 10_000 {
		a := ip("fe80::").As16()
		a[14], a[15] = byte(i>>8), byte(i)
		count += len(w.Observe(now, netip.AddrFrom16(a), &theirs, &ours))
		now = now.Add(time.Millisecond)
	}
	if len(w.routers) > maxWatched || count > 5*maxWatched {
		t.Errorf("%d routers, %d findings", len(w.routers), count)
	}
}
