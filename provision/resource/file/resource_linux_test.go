package file

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/host"
	"github.com/provision-net/provision/provision/host/nstest"
	"golang.org/x/sys/unix"
)

func below(t *testing.T, dir string) *Resource {
	t.Helper()
	root, err := host.OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { root.Close() })
	return &Resource{FS: root}
}

// The round trips of the fake, on a real file system.
func TestOnDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: giving files away needs root")
	}
	dir := t.TempDir()
	r := below(t, dir)
	states := []provision.Attrs{
		nil,
		{"type": "file", "content": "a\x00\n", "mode": "0600", "uid": "1", "gid": "2"},
		{"type": "file", "content": "", "mode": "4755", "uid": "0", "gid": "0"},
		{"type": "dir", "mode": "3770", "uid": "5", "gid": "0"},
		{"type": "symlink", "target": "/etc/shadow", "uid": "3", "gid": "0"},
	}
	if unix.Setxattr(dir, "user.try", []byte("1"), 0) == nil {
		states = append(states, provision.Attrs{"type": "file", "content": "x", "mode": "0640", "uid": "0", "gid": "0", "xattr.user.x": "\x00\x01"})
	}
	for _, from := range states {
		for _, to := range states {
			bring(t, r, "/x", from)
			got := bring(t, r, "/x", to)
			if from == nil && !maps.Equal(got, to) {
				t.Errorf("%v to %v: got %v", from, to, got)
			}
			want := "x"
			if to == nil {
				want = ""
			}
			if list := names(t, dir); list != want {
				t.Errorf("%v to %v: left behind %s", from, to, list)
			}
		}
	}
	bring(t, r, "/x", nil)
	must(t, syscall.Mkfifo(filepath.Join(dir, "x"), 0o600))
	if _, err := r.Get(t.Context(), "/x"); !errors.Is(err, host.ErrIrregular) {
		t.Errorf("a named pipe: %v", err)
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	var out []string
	for _, e := range list {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

// networkd reconfigures by modification time: equal bytes must not move it.
func TestEqualBytesKeepTime(t *testing.T) {
	dir := t.TempDir()
	r := below(t, dir)
	bring(t, r, "/x", provision.Attrs{"content": "same", "mode": "0600"})
	old := unix.Timespec{Sec: 1000}
	must(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(dir, "x"), []unix.Timespec{old, old}, 0))
	bring(t, r, "/x", provision.Attrs{"content": "same", "mode": "0644"})
	info, err := os.Stat(filepath.Join(dir, "x"))
	must(t, err)
	if info.ModTime().Unix() != 1000 || info.Mode().Perm() != 0o644 {
		t.Errorf("got %v, %v", info.ModTime(), info.Mode())
	}
}

func TestFullDisk(t *testing.T) {
	nstest.Mounts(t)
	dir := nstest.Tmpfs(t, "size=64k")
	r := below(t, dir)
	bring(t, r, "/old", provision.Attrs{"content": "old"})
	big := provision.Attrs{"content": strings.Repeat("x", 1<<18)}
	for _, name := range []string{"/old", "/new"} {
		have, err := r.Get(t.Context(), name)
		must(t, err)
		err = r.Set(t.Context(), name, have, big)
		if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "free some space") || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		after, err := r.Get(t.Context(), name)
		must(t, err)
		if !maps.Equal(have, after) {
			t.Errorf("%s: %v became %v", name, have, after)
		}
	}
	if got := names(t, dir); got != "old" {
		t.Errorf("left behind: %s", got)
	}
}

func TestReadOnly(t *testing.T) {
	nstest.Mounts(t)
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "etc/d"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "etc/old"), []byte("old"), 0o600))
	etc := filepath.Join(dir, "etc")
	nstest.Mount(t, etc, etc, "", unix.MS_BIND, "")
	must(t, unix.Mount("", etc, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	r := below(t, dir)
	for _, w := range []provision.Want{
		Want("/etc/old", []byte("new"), 0o600, ""), Content("/etc/new", nil, ""), Absent("/etc/old", ""), Absent("/etc/d", ""),
		Dir("/etc/e", ""), Symlink("/etc/l", "x", ""),
	} {
		have, err := r.Get(t.Context(), w.Name)
		must(t, err)
		err = r.Set(t.Context(), w.Name, have, w.Attrs)
		if !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), "remount,rw") {
			t.Errorf("%s: %v", w.Ref, err)
		}
		if after, _ := r.Get(t.Context(), w.Name); !maps.Equal(have, after) {
			t.Errorf("%s: %v became %v", w.Ref, have, after)
		}
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"/a", "/../secret", "/a/../b", "//a", "/./a", "", "/", "a", "/\x00", "/l/secret"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		top := t.TempDir()
		root := filepath.Join(top, "root")
		must(t, os.Mkdir(root, 0o755))
		must(t, os.Symlink(top, filepath.Join(root, "l")))
		must(t, os.WriteFile(filepath.Join(top, "secret"), []byte("outside"), 0o600))
		r := below(t, root)
		have, err := r.Get(t.Context(), name)
		if have[AttrContent] == "outside" {
			t.Fatalf("%q read outside the root", name)
		}
		if err == nil {
			_ = r.Set(t.Context(), name, have, provision.Attrs{"type": "file", "content": "x"})
		}
		if got := names(t, top); got != "root secret" {
			t.Fatalf("%q left the root: %s", name, got)
		}
	})
}
