package wallclock

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// fake is a machine whose clock begins where the test says.
type fake struct {
	now   time.Time
	sets  int
	err   error // of Set
	wrong time.Duration
	times map[string]time.Time
	text  string
}

func (f *fake) Now() time.Time { return f.now }
func (f *fake) Set(t time.Time) error {
	if f.err == nil {
		f.now, f.sets = t, f.sets+1
	}
	return f.err
}
func (f *fake) MaxError() (time.Duration, error) { return f.wrong, nil }
func (f *fake) Time(path string) (time.Time, error) {
	t, ok := f.times[path]
	if !ok {
		return t, fs.ErrNotExist
	}
	return t, nil
}
func (f *fake) ReadFile(string) ([]byte, error) {
	if f.text == "" {
		return nil, fs.ErrNotExist
	}
	return []byte(f.text), nil
}
func (f *fake) Touch(path string, t time.Time) error { f.times[path] = t; return nil }

func at(s string) time.Time {
	t, err := time.Parse(time.DateTime, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestRestore(t *testing.T) {
	boot := at("1970-01-01 00:00:05")
	built := at("2026-10-01 00:00:00")
	for _, tc := range []struct {
		name   string
		f      fake
		built  time.Time
		want   string
		by     string
		errors string
	}{
		{"1970, nothing is known", fake{now: boot}, time.Time{}, "1970-01-01 00:00:05", "", ""},
		{"1970, the first boot", fake{now: boot}, built, "2026-10-01 00:00:00", "this program", ""},
		{"1970, saved", fake{now: boot, times: map[string]time.Time{Path: at("2026-11-28 10:00:00")}}, built, "2026-11-28 10:00:00", Path, ""},
		{"an old save under a new program", fake{now: boot, times: map[string]time.Time{Path: at("2025-01-01 10:00:00")}}, built, "2026-10-01 00:00:00", "this program", ""},
		{"timesyncd knows later", fake{now: boot, times: map[string]time.Time{Path: at("2026-11-28 10:00:00"), timesyncd: at("2026-11-29 10:00:00"), epoch: at("2024-01-01 00:00:00")}}, built, "2026-11-29 10:00:00", timesyncd, ""},
		{"fake-hwclock knows later", fake{now: boot, text: "2026-11-30 09:17:01\n", times: map[string]time.Time{Path: at("2026-11-28 10:00:00")}}, built, "2026-11-30 09:17:01", fakeHwclock, ""},
		{"a chip has the time", fake{now: at("2027-01-01 00:00:00"), times: map[string]time.Time{Path: at("2026-11-28 10:00:00")}}, built, "2027-01-01 00:00:00", "", ""},
		{"a chip with an empty battery", fake{now: at("2000-01-01 00:00:09"), times: map[string]time.Time{Path: at("2026-11-28 10:00:00")}}, built, "2026-11-28 10:00:00", Path, ""},
		{"a save from the future", fake{now: boot, times: map[string]time.Time{Path: at("2099-01-01 00:00:00")}}, built, "2026-10-01 00:00:00", "this program", "not believed"},
		{"a broken fake-hwclock", fake{now: boot, text: strings.Repeat("x", 9999), times: map[string]time.Time{Path: at("2026-11-28 10:00:00")}}, built, "2026-11-28 10:00:00", Path, "is no time"},
		{"it cannot be set", fake{now: boot, err: errors.New("no")}, built, "1970-01-01 00:00:05", "", "cannot set the clock: no"},
	} {
		f := tc.f
		c := Clock{&f, &f, tc.built}
		r, err := c.Restore()
		if f.now != at(tc.want) || r.To != at(tc.want) || r.By != tc.by || r.From != tc.f.now || (err != nil) != (tc.errors != "") || err != nil && !strings.Contains(err.Error(), tc.errors) {
			t.Errorf("%s: the clock is %s by %q (%+v), %v", tc.name, f.now, r.By, r, err)
		}
		if again, _ := c.Restore(); again.Moved() {
			t.Errorf("%s: it is set again", tc.name)
		}
	}
}

func TestSave(t *testing.T) {
	f := &fake{now: at("2026-11-28 10:00:00"), wrong: time.Minute, times: map[string]time.Time{}}
	c := Clock{f, f, time.Time{}}
	save := func(want string) {
		t.Helper()
		if err := c.Save(); err != nil {
			t.Fatal(err)
		}
		if f.times[Path] != at(want) {
			t.Errorf("saved is %s, want %s", f.times[Path], want)
		}
	}
	save("2026-11-28 10:00:00")
	f.now = at("1970-01-01 00:01:00") // somebody has set it back
	save("2026-11-28 10:00:00")
	f.wrong = time.Millisecond // and an NTP client says it is right
	save("1970-01-01 00:01:00")
}

func TestSynchronised(t *testing.T) {
	f := &fake{wrong: 16 * time.Second, times: map[string]time.Time{}}
	c := Clock{f, f, time.Time{}}
	if c.Synchronised() {
		t.Error("a clock that the kernel has given up is synchronised")
	}
	if f.wrong--; !c.Synchronised() {
		t.Error("a clock that the kernel vouches for is not synchronised")
	}
	f.wrong, f.times[synchronised] = time.Hour, at("2026-11-28 10:00:00")
	if !c.Synchronised() {
		t.Error("timesyncd's mark is not seen")
	}
}

// Over any number of boots, power cuts and clocks that jump, no boot begins earlier than what was
// ever saved.
func TestNeverGoesBack(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		f := &fake{wrong: time.Hour, times: map[string]time.Time{}}
		c := Clock{f, f, at("2026-10-01 00:00:00")}
		latest := c.Built
		for range 50 {
			f.now = at("1970-01-01 00:00:00").Add(time.Duration(r.Int64N(int64(time.Hour))))
			before := f.now
			if _, err := c.Restore(); err != nil {
				t.Fatal(err)
			}
			if f.now.Before(before) || f.now.Before(latest) {
				t.Fatalf("seed %d: boots at %s after %s had been saved", seed, f.now, latest)
			}
			for range r.IntN(4) {
				f.now = f.now.Add(time.Duration(r.Int64N(int64(48*time.Hour)) - int64(12*time.Hour)))
				if err := c.Save(); err != nil {
					t.Fatal(err)
				}
				if f.now.After(latest) {
					latest = f.now
				}
			}
		}
	}
}

func TestKeep(t *testing.T) {
	f := &fake{now: at("2026-11-28 10:00:00"), times: map[string]time.Time{}}
	c := Clock{f, f, time.Time{}}
	tick := make(chan time.Time)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Keep(ctx, tick, func(err error) { t.Error(err) })
	}()
	tick <- time.Time{}
	cancel()
	<-done
	if f.times[Path] != f.now {
		t.Errorf("saved is %s", f.times[Path])
	}
}

func FuzzFakeHwclock(f *testing.F) {
	for _, s := range []string{"2016-04-15 00:00:00\n", "", "2016-04-15T00:00:00", "99999-01-01 00:00:00", "2016-02-30 00:00:00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		at, err := parseFakeHwclock(b)
		if err != nil {
			return
		}
		// time.Parse takes fractions of a second behind a comma or a point; the rest is as it was written.
		if s := strings.TrimSpace(string(b)); !strings.HasPrefix(s, at.Format(time.DateTime)) {
			t.Fatalf("%q reads as %s", s, at)
		}
	})
}
