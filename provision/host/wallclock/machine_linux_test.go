package wallclock

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestMachine(t *testing.T) {
	m := Machine{}
	p := filepath.Join(t.TempDir(), "state", "clock")
	if _, err := m.Time(p); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	for _, want := range []string{"1970-01-02 00:00:00", "2026-11-28 10:00:00", "2037-12-31 23:59:59"} {
		if err := m.Touch(p, at(want)); err != nil {
			t.Fatal(err)
		}
		if got, err := m.Time(p); err != nil || !got.Equal(at(want)) {
			t.Errorf("touched with %s it has %s, %v", want, got, err)
		}
	}
	if fi, err := os.Stat(p); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", fi, err)
	}
	link := filepath.Join(t.TempDir(), "clock")
	if err := os.Symlink(p, link); err != nil {
		t.Fatal(err)
	}
	if err := m.Touch(link, at("2026-11-28 10:00:00")); err == nil {
		t.Error("a symlink was followed")
	}
	if err := m.Touch(filepath.Dir(p), time.Now()); err == nil {
		t.Error("a directory was touched")
	}
	if e, err := m.MaxError(); err != nil || e < 0 || e > 20*time.Second {
		t.Errorf("the kernel says that the clock is wrong by at most %s, %v", e, err)
	}
	c := Clock{m, m, time.Time{}}
	t.Logf("this machine's clock is synchronised: %v", c.Synchronised())
}
