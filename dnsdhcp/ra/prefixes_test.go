package ra

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/clock/clocktest"
	"github.com/provision-net/provision/dnsdhcp/link"
)

// shown tells the prefixes of an advertisement with their lifetimes.
func shown(m Message) string {
	var out []string
	for _, p := range m.Prefixes {
		out = append(out, fmt.Sprintf("%v %v/%v", p.Prefix, p.Preferred, p.Valid))
	}
	return strings.Join(out, ", ")
}

func (w *world) wantPrefixes(want string) {
	w.t.Helper()
	m, _ := w.m.Current(w.now)
	if got := shown(m); got != want {
		w.t.Errorf("at %v: %s\nwant %s", time.Duration(w.now-w.start), got, want)
	}
}

func TestInterfacePrefixes(t *testing.T) {
	w := newWorld(t)
	w.m.SetConfig(w.now, testConfig())
	temporary := addr(w.now, "2001:db8:0:1::aaaa/64", time.Hour, 20*time.Hour)
	temporary.Temporary = true
	tentative := addr(w.now, "2001:db8:0:9::1/64", time.Hour, time.Hour)
	tentative.Tentative = true
	old := addr(w.now, "2001:db8:0:3::1/64", time.Hour, time.Hour)
	old.Deprecated = true
	w.m.SetLink(w.now, usb0(static, temporary, tentative, old,
		addr(w.now, "2001:db8:0:1::1/64", 600*time.Second, 3600*time.Second),
		addr(w.now, "2001:db8:0:1::2/64", 700*time.Second, 700*time.Second),
		addr(w.now, "2001:db8:0:4::1/128", time.Hour, time.Hour),
		addr(w.now, "10.0.0.1/24", Infinite, Infinite),
		addr(w.now, "2001:db8:0:5::1/60", time.Hour, time.Hour)))
	w.run(0)
	w.wantPrefixes("2001:db8:0:1::/64 11m40s/1h0m0s, 2001:db8:0:3::/64 0s/1h0m0s, fd00:0:0:1::/64 45m0s/1h30m0s")
	w.run(10 * time.Minute)
	w.wantPrefixes("2001:db8:0:1::/64 1m40s/50m0s, 2001:db8:0:3::/64 0s/50m0s, fd00:0:0:1::/64 45m0s/1h30m0s")
	w.run(1000*time.Millisecond + 1)
	w.wantPrefixes("2001:db8:0:1::/64 1m38s/49m58s, 2001:db8:0:3::/64 0s/49m58s, fd00:0:0:1::/64 45m0s/1h30m0s")
	w.run(time.Hour)
	w.wantPrefixes("fd00:0:0:1::/64 45m0s/1h30m0s")
}

func TestConfiguredPrefixWins(t *testing.T) {
	c := testConfig()
	c.Prefixes = []Prefix{{Prefix: pfx("fd00:0:0:1::/64"), OnLink: true, Preferred: time.Hour, Valid: Infinite}}
	w := started(t, c, usb0(static), Uplink{})
	w.wantPrefixes(fmt.Sprintf("fd00:0:0:1::/64 1h0m0s/%v", Infinite))
}

func TestRemovedPrefixIsDeprecated(t *testing.T) {
	renewed := func(at clock.Instant) link.Addr { return addr(at, "2001:db8:0:1::1/64", time.Hour, 2*time.Hour) }
	c := testConfig()
	c.Interface.Valid, c.Interface.Preferred = 24*time.Hour, 4*time.Hour
	w := newWorld(t)
	w.m.SetConfig(w.now, c)
	w.m.SetLink(w.now, usb0(static, renewed(w.now)))
	w.run(time.Minute)
	w.start = w.now
	w.log = nil

	// Another address of the same prefix is the same prefix, and a short absence is none.
	w.m.SetLink(w.now, usb0(static, addr(w.now, "2001:db8:0:1::2/64", time.Hour, 2*time.Hour)))
	w.wantTimes(w.run(time.Second), "")
	w.m.SetLink(w.now, usb0(static))
	w.run(2 * time.Second)
	w.m.SetLink(w.now, usb0(static, renewed(w.now)))
	w.wantTimes(w.run(time.Second), "")
	w.wantPrefixes("2001:db8:0:1::/64 59m59s/1h59m59s, fd00:0:0:1::/64 4h0m0s/24h0m0s")

	// Gone for good: three seconds later hosts are told, and again and again until the last one has let go.
	w.m.SetLink(w.now, usb0(static))
	w.log, w.start = nil, w.now
	w.wantTimes(w.run(40*time.Second), "3s 19s 35s")
	m := w.lastMessage()
	p := m.Prefixes[1]
	if p.Prefix != pfx("2001:db8:0:1::/64") || p.Preferred != 0 || !p.OnLink || !p.Autonomous {
		t.Errorf("%+v", p)
	}
	if p.Valid > 2*time.Hour-35*time.Second || p.Valid < 2*time.Hour-2*time.Minute {
		t.Errorf("valid %v", p.Valid)
	}
	w.run(time.Hour)
	if m := w.lastMessage(); len(m.Prefixes) != 2 || m.Prefixes[1].Preferred != 0 {
		t.Errorf("%v", shown(m))
	}
	// Back again: as if nothing had been.
	w.m.SetLink(w.now, usb0(static, renewed(w.now)))
	w.run(time.Second)
	w.wantPrefixes("2001:db8:0:1::/64 59m59s/1h59m59s, fd00:0:0:1::/64 4h0m0s/24h0m0s")
	w.m.SetLink(w.now, usb0(static))
	w.run(2*time.Hour + time.Minute)
	w.wantPrefixes("fd00:0:0:1::/64 4h0m0s/24h0m0s")
	if len(w.m.book.entries) != 1 {
		t.Errorf("%v", w.m.book.list())
	}
}

// TestTentativeAgain: a flap of the link has all addresses checked for duplicates anew, which is no reason to leave out
// what hosts know already.
func TestTentativeAgain(t *testing.T) {
	w := started(t, testConfig(), usb0(static), Uplink{})
	w.log, w.start = nil, w.now
	again := static
	again.Tentative = true
	w.m.SetLink(w.now, usb0(again))
	w.run(10 * time.Second)
	w.wantPrefixes("fd00:0:0:1::/64 45m0s/1h30m0s")
}

// TestShortened: a provider that takes its prefix back within the hour is passed on at once.
func TestShortened(t *testing.T) {
	w := started(t, testConfig(), usb0(addr(clock.Instant(time.Hour), "2001:db8:0:1::1/64", 10*time.Hour, 20*time.Hour)), Uplink{})
	w.log, w.start = nil, w.now
	w.m.SetLink(w.now, usb0(addr(w.now, "2001:db8:0:1::1/64", 10*time.Hour, 20*time.Hour)))
	w.wantTimes(w.run(time.Minute), "")
	w.m.SetLink(w.now, usb0(addr(w.now, "2001:db8:0:1::1/64", 30*time.Second, 2*time.Hour)))
	w.wantTimes(w.run(10*time.Second), "1m0s")
	// The end of an address is noticed without being told.
	w.m.SetLink(w.now, usb0(addr(w.now, "2001:db8:0:1::1/64", 30*time.Second, 30*time.Second)))
	w.run(34 * time.Second)
	w.wantPrefixes("2001:db8:0:1::/64 0s/1h29m16s")
}

// TestTwoHours: hosts cut a long lifetime to two hours at most, so more is never announced; who does not hear of it
// holds the address for longer, and is told for longer.
func TestTwoHours(t *testing.T) {
	c := testConfig()
	c.Prefixes = []Prefix{
		{Prefix: pfx("fd00:0:0:2::/64"), Preferred: time.Hour, Valid: 24 * time.Hour},
		{Prefix: pfx("fd00:0:0:3::/64"), Preferred: Infinite, Valid: Infinite},
	}
	w := started(t, c, usb0(), Uplink{})
	w.start = w.now
	c.Prefixes = nil
	w.m.SetConfig(w.now, c)
	w.run(0)
	w.wantPrefixes("fd00:0:0:2::/64 0s/2h0m0s, fd00:0:0:3::/64 0s/2h0m0s")
	w.run(time.Hour)
	w.wantPrefixes("fd00:0:0:2::/64 0s/1h0m0s, fd00:0:0:3::/64 0s/1h0m0s")
	w.run(2 * time.Hour)
	w.wantPrefixes("fd00:0:0:2::/64 0s/0s, fd00:0:0:3::/64 0s/0s")
	w.run(22 * time.Hour)
	w.wantPrefixes("fd00:0:0:3::/64 0s/0s")
	w.run(7 * 24 * time.Hour)
	w.wantPrefixes("")
}

func TestManyPrefixes(t *testing.T) {
	c := testConfig()
	w := started(t, c, usb0(), Uplink{})
	for i := range 200 {
		w.m.SetLink(w.now, usb0(addr(w.now, fmt.Sprintf("2001:db8:0:%x::1/64", i), time.Hour, time.Hour)))
		w.run(20 * time.Second)
		if n := len(w.m.book.entries); n > maxDeprecated+2 {
			t.Fatalf("%d prefixes are remembered", n)
		}
	}
	m := w.lastMessage()
	if len(m.Prefixes) != maxDeprecated+1 || m.Prefixes[0].Prefix != pfx("2001:db8:0:c7::/64") || m.Prefixes[maxDeprecated].Prefix != pfx("2001:db8:0:c6::/64") {
		t.Errorf("%v", shown(m))
	}
}

// reboot moves a machine's memory to a new one.
func reboot(t *testing.T, w *world, saved clock.Reading, f *clocktest.Fake) *world {
	t.Helper()
	b := encode(w.m.Saved(w.now), saved)
	list, err := decode(b, f.Read())
	if err != nil {
		t.Fatal(err)
	}
	n := newWorld(t)
	n.now, n.start = f.Now(), f.Now()
	n.m.Restore(n.now, list)
	return n
}

func TestDeprecationOutlivesReboot(t *testing.T) {
	withPrefix := testConfig()
	withPrefix.Prefixes = []Prefix{{Prefix: pfx("fd00:0:0:2::/64"), OnLink: true, Preferred: time.Hour, Valid: 6 * time.Hour}}

	t.Run("power cut while announcing", func(t *testing.T) {
		w := newWorld(t)
		w.m.SetConfig(w.now, withPrefix)
		w.m.SetLink(w.now, usb0())
		if w.m.Dirty() {
			t.Error("nothing was announced yet")
		}
		w.run(0)
		if !w.m.Dirty() {
			t.Fatal("what is announced is not to be saved")
		}
		f := clocktest.New()
		saved := f.Read()
		f.Reboot("boot-2", time.Unix(0, 0), false)
		n := reboot(t, w, saved, f)
		n.m.SetConfig(n.now, testConfig())
		n.m.SetLink(n.now, usb0())
		n.run(29 * time.Second)
		n.wantPrefixes("") // its address may come late at boot
		n.run(2 * time.Second)
		n.wantPrefixes("fd00:0:0:2::/64 0s/1h59m59s")
		if !n.m.Dirty() {
			t.Error("the deprecation is not to be saved")
		}
		n.run(4 * time.Hour)
		n.wantPrefixes("fd00:0:0:2::/64 0s/0s")
		n.run(3 * time.Hour)
		n.wantPrefixes("")

		// The same configuration as before: nothing to be seen.
		same := reboot(t, w, saved, f)
		same.m.SetConfig(same.now, withPrefix)
		same.m.SetLink(same.now, usb0())
		same.run(time.Minute)
		same.wantPrefixes("fd00:0:0:2::/64 1h0m0s/6h0m0s")
	})

	for _, c := range []struct {
		name   string
		away   func(*clocktest.Fake)
		before func(*clocktest.Fake)
		want   string
		total  time.Duration // until it is announced no more
	}{
		{"clock right at both ends", func(f *clocktest.Fake) { f.Reboot("boot-2", f.Read().Wall.Add(90*time.Minute), true) },
			nil, "fd00:0:0:2::/64 0s/30m0s", 270 * time.Minute},
		{"no clock at boot: the time away does not count", func(f *clocktest.Fake) { f.Reboot("boot-2", f.Read().Wall.Add(90*time.Minute), false) },
			nil, "fd00:0:0:2::/64 0s/2h0m0s", 6 * time.Hour},
		{"no clock when it was saved", func(f *clocktest.Fake) { f.Reboot("boot-2", f.Read().Wall.Add(90*time.Minute), true) },
			func(f *clocktest.Fake) { f.SetWall(time.Unix(0, 0), false) }, "fd00:0:0:2::/64 0s/2h0m0s", 6 * time.Hour},
		{"clock set back", func(f *clocktest.Fake) { f.Reboot("boot-2", f.Read().Wall.Add(-90*time.Minute), true) },
			nil, "fd00:0:0:2::/64 0s/2h0m0s", 6 * time.Hour},
		{"same boot", func(f *clocktest.Fake) { f.Advance(90 * time.Minute); f.SetWall(time.Unix(0, 0), false) },
			nil, "fd00:0:0:2::/64 0s/30m0s", 270 * time.Minute},
		{"away for longer", func(f *clocktest.Fake) { f.Reboot("boot-2", f.Read().Wall.Add(7*time.Hour), true) }, nil, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := started(t, withPrefix, usb0(), Uplink{})
			w.m.Saved(w.now)
			w.m.SetConfig(w.now, testConfig())
			w.m.Poll(w.now)
			if !w.m.Dirty() {
				t.Fatal("the deprecation is not to be saved")
			}
			f := clocktest.New()
			if c.before != nil {
				c.before(f)
			}
			saved := f.Read()
			c.away(f)
			n := reboot(t, w, saved, f)
			n.m.SetConfig(n.now, testConfig())
			n.m.SetLink(n.now, usb0())
			n.run(0)
			n.wantPrefixes(c.want)
			n.run(max(0, c.total-time.Minute-time.Minute)) // started ran for one
			if got, _ := n.m.Current(n.now); (len(got.Prefixes) == 1) != (c.total > 0) {
				t.Errorf("after %v: %v", c.total, shown(got))
			}
			n.run(3 * time.Minute)
			n.wantPrefixes("")
		})
	}
}

// TestDailyReboots: a machine that never knows the time and reboots daily comes to an end as well.
func TestDailyReboots(t *testing.T) {
	c := testConfig()
	c.Prefixes = []Prefix{{Prefix: pfx("fd00:0:0:2::/64"), Preferred: time.Hour, Valid: 10 * 24 * time.Hour}}
	w := started(t, c, usb0(), Uplink{})
	f := clocktest.New()
	for day := range 12 {
		f.SetWall(time.Unix(0, 0), false)
		f.Reboot(fmt.Sprint("boot-", day), time.Unix(0, 0), false)
		w = reboot(t, w, f.Read(), f)
		w.m.SetConfig(w.now, testConfig())
		w.m.SetLink(w.now, usb0())
		writes := 0
		for range 24 * 6 {
			w.run(10 * time.Minute)
			if w.m.Dirty() {
				writes++
				w.m.Saved(w.now)
			}
		}
		if writes > 25 {
			t.Errorf("day %d: %d writes", day, writes)
		}
	}
	w.wantPrefixes("")
	if len(w.m.book.entries) != 0 {
		t.Errorf("%v", w.m.book.list())
	}
}

// TestRenewalsAreNotWritten: a provider's prefix whose lifetimes run down and are renewed does not wear out the storage.
func TestRenewalsAreNotWritten(t *testing.T) {
	c := testConfig()
	c.Interface.Valid, c.Interface.Preferred = 24*time.Hour, 4*time.Hour
	w := newWorld(t)
	w.m.SetConfig(w.now, c)
	writes := 0
	for range 200 {
		w.m.SetLink(w.now, usb0(addr(w.now, "2001:db8:0:1::1/64", time.Hour, 2*time.Hour)))
		for range 6 {
			w.run(5 * time.Minute)
			if w.m.Dirty() {
				writes++
				w.m.Saved(w.now)
			}
		}
	}
	if writes != 1 {
		t.Errorf("%d writes", writes)
	}
}

func TestDecodeRefuses(t *testing.T) {
	r := clocktest.New().Read()
	for _, s := range []string{"", "{}", "null", `{"version":2}`, strings.Repeat(" ", MaxSaved+1), `{"version":1,"prefixes":[` + strings.Repeat(`{},`, 64) + `{}]}`} {
		if _, err := decode([]byte(s), r); err == nil {
			t.Errorf("%.20q is taken", s)
		}
	}
	got, err := decode([]byte(`{"version":1,"prefixes":[{"prefix":"10.0.0.0/8","left":5},{"prefix":"fd00::1/64","left":5},`+
		`{"prefix":"fd00::/64","left":-2},{"prefix":"fd01::/64","left":4294967295},{"prefix":"fd02::/64","left":5}]}`), r)
	if err == nil || len(got) != 1 || got[0].Prefix.Prefix != netip.MustParsePrefix("fd02::/64") {
		t.Errorf("%v, %v", got, err)
	}
}
