package host

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
)

// spy records what a Fake reports.
type spy struct{ said []string }

func (s *spy) Helper() {}
func (s *spy) Errorf(format string, args ...any) {
	s.said = append(s.said, fmt.Sprintf(format, args...))
}

func TestFakeFailsLoudly(t *testing.T) {
	s := &spy{}
	f := NewFake(s)
	f.Answer("netplan generate", Answer{Output: Output{Code: 1}}, Answer{Do: func(f *Fake) { f.Put("/run/done", "x\n") }})
	if out, err := f.Run(t.Context(), Command{Argv: []string{"netplan", "generate"}}); err != nil || out.Code != 1 {
		t.Errorf("first: %v, %v", out, err)
	}
	for range 2 {
		if out, err := f.Run(t.Context(), Command{Argv: []string{"netplan", "generate"}}); err != nil || out.Code != 0 {
			t.Errorf("then: %v, %v", out, err)
		}
	}
	if len(s.said) != 0 {
		t.Errorf("scripted commands were reported: %q", s.said)
	}
	if _, err := f.Run(t.Context(), Command{Argv: []string{"netplan", "apply"}}); err == nil {
		t.Error("an unknown command was answered")
	}
	if len(s.said) != 1 || !strings.Contains(s.said[0], "netplan apply") {
		t.Errorf("reported: %q", s.said)
	}
	want := "drwxr-xr-x 0:0 /\ndrwxr-xr-x 0:0 /run\n-rw-r--r-- 0:0 /run/done\n    x\n" +
		"$ netplan generate\n$ netplan generate\n$ netplan generate\n$ netplan apply\n"
	if f.String() != want {
		t.Errorf("prints\n%s\nwant\n%s", f, want)
	}
}

// The fake must behave as the real root does: the same steps on both.
func TestFakeIsLikeRoot(t *testing.T) {
	fake := NewFake(t)
	real, err := OpenRoot(t.TempDir())
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	defer real.Close()
	dir := File{Mode: fs.ModeDir | 0o755, UID: -1, GID: -1}
	link := func(target string) File {
		return File{Mode: fs.ModeSymlink | 0o777, Target: target, UID: -1, GID: -1}
	}
	text := func(s string) File { return File{Data: []byte(s), Mode: 0o640, UID: -1, GID: -1} }
	write := func(name string, f File) func(FS) string {
		return func(on FS) string {
			_, v, _ := on.Load(name, 1<<20)
			return sentinel(on.Write(name, f, v))
		}
	}
	remove := func(name string) func(FS) string {
		return func(on FS) string {
			_, v, _ := on.Load(name, 1<<20)
			return sentinel(on.Remove(name, v))
		}
	}
	read := func(name string) func(FS) string {
		return func(on FS) string {
			data, err := on.ReadFile(name, 5)
			info, lerr := on.Lstat(name)
			target, _ := on.Readlink(name)
			entries, derr := on.ReadDir(name)
			return fmt.Sprintf("%q %s %v %s %q %v %s", data, sentinel(err), info.Mode, sentinel(lerr), target, entries, sentinel(derr))
		}
	}
	for i, step := range []func(FS) string{
		write("/etc", dir), write("/etc/a", text("one")), write("/etc/a", text("two")), read("/etc/a"), read("/etc"), read("/"),
		write("/none/x", text("x")), read("/none/x"), write("/etc/a/x", text("x")), read("/etc/a/x"),
		write("/l", link("/etc")), read("/l/a"), read("/l"), write("/l/b", text("longer than 5")), read("/etc/b"), read("/etc"),
		write("/loop", link("loop")), read("/loop/x"), read("/loop"), write("/up", link("../../../etc/a")), read("/up"), read("/etc/../l/../etc/a"),
		remove("/etc"), write("/etc", text("x")), remove("/l"), remove("/none"), read("/l"), write("/l", dir), write("/l", text("now")), read("/l"),
		func(on FS) string { return sentinel(on.Write("/l", text("stale"), Version{})) },
		func(on FS) string { return sentinel(on.Remove("/l", Version{})) },
		func(on FS) string { return sentinel(on.Write("/up", text("x"), Version{})) },
	} {
		if a, b := step(real), step(fake); a != b {
			t.Errorf("step %d: the root says %s, the fake %s", i, a, b)
		}
	}
}

// sentinel is what callers may branch on.
func sentinel(err error) string {
	for _, known := range []error{ErrChanged, ErrIrregular, ErrTooLarge, fs.ErrNotExist, fs.ErrExist} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if err != nil {
		return "other"
	}
	return "ok"
}
