package journal

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock"
	"github.com/provision-net/provision/dnsdhcp/clock/clocktest"
	"github.com/provision-net/provision/dnsdhcp/lease"
)

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func client(n int) lease.Client {
	hw := lease.HW{Type: 1, Addr: string([]byte{2, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)})}
	return lease.Client{Key: lease.Key("h\x01" + hw.Addr), HW: hw}
}

// bound is a lease from now on for d, stored for half as much again.
func bound(n int, addr string, now clock.Instant, d time.Duration) lease.Record {
	return lease.Record{
		Lease: lease.Lease{
			Client: client(n), Network: "lan", Addr: ip(addr), State: lease.Bound,
			Since: now, Expiry: now.Add(d), Durable: now.Add(d + d/2),
		},
		At: now,
	}
}

func open(t testing.TB, fs FS, c clock.Waker) *Journal {
	t.Helper()
	j, err := openSettled(Options{FS: fs, Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// commit waits.
func commit(j *Journal, recs ...lease.Record) error {
	err := make(chan error, 1)
	j.Commit(recs, func(e error) { err <- e })
	return <-err
}

func mustCommit(t testing.TB, j *Journal, recs ...lease.Record) {
	t.Helper()
	if err := commit(j, recs...); err != nil {
		t.Fatal(err)
	}
}

func shut(t testing.TB, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "leases")
	c := clocktest.New()
	j, err := openSettled(Options{Dir: dir, Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openSettled(Options{Dir: dir, Clock: c}); !errors.Is(err, ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
	a, b := bound(1, "10.0.0.10", c.Now(), time.Hour), bound(2, "10.0.0.11", c.Now(), time.Hour)
	b.Key, b.ClientID, b.Hostname, b.Agent, b.Reserved = "iabc", "abc", "host", "\x01\x02\x00\x01", true
	b.Expiry, b.Durable = lease.Forever, lease.Forever
	mustCommit(t, j, a, b)
	if err := j.Save("duid", []byte("\x00\x01")); err != nil {
		t.Fatal(err)
	}
	if err := j.Save("gone", []byte{}); err != nil {
		t.Fatal(err)
	}
	if v, ok := j.Load("gone"); !ok || len(v) != 0 {
		t.Error("an empty value is no value")
	}
	if err := j.Save("gone", nil); err != nil {
		t.Fatal(err)
	}
	if err := j.Save("big", make([]byte, 70_000)); !errors.Is(err, errTooLong) {
		t.Error(err)
	}
	shut(t, j)
	if err := commit(j, a); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	for name, want := range map[string]os.FileMode{".": os.ModeDir | 0o700, fileName: 0o600} {
		if fi, err := os.Stat(filepath.Join(dir, name)); err != nil || fi.Mode() != want {
			t.Errorf("%s: %v, %v", name, fi.Mode(), err)
		}
	}
	j, err = openSettled(Options{Dir: dir, Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, j)
	a.Expiry = a.Durable.Add(Grace)
	if got, want := j.Leases(), []lease.Lease{a.Lease, b.Lease}; !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if v, ok := j.Load("duid"); !ok || string(v) != "\x00\x01" {
		t.Errorf("%q, %v", v, ok)
	}
	if _, ok := j.Load("gone"); ok {
		t.Error("deleted value is back")
	}
	if j.Damage() != (Damage{}) {
		t.Errorf("%+v", j.Damage())
	}
}

// How long the machine was off counts only if the wall clock was right before and after.
func TestTime(t *testing.T) {
	noon := clocktest.New().Read().Wall
	year1970 := time.Unix(10, 0)
	const left = 90*time.Minute - 10*time.Minute // durable for 90 minutes, 10 of which pass before the end
	for _, c := range []struct {
		name   string
		before func(*clocktest.Fake) // ten minutes after the record
		boot   string
		wall   time.Time
		synced bool
		want   time.Duration
	}{
		{"same boot", func(f *clocktest.Fake) { f.Advance(30 * time.Minute) }, "", time.Time{}, true, left - 30*time.Minute},
		{"same boot, clock steps", func(f *clocktest.Fake) { f.SetWall(noon.AddDate(5, 0, 0), true) }, "", time.Time{}, true, left},
		{"reboot, right clocks", nil, "b2", noon.Add(40 * time.Minute), true, left - 30*time.Minute},
		{"reboot, no clock after", nil, "b2", year1970, false, left},
		{"reboot, no clock before", func(f *clocktest.Fake) { f.SetWall(year1970, false) }, "b2", noon.Add(40 * time.Minute), true, left},
		{"reboot, neither", func(f *clocktest.Fake) { f.SetWall(year1970, false) }, "b2", year1970, false, left},
		{"reboot, clock goes back", nil, "b2", noon.AddDate(-1, 0, 0), true, left},
		{"reboot after years", nil, "b2", noon.AddDate(300, 0, 0), true, -1},
		{"snapshot of the same boot", nil, "boot-1", noon, true, left},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, f := newDisk(), clocktest.New()
			j := open(t, d, f)
			r := bound(1, "10.0.0.10", f.Now(), time.Hour)
			inf := bound(2, "10.0.0.11", f.Now(), time.Hour)
			inf.Expiry, inf.Durable = lease.Forever, lease.Forever
			mustCommit(t, j, r, inf)
			f.Advance(10 * time.Minute)
			if c.boot != "" && c.before != nil {
				c.before(f)
			}
			shut(t, j)
			if c.boot == "" {
				c.before(f)
			} else {
				f.Reboot(c.boot, c.wall, c.synced)
			}
			for range 3 { // again and again it is the same
				j = open(t, d, f)
				l := j.Leases()
				shut(t, j)
				if len(l) != 2 || l[1].Durable != lease.Forever || l[1].Expiry != lease.Forever {
					t.Fatalf("%+v", l)
				}
				got := l[0].Durable.Sub(f.Now())
				if got != c.want && (c.want >= 0 || got >= 0) {
					t.Errorf("%v left, want %v", got, c.want)
				}
				if l[0].Expiry != l[0].Durable.Add(Grace) {
					t.Errorf("no grace: %v", l[0].Expiry.Sub(l[0].Durable))
				}
			}
		})
	}
}

// After a crash without a clock, time stands still from the last record on, not from the last anchor.
func TestTimeOfCrash(t *testing.T) {
	d, f := newDisk(), clocktest.New()
	f.SetWall(time.Unix(100, 0), false)
	j := open(t, d, f)
	mustCommit(t, j, bound(1, "10.0.0.10", f.Now(), time.Hour))
	f.Advance(5 * time.Minute)
	mustCommit(t, j, bound(2, "10.0.0.11", f.Now(), time.Hour))
	f.Reboot("boot-2", time.Unix(100, 0), false)
	d.locked = false
	next := open(t, d, f)
	if l := next.Leases(); l[0].Durable.Sub(f.Now()) != 85*time.Minute || l[1].Durable.Sub(f.Now()) != 90*time.Minute {
		t.Errorf("%v and %v left", l[0].Durable.Sub(f.Now()), l[1].Durable.Sub(f.Now()))
	}
	shut(t, next)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// A clock that becomes right is written down although nothing else happens, and so is one that jumps.
func TestAnchors(t *testing.T) {
	for name, step := range map[string]func(*clocktest.Fake){
		"becomes right": func(f *clocktest.Fake) { f.SetWall(f.Read().Wall, true) },
		"jumps":         func(f *clocktest.Fake) { f.SetWall(f.Read().Wall.Add(2*time.Second), false) },
	} {
		d, f := newDisk(), clocktest.New()
		f.SetWall(time.Unix(100, 0), false)
		j := open(t, d, f)
		mustCommit(t, j, bound(1, "10.0.0.10", f.Now(), time.Hour))
		before := j.Stats().Writes
		step(f)
		want := f.Read()
		if err := f.Waiters(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		at, _ := f.Next()
		synced := make(chan struct{}, 1)
		d.mu.Lock()
		d.cut = func(op string) {
			if strings.HasPrefix(op, "sync ") {
				synced <- struct{}{}
			}
		}
		d.mu.Unlock()
		f.Advance(at.Sub(f.Now()))
		<-synced
		mustCommit(t, j) // waits for the group that is being written
		if got := j.Stats().Writes; got != before+1 {
			t.Errorf("%s: %d writes", name, got-before)
		}
		if got := j.state.last; got.Synced != want.Synced || got.Wall.Sub(want.Wall) != got.Boot.Sub(want.Boot) {
			t.Errorf("%s: anchor %+v, want %+v", name, got, want)
		}
		shut(t, j)
	}
}

func TestHistory(t *testing.T) {
	d, f := newDisk(), clocktest.New()
	noon := f.Read().Wall
	f.SetWall(time.Unix(0, 0), false) // no battery; NTP comes at ten past
	j := open(t, d, f)
	at := func(m int) time.Time { return noon.Add(time.Duration(m) * time.Minute) }
	start := f.Now()
	mustCommit(t, j, bound(1, "10.0.0.7", f.Now(), 30*time.Minute))
	if i, ok := j.At(ip("10.0.0.7"), time.Unix(1, 0)); !ok || !i.Approx {
		t.Errorf("%+v, %v", i, ok)
	}
	f.Advance(10 * time.Minute)
	f.SetWall(at(10), true)
	f.Advance(10 * time.Minute) // 12:20
	end := bound(1, "10.0.0.7", start, 30*time.Minute)
	end.State, end.At = lease.Released, f.Now()
	mustCommit(t, j, end)
	f.Advance(10 * time.Minute) // 12:30
	second := bound(2, "10.0.0.7", f.Now(), 20*time.Minute)
	second.Hostname = "Two"
	mustCommit(t, j, second)
	f.Advance(30 * time.Minute) // 13:00; it has expired at 12:50, as Advance finds
	gone := second
	gone.State, gone.At = lease.Expired, f.Now()
	mustCommit(t, j, bound(3, "10.0.0.7", f.Now(), time.Hour), gone) // late, and about nobody who is there
	check := func(when string) {
		t.Helper()
		for _, c := range []struct {
			minute, who int
			how         How
		}{{-1, 0, 0}, {0, 1, ByRelease}, {19, 1, ByRelease}, {20, 0, 0}, {29, 0, 0}, {30, 2, ByMove}, {59, 2, ByMove}, {60, 3, NotEnded}, {149, 3, NotEnded}, {150, 0, 0}} {
			i, ok := j.At(ip("10.0.0.7"), at(c.minute))
			approx := when == "after a reboot" && c.who == 3 // until the clock is right again, nobody knows when that one ends
			if ok != (c.who > 0) || ok && (i.Key != client(c.who).Key || i.How != c.how || i.Approx != approx) {
				t.Errorf("%s: minute %d: %+v, want client %d, %v", when, c.minute, i, c.who, c.how)
			}
		}
	}
	check("before")
	shut(t, j)
	f.Reboot("boot-2", time.Unix(0, 0), false)
	for range 2 {
		j = open(t, d, f)
		check("after a reboot")
		all := j.History(Filter{})
		if len(all) != 3 || all[2].Key != client(3).Key {
			t.Errorf("%+v", all)
		}
		if got := j.History(Filter{Name: "TWO"}); len(got) != 1 {
			t.Errorf("by name: %+v", got)
		}
		if got := j.History(Filter{HW: client(1).HW, From: at(5), To: at(6)}); len(got) != 1 {
			t.Errorf("by hardware address: %+v", got)
		}
		if got := j.History(Filter{Limit: 2}); len(got) != 2 || got[1].Key != client(3).Key {
			t.Errorf("limited: %+v", got)
		}
		shut(t, j)
	}
}

// A record that comes late must not end what another client has got since, and a client that moves back keeps its lease.
func TestOrder(t *testing.T) {
	d, f := newDisk(), clocktest.New()
	j := open(t, d, f)
	a := bound(1, "10.0.0.10", f.Now(), time.Minute)
	late := a
	late.State = lease.Expired
	b := bound(2, "10.0.0.10", f.Now()+1, time.Minute)
	moved := bound(2, "10.0.0.9", f.Now()+2, time.Minute)
	moved.Left = b.Addr
	back := bound(2, "10.0.0.10", f.Now()+3, time.Minute)
	f.Advance(3)
	mustCommit(t, j, a, b, late)
	if l := j.Leases(); len(l) != 1 || l[0].Key != b.Key || l[0].State != lease.Bound {
		t.Errorf("%+v", l)
	}
	mustCommit(t, j, moved)
	if l := j.Leases(); len(l) != 1 || l[0].Addr != moved.Addr {
		t.Errorf("%+v", l)
	}
	mustCommit(t, j, back)
	want := j.Leases()
	shut(t, j)
	j = open(t, d, f)
	defer shut(t, j)
	if got := j.Leases(); !reflect.DeepEqual(got, want) || len(got) != 2 {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestDamage(t *testing.T) {
	d, f := newDisk(), clocktest.New()
	j := open(t, d, f)
	for i := range 100 {
		mustCommit(t, j, bound(i, fmt.Sprintf("10.0.0.%d", i+1), f.Now(), time.Hour))
	}
	shut(t, j)
	whole, _ := d.Read(fileName)
	for _, c := range []struct {
		name   string
		damage func([]byte) []byte
		want   int
		what   Damage
	}{
		{"torn tail", func(b []byte) []byte { return append(b, b[len(b)-80:len(b)-40]...) }, 100, Damage{Tail: 40}},
		{"zeros behind", func(b []byte) []byte { return append(b, make([]byte, 4096)...) }, 100, Damage{Tail: 4096}},
		{"a bit in the middle", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, 99, Damage{Middle: 1}},
		{"a page in the middle", func(b []byte) []byte { clear(b[1024:1536]); return b }, 90, Damage{Middle: 512}},
		{"the head", func(b []byte) []byte { b[3] ^= 1; return b }, 100, Damage{Middle: 1}},
		{"nonsense with a right sum", func(b []byte) []byte {
			b, _ = appendFrame(b, func(b []byte) []byte { return append(b, version, kindLease, 1, 2, 3) })
			return b
		}, 100, Damage{Bad: 1}},
		{"all of it", func(b []byte) []byte { clear(b); return b }, 0, Damage{Tail: len(whole)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDisk()
			data := c.damage(bytes.Clone(whole))
			d.dir[fileName] = &inode{data: data, durable: data}
			j := open(t, d, f)
			defer shut(t, j)
			got := j.Damage()
			if n := len(j.Leases()); n < c.want-1 || n > c.want+1 {
				t.Errorf("%d leases left, want about %d", n, c.want)
			}
			if got.Tail != c.what.Tail || got.Bad != c.what.Bad || (got.Middle > 0) != (c.what.Middle > 0) {
				t.Errorf("%+v, want %+v", got, c.what)
			}
			if _, err := d.Read(got.Kept); err != nil {
				t.Errorf("the damage was not kept: %v", err)
			}
			if now, _ := d.Read(fileName); damaged(now) {
				t.Error("the damage is still there")
			}
		})
	}
	newer, _ := appendFrame(bytes.Clone(whole), func(b []byte) []byte { return append(b, version+1, 77) })
	d.dir[fileName] = &inode{data: newer}
	if _, err := openSettled(Options{FS: d, Clock: f}); !errors.Is(err, ErrNewer) {
		t.Errorf("a file of a later version: %v", err)
	}
	if now, _ := d.Read(fileName); !bytes.Equal(now, newer) {
		t.Error("a file of a later version was changed")
	}
}

func damaged(data []byte) (yes bool) {
	scan(data, func([]byte) {}, func([]byte, bool) { yes = true })
	return yes
}

func TestDamageKept(t *testing.T) {
	d, f := newDisk(), clocktest.New()
	for range 10 {
		j := open(t, d, f)
		shut(t, j)
		d.dir[fileName].data = append(d.dir[fileName].data, 1, 2, 3)
		f.Advance(time.Second)
	}
	names, _ := d.Names()
	if len(names) != 1+keepDamaged {
		t.Errorf("%v", names)
	}
}

// The file stays small however often leases are renewed, and compaction loses nothing that was committed beside it.
func TestCompaction(t *testing.T) {
	d, f := newDisk(), clocktest.New()
	j, err := openSettled(Options{FS: d, Clock: f, CompactAt: 8192})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Save("k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	for i := range 3000 {
		f.Advance(time.Second)
		r := bound(i%40, fmt.Sprintf("10.0.0.%d", i%40+1), f.Now(), time.Hour)
		r.Since = 5
		mustCommit(t, j, r)
	}
	st := j.Stats()
	if st.Size > 64<<10 || st.Compactions < 10 {
		t.Errorf("%+v", st)
	}
	want := j.Leases()
	shut(t, j)
	j = open(t, d, f)
	defer shut(t, j)
	if got := j.Leases(); !reflect.DeepEqual(got, want) || len(got) != 40 {
		t.Errorf("%d leases, want %d", len(got), len(want))
	}
	if v, _ := j.Load("k"); string(v) != "v" {
		t.Errorf("%q", v)
	}
	names, _ := d.Names()
	if !slices.Equal(names, []string{fileName}) {
		t.Errorf("left behind: %v", names)
	}
}

func TestHistoryBound(t *testing.T) {
	d, f := newDisk(), clocktest.New()
	for range 2 {
		j, err := openSettled(Options{FS: d, Clock: f, History: 10})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 25 {
			f.Advance(time.Minute)
			r := bound(i, "10.0.0.10", f.Now(), 30*time.Second)
			mustCommit(t, j, r)
			r.State, r.At = lease.Expired, r.Expiry
			mustCommit(t, j, r)
		}
		h := j.History(Filter{})
		if len(h) != 10 || h[9].Key != client(24).Key || h[0].Key != client(15).Key {
			t.Errorf("%d intervals, %+v", len(h), h[len(h)-1])
		}
		if got := h[9].To.Sub(h[9].From); got != 30*time.Second || h[9].How != ByExpiry {
			t.Errorf("%v %v", got, h[9].How)
		}
		shut(t, j)
	}
}

// TestHold looks at the disk while the journal is told to leave it alone, and at what ends that.
func TestHold(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(hold chan struct{}, j *Journal, r lease.Record) error
		want int // leases afterwards
	}{
		{"told to begin", func(hold chan struct{}, j *Journal, r lease.Record) error { close(hold); return commit(j, r) }, 1},
		{"a lease to store", func(_ chan struct{}, j *Journal, r lease.Record) error { return commit(j, r) }, 1},
		{"a value to store", func(_ chan struct{}, j *Journal, _ lease.Record) error { return j.Save("k", []byte("v")) }, 0},
		{"the end", func(chan struct{}, *Journal, lease.Record) error { return nil }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, clk, hold := t.TempDir(), clocktest.New(), make(chan struct{})
			j, err := Open(Options{Dir: dir, Clock: clk, Hold: hold})
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, fileName)
			if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("written too early: %v", err)
			}
			if err := c.end(hold, j, bound(1, "10.0.0.10", clk.Now(), time.Hour)); err != nil {
				t.Error(err)
			}
			shut(t, j)
			<-j.Settled()
			if _, err := os.Stat(file); err != nil {
				t.Errorf("not written: %v", err)
			}
			again, err := openSettled(Options{Dir: dir, Clock: clk})
			if err != nil {
				t.Fatal(err)
			}
			defer shut(t, again)
			if got := again.Leases(); len(got) != c.want {
				t.Errorf("%d leases, want %d", len(got), c.want)
			}
		})
	}
}
