package wallclock

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is the clock and the files of the running machine.
type Machine struct{}

var (
	_ Files  = Machine{}
	_ Kernel = Machine{}
)

// Now implements Kernel.
func (Machine) Now() time.Time { return time.Now() }

// Set implements Kernel.
func (Machine) Set(t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return err
	}
	return unix.ClockSettime(unix.CLOCK_REALTIME, &ts)
}

// MaxError implements Kernel. It asks only (modes 0), which needs no right.
func (Machine) MaxError() (time.Duration, error) {
	var x unix.Timex
	if _, err := unix.Adjtimex(&x); err != nil {
		return 0, err
	}
	return time.Duration(x.Maxerror) * time.Microsecond, nil
}

// Time implements Files.
func (Machine) Time(path string) (time.Time, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return time.Time{}, err
	}
	return fi.ModTime(), nil
}

// ReadFile implements Files. It reads one page at most.
func (Machine) ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 4096))
}

// Touch implements Files.
func (Machine) Touch(path string, t time.Time) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return errors.Join(err, fmt.Errorf("%s is no regular file: %w", path, fs.ErrInvalid))
	}
	tv := unix.NsecToTimeval(t.UnixNano())
	if err := unix.Futimes(int(f.Fd()), []unix.Timeval{tv, tv}); err != nil {
		return err
	}
	return f.Sync()
}
