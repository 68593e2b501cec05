// Package wallclock keeps the wall clock of machines without a clock chip from going back: at boot
// it is set forward to what was saved, and from time to time and at the end it is saved.
//
// It matters to more than logs. A WireGuard peer remembers the greatest timestamp of a handshake
// that it has seen and drops older ones, so a tunnel whose machine is back in 1970 does not come up
// (the protocol's TAI64N replay protection); where the tunnel is the only way out, time servers
// cannot be asked either.
//
// Others do the same and are only helped: the clock is set to the latest of all that anybody has
// saved. systemd's PID 1 and systemd-timesyncd use the modification time of
// /var/lib/systemd/timesync/clock and PID 1 also that of /usr/lib/clock-epoch
// (systemd-timesyncd.service(8), src/shared/clock-util.c); fake-hwclock keeps text in
// /etc/fake-hwclock.data. Their files are read and never written.
package wallclock

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// Path of the own file: its modification time is what was saved.
const Path = "/var/lib/provision/clock"

// Others' files, and the mark that systemd-timesyncd makes in /run once it has set the clock.
const (
	timesyncd    = "/var/lib/systemd/timesync/clock"
	epoch        = "/usr/lib/clock-epoch"
	fakeHwclock  = "/etc/fake-hwclock.data"
	synchronised = "/run/systemd/timesync/synchronized"
)

// tooFar is how long after this program was built a saved time is not believed any more: a clock
// that was once wrong and saved would be wrong for ever. systemd has the same limit (15 years,
// CLOCK_VALID_RANGE_USEC_MAX).
const tooFar = 15 * 365 * 24 * time.Hour

// Files is what is needed of the file system. Times are the files' modification times; a file that
// is not there is fs.ErrNotExist.
type Files interface {
	Time(path string) (time.Time, error)
	ReadFile(path string) ([]byte, error)
	// Touch makes the file if needed and gives it that time, durably.
	Touch(path string, t time.Time) error
}

// Kernel is what is needed of the clock.
type Kernel interface {
	Now() time.Time
	Set(time.Time) error
	// MaxError is how wrong the clock may be, as the kernel keeps count of it (adjtimex(2)).
	MaxError() (time.Duration, error)
}

// Clock is the machine's wall clock.
type Clock struct {
	Files  Files
	Kernel Kernel
	// Built is when this program was; the zero time if that is not known.
	Built time.Time
}

// Source is one place that knows that it cannot be earlier than Time.
type Source struct {
	Name string
	Time time.Time
}

// Sources are all that are there and can be believed, and what is wrong with the others.
func (c *Clock) Sources() ([]Source, error) {
	var out []Source
	var errs []error
	add := func(name string, t time.Time, err error) {
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		case !c.Built.IsZero() && t.After(c.Built.Add(tooFar)):
			errs = append(errs, fmt.Errorf("%s says %s, more than 15 years after this program was made: not believed", name, t.UTC().Format(time.RFC3339)))
		case t.Unix() > 0:
			out = append(out, Source{name, t})
		}
	}
	if !c.Built.IsZero() {
		add("this program", c.Built, nil)
	}
	for _, p := range []string{Path, timesyncd, epoch} {
		t, err := c.Files.Time(p)
		add(p, t, err)
	}
	text, err := c.Files.ReadFile(fakeHwclock)
	var t time.Time
	if err == nil {
		t, err = parseFakeHwclock(text)
	}
	add(fakeHwclock, t, err)
	return out, errors.Join(errs...)
}

// parseFakeHwclock reads what fake-hwclock writes: the UTC time as "2016-04-15 00:00:00".
func parseFakeHwclock(text []byte) (time.Time, error) {
	s := strings.TrimSpace(string(text))
	if len(s) > 64 {
		s = s[:64]
	}
	t, err := time.Parse(time.DateTime, s)
	if err != nil || !strings.HasPrefix(s, t.Format(time.DateTime)) { // time.Parse takes an hour of one digit too
		return time.Time{}, fmt.Errorf("%q is no time like 2016-04-15 00:00:00", s)
	}
	return t, nil
}

// Restored says what Restore did.
type Restored struct {
	From, To time.Time // equal: the clock was left alone
	By       string    // the source that was latest
}

// Moved reports whether the clock was set.
func (r Restored) Moved() bool { return !r.To.Equal(r.From) }

// Restore sets the clock forward to the latest source, if it is behind, and never back. Sources that
// cannot be read or believed do not hinder the others: the error names them, and what was done was
// done all the same.
func (c *Clock) Restore() (Restored, error) {
	sources, problems := c.Sources()
	now := c.Kernel.Now()
	r := Restored{From: now, To: now}
	for _, s := range sources {
		if s.Time.After(r.To) {
			r.To, r.By = s.Time, s.Name
		}
	}
	if !r.Moved() {
		return r, problems
	}
	if err := c.Kernel.Set(r.To); err != nil {
		r.To, r.By = now, ""
		return r, errors.Join(problems, fmt.Errorf("cannot set the clock: %w", err))
	}
	return r, problems
}

// Save writes the present time to the file. A clock that nobody has set right does not take a later
// saved time back; one that is synchronised is the truth, also about a saved time in the future.
func (c *Clock) Save() error {
	now := c.Kernel.Now()
	saved, err := c.Files.Time(Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot save the clock: %w", err)
	}
	if err == nil && saved.After(now) && !c.Synchronised() {
		return nil
	}
	if err := c.Files.Touch(Path, now); err != nil {
		return fmt.Errorf("cannot save the clock: %w", err)
	}
	return nil
}

// unsynchronised is the maximum error at which the kernel gives a clock up (NTP_PHASE_LIMIT,
// kernel/time/ntp.c). STA_UNSYNC is not asked: chrony sets it without rtcsync although it keeps the
// clock right, to keep the kernel off the clock chip; systemd decides in the same way.
const unsynchronised = 16 * time.Second

// Synchronised reports whether somebody keeps the clock right: an NTP client that tells the kernel
// (chrony, ntpd, systemd-timesyncd), or systemd-timesyncd's mark of this boot.
func (c *Clock) Synchronised() bool {
	if e, err := c.Kernel.MaxError(); err == nil && e < unsynchronised {
		return true
	}
	_, err := c.Files.Time(synchronised)
	return err == nil
}
