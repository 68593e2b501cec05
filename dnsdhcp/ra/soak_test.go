package ra

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/link"
)

// soak is a link's life with everything that may happen to it, and a host that hears all that is said to all.
type soak struct {
	t     *testing.T
	r     *rand.Rand
	m     *Machine
	cfg   Config
	now   clock.Instant
	since clock.Instant // the link can be used, and nothing was rebooted

	index    int
	up       bool
	prefixes map[int]clock.Instant // numbers of those on the interface, with the end of their lifetime
	uplink   Uplink

	last     clock.Instant // last advertisement to all on this index
	lastOf   int
	unwanted map[netip.Prefix]clock.Instant // since when
	host     map[netip.Prefix]*heldPrefix
	router   time.Duration // what the host believes
	all      int
	alone    int
	saved    []byte
	saves    int
	boots    int
}

// heldPrefix is what RFC 4862 section 5.5.3 has a host remember.
type heldPrefix struct{ preferred, valid clock.Instant }

func (s *soak) fatal(format string, a ...any) {
	s.t.Helper()
	s.t.Fatalf("at %v: %s", time.Duration(s.now), fmt.Sprintf(format, a...))
}

func soakPrefix(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0xfd, 0, 0, 0, 0, 0, byte(i >> 8), byte(i)}), 64)
}

func (s *soak) link() link.Link {
	if s.index == 0 {
		return link.Link{Name: "usb0"}
	}
	l := link.Link{Name: "usb0", Index: s.index, MTU: 1500, Up: true, Carrier: s.up, Addrs: []link.Addr{ll}}
	for i, end := range s.prefixes {
		valid, preferred := Infinite, Infinite
		if end != clock.Never {
			if valid = end.Sub(s.now); valid <= 0 {
				continue
			}
			preferred = valid / 2
		}
		a := soakPrefix(i).Addr().As16()
		a[15] = 1
		l.Addrs = append(l.Addrs, link.Addr{Prefix: netip.PrefixFrom(netip.AddrFrom16(a), 64), Valid: valid, Preferred: preferred, At: s.now})
	}
	return l
}

func (s *soak) tell() {
	if l := s.link(); !s.m.src.IsValid() || l.Index != s.m.link.Index {
		s.since = s.now
	}
	s.m.SetLink(s.now, s.link())
}

// event is one of the things that happen.
func (s *soak) event() {
	switch s.r.IntN(12) {
	case 0: // flap
		s.up = !s.up
		s.tell()
	case 1: // another incarnation, or none
		s.index = s.r.IntN(2) * (s.index + 1 + s.r.IntN(5))
		s.up = true
		s.tell()
	case 2: // a new prefix, for some time or for ever
		end := clock.Never
		if s.r.IntN(3) > 0 {
			end = s.now.Add(time.Duration(s.r.IntN(100_000)) * time.Second)
		}
		s.prefixes[s.r.IntN(200)] = end
		s.tell()
	case 3, 4: // one goes
		if len(s.prefixes) > 0 {
			all := slices.Sorted(maps.Keys(s.prefixes))
			delete(s.prefixes, all[s.r.IntN(len(all))])
		}
		s.tell()
	case 5: // uplink
		s.uplink = Uplink{s.r.IntN(2) == 0, s.r.IntN(4) > 0}
		s.m.SetUplink(s.now, s.uplink)
	case 6: // the keeper changes something
		s.cfg = s.config()
		s.m.SetConfig(s.now, s.cfg)
	case 7: // a flood, each from another address or none
		for range s.r.IntN(2000) {
			a := ip("fe80::").As16()
			a[14], a[15] = byte(s.r.Uint32()), byte(s.r.Uint32())
			from := netip.AddrFrom16(a)
			if s.r.IntN(5) == 0 {
				from = netip.IPv6Unspecified()
			}
			s.m.Solicit(s.now, from)
			s.pass(time.Duration(s.r.IntN(3)) * time.Millisecond)
		}
	case 8: // rarely, the power goes
		if s.r.IntN(5) == 0 {
			s.reboot()
		}
	default: // somebody asks
		s.m.Solicit(s.now, ip("fe80::99"))
	}
}

func (s *soak) config() Config {
	c := Default()
	c.MaxInterval = time.Duration(4+s.r.IntN(1796)) * time.Second
	c.MinInterval = MinIntervalFor(c.MaxInterval)
	c.Interface.Valid = time.Duration(600+s.r.IntN(80_000)) * time.Second
	c.Interface.Preferred = (c.Interface.Valid / 2).Truncate(time.Second)
	for i := range s.r.IntN(3) {
		c.Routes = append(c.Routes, Route{Prefix: soakPrefix(300 + 100*i + s.r.IntN(50)), Lifetime: Auto})
	}
	c.DNS = []netip.Addr{soakPrefix(s.r.IntN(50)).Addr().Next()}
	if err := c.Validate(); err != nil {
		s.fatal("%v", err)
	}
	return c
}

// reboot starts a new machine from what was saved; time on the boot clock goes on here, which the machine cannot tell.
func (s *soak) reboot() {
	s.boots++
	list, err := decode(s.saved, clock.Reading{Boot: s.now, BootID: fmt.Sprint(s.boots)})
	if err != nil {
		s.fatal("%v", err)
	}
	s.m = NewMachine(s.random)
	s.m.Restore(s.now, list)
	s.m.SetConfig(s.now, s.cfg)
	s.m.SetUplink(s.now, s.uplink)
	s.index++
	s.tell()
	s.since = s.now
}

func (s *soak) random(limit time.Duration) time.Duration {
	return time.Duration(s.r.Int64N(int64(limit) + 1))
}

func (s *soak) pass(d time.Duration) {
	end := s.now.Add(d)
	for steps := 0; ; steps++ {
		if steps > 100_000 {
			s.fatal("does not come to rest")
		}
		sends := s.m.Poll(s.now)
		if s.m.Dirty() {
			s.saves++
			s.saved = encode(s.m.Saved(s.now), clock.Reading{Boot: s.now, BootID: fmt.Sprint(s.boots)})
			if len(s.saved) > MaxSaved {
				s.fatal("%d bytes to save", len(s.saved))
			}
		}
		for _, x := range sends {
			s.sent(x)
		}
		s.check()
		next := s.m.Wake()
		if next > end {
			break
		}
		s.now = max(s.now, next)
	}
	s.now = end
}

func (s *soak) sent(x Send) {
	if !s.up || s.index == 0 {
		s.fatal("sent on a link that is not there")
	}
	payloads, err := x.Message.Payloads(x.Limit)
	if err != nil {
		s.fatal("%v", err)
	}
	if len(payloads) > 3 {
		s.fatal("one advertisement takes %d packets", len(payloads))
	}
	for _, p := range x.Message.Prefixes {
		if p.Valid > s.cfg.Interface.Valid && p.Valid > twoHours || p.Preferred > p.Valid {
			s.fatal("%+v is more than configured", p)
		}
		on := false
		for i, end := range s.prefixes {
			if soakPrefix(i) == p.Prefix {
				on = true
				if end != clock.Never && p.Preferred > 0 && s.now.Add(p.Valid) > end {
					s.fatal("%v is announced for %v, the kernel has it for %v", p.Prefix, p.Valid, end.Sub(s.now))
				}
			}
		}
		if !on && p.Preferred > 0 {
			s.fatal("%v is announced and not there", p.Prefix)
		}
	}
	if x.To != allNodes {
		s.alone++
		return
	}
	s.all++
	if s.lastOf == s.index && s.now.Sub(s.last) < multicastGap {
		s.fatal("two advertisements to all within %v", s.now.Sub(s.last))
	}
	s.last, s.lastOf = s.now, s.index
	s.router = x.Message.RouterLifetime
	for _, p := range x.Message.Prefixes {
		h := s.host[p.Prefix]
		end := s.now.Add(p.Valid)
		switch {
		case h == nil && p.Valid == 0:
			continue
		case h == nil:
			h = &heldPrefix{valid: end}
			s.host[p.Prefix] = h
		case p.Valid > twoHours || end > h.valid:
			h.valid = end
		case h.valid.Sub(s.now) <= twoHours:
		default:
			h.valid = s.now.Add(twoHours)
		}
		h.preferred = s.now.Add(p.Preferred)
	}
}

// check is what must hold at any time.
func (s *soak) check() {
	m := s.m
	if n := len(m.book.entries); n > maxPrefixes+maxDeprecated {
		s.fatal("%d prefixes are remembered", n)
	}
	if n := len(m.askers.m); n > maxAskers {
		s.fatal("%d askers are remembered", n)
	}
	if n := len(m.dns.m) + len(m.routes.m) + len(m.search.m) + len(m.nat64.m); n > 4*(maxTold+maxRoutes) {
		s.fatal("%d things are to be taken back", n)
	}
	if !s.up || s.index == 0 {
		s.since = s.now
	}
	wanted := map[netip.Prefix]bool{}
	for i, end := range s.prefixes {
		if end > s.now {
			wanted[soakPrefix(i)] = true
		}
	}
	for p, h := range s.host {
		if h.valid <= s.now {
			delete(s.host, p)
			continue
		}
		if wanted[p] {
			delete(s.unwanted, p)
			continue
		}
		if _, ok := s.unwanted[p]; !ok {
			s.unwanted[p] = s.now
		}
		since := max(s.unwanted[p], s.since)
		// The grace of a restart, the spacing, and a second for the solicited; the oldest of very many may go unsaid.
		if s.now.Sub(since) > restoredGrace+multicastGap+missingGrace+time.Second && h.preferred > s.now && len(m.book.entries) < maxDeprecated {
			s.fatal("the host prefers %v, which is gone since %v", p, s.now.Sub(s.unwanted[p]))
		}
	}
}

// TestSoak is two days of a restless link, from several seeds.
func TestSoak(t *testing.T) {
	days := 2
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			s := &soak{
				t: t, r: rand.New(rand.NewPCG(seed, 1)), index: 3, up: true, now: clock.Instant(time.Minute),
				prefixes: map[int]clock.Instant{}, unwanted: map[netip.Prefix]clock.Instant{}, host: map[netip.Prefix]*heldPrefix{},
			}
			s.saved = encode(nil, clock.Reading{})
			s.m = NewMachine(s.random)
			s.cfg = s.config()
			s.m.SetConfig(s.now, s.cfg)
			s.tell()
			end := clock.Instant(days*24) * clock.Instant(time.Hour)
			events := 0
			for s.now < end {
				s.event()
				events++
				s.pass(time.Duration(s.r.ExpFloat64() * float64(2*time.Minute)))
			}
			// Peace: what is gone is forgotten everywhere in the end.
			s.up, s.index, s.prefixes = true, max(1, s.index), map[int]clock.Instant{}
			s.tell()
			for range 9 * 24 {
				s.pass(time.Hour)
			}
			if len(s.m.book.entries) > 0 || len(s.host) > 0 {
				s.fatal("%d prefixes are remembered, the host has %d", len(s.m.book.entries), len(s.host))
			}
			if s.all < 100 || s.alone < 100 {
				s.fatal("little happened: %d to all, %d to one", s.all, s.alone)
			}
			t.Logf("%d events, %d reboots: %d to all, %d to one, %d saves", events, s.boots, s.all, s.alone, s.saves)
		})
	}
}
