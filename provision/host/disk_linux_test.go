package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provision-net/provision/provision/host/nstest"
	"golang.org/x/sys/unix"
)

func TestWriteFullDisk(t *testing.T) { bothWays(t, writeFullDisk) }

func writeFullDisk(t *testing.T, open func(testing.TB, string) *Root) {
	nstest.Mounts(t)
	dir := nstest.Tmpfs(t, "size=64k,nr_inodes=8")
	r := open(t, dir)
	must(t, r.Write("/a", plain("old", 0o600), Version{}))
	must(t, r.Write("/d", File{Mode: fs.ModeDir | 0o755, UID: -1, GID: -1}, Version{}))
	_, v := mustLoad(t, r, "/a")
	big := strings.Repeat("x", 1<<17)
	check := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "df") {
			t.Errorf("%s: %v", what, err)
		}
		if f, _ := mustLoad(t, r, "/a"); string(f.Data) != "old" {
			t.Errorf("%s: the old file holds %d bytes", what, len(f.Data))
		}
	}
	check("replace", r.Write("/a", plain(big, 0o600), v))
	_, d := mustLoad(t, r, "/d")
	check("replace a directory", r.Write("/d", plain(big, 0o600), d))
	check("create", r.Write("/b", plain(big, 0o600), Version{}))
	if got := names(t, dir); got != "a d" {
		t.Errorf("left behind: %s", got)
	}
	for i := range 16 { // no inode left
		if err := os.WriteFile(filepath.Join(dir, "fill"+string(rune('a'+i))), nil, 0o600); err != nil {
			break
		}
	}
	before := names(t, dir)
	check("no inode", r.Write("/b", plain("x", 0o600), Version{}))
	check("no inode for a directory in a file's place", r.Write("/a", File{Mode: fs.ModeDir | 0o755}, v))
	check("no inode for a symlink in a file's place", r.Write("/a", File{Mode: fs.ModeSymlink, Target: "x"}, v))
	check("no inode for a directory", r.Write("/b", File{Mode: fs.ModeDir | 0o755}, Version{}))
	check("no inode for a symlink", r.Write("/b", File{Mode: fs.ModeSymlink, Target: "x"}, Version{}))
	if got := names(t, dir); got != before {
		t.Errorf("left behind: %s, before: %s", got, before)
	}
}

func TestWriteReadOnly(t *testing.T) { bothWays(t, writeReadOnly) }

func writeReadOnly(t *testing.T, open func(testing.TB, string) *Root) {
	nstest.Mounts(t)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "a"), []byte("old"), 0o600))
	nstest.Mount(t, dir, dir, "", unix.MS_BIND, "")
	must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	r := open(t, dir)
	_, v := mustLoad(t, r, "/a")
	for what, err := range map[string]error{
		"replace": r.Write("/a", plain("new", 0o600), v),
		"create":  r.Write("/b", plain("new", 0o600), Version{}),
		"chmod":   r.Write("/a", plain("old", 0o644), v),
		"remove":  r.Remove("/a", v),
		"mkdir":   r.Write("/b", File{Mode: fs.ModeDir | 0o755}, Version{}),
		"symlink": r.Write("/b", File{Mode: fs.ModeSymlink, Target: "x"}, Version{}),
	} {
		if !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), "remount,rw") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if f, _ := mustLoad(t, r, "/a"); string(f.Data) != "old" || names(t, dir) != "a" {
		t.Errorf("got %q, %s", f.Data, names(t, dir))
	}
}

// A file that is itself a mount point (containers do that to resolv.conf) cannot be
// renamed over, also where everything around it is read-only.
func TestWriteBindMountedFile(t *testing.T) {
	for _, around := range []string{"writable", "read-only"} {
		t.Run(around, func(t *testing.T) {
			nstest.Mounts(t)
			source := filepath.Join(nstest.Tmpfs(t, "size=64k"), "source")
			dir := t.TempDir()
			must(t, os.WriteFile(source, []byte("old"), 0o600))
			must(t, os.WriteFile(filepath.Join(dir, "a"), nil, 0o600))
			if around == "read-only" {
				nstest.Mount(t, dir, dir, "", unix.MS_BIND, "")
			}
			nstest.Mount(t, source, filepath.Join(dir, "a"), "", unix.MS_BIND, "")
			if around == "read-only" {
				must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
			}
			r := open(t, dir)
			for _, text := range []string{"much longer than before", "", "x"} {
				_, v := mustLoad(t, r, "/a")
				must(t, r.Write("/a", plain(text, 0o640), v))
				if f, _ := mustLoad(t, r, "/a"); string(f.Data) != text || f.Mode != 0o640 {
					t.Errorf("got %q, %v", f.Data, f.Mode)
				}
			}
			if got := names(t, dir); got != "a" {
				t.Errorf("left behind: %s", got)
			}
			if data, err := os.ReadFile(source); err != nil || string(data) != "x" {
				t.Errorf("the source of the mount holds %q, %v", data, err)
			}
		})
	}
}

func TestWriteInPlaceFullDisk(t *testing.T) { bothWays(t, writeInPlaceFullDisk) }

func writeInPlaceFullDisk(t *testing.T, open func(testing.TB, string) *Root) {
	nstest.Mounts(t)
	small := nstest.Tmpfs(t, "size=64k")
	dir := t.TempDir()
	old := strings.Repeat("o", 10000)
	must(t, os.WriteFile(filepath.Join(small, "a"), []byte(old), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "a"), nil, 0o600))
	nstest.Mount(t, filepath.Join(small, "a"), filepath.Join(dir, "a"), "", unix.MS_BIND, "")
	r := open(t, dir)
	_, v := mustLoad(t, r, "/a")
	err := r.Write("/a", plain(strings.Repeat("n", 1<<17), 0o600), v)
	if !errors.Is(err, unix.ENOSPC) {
		t.Errorf("got %v", err)
	}
	if f, _ := mustLoad(t, r, "/a"); string(f.Data) != old {
		t.Errorf("the old content is gone: %d bytes", len(f.Data))
	}
}

// Neither a new inode nor the old one takes the attribute: the old bytes come back.
func TestWriteImpossibleAttribute(t *testing.T) { bothWays(t, writeImpossibleAttribute) }

func writeImpossibleAttribute(t *testing.T, open func(testing.TB, string) *Root) {
	dir := t.TempDir()
	r := open(t, dir)
	must(t, r.Write("/a", plain("old", 0o600), Version{}))
	_, v := mustLoad(t, r, "/a")
	f := plain("new and longer", 0o644)
	f.Xattrs = map[string]string{"nosuch.namespace": "1"}
	for name, err := range map[string]error{"/a": r.Write("/a", f, v), "/b": r.Write("/b", f, Version{})} {
		if !errors.Is(err, unix.EOPNOTSUPP) || !strings.Contains(err.Error(), "nosuch.namespace") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if f, _ := mustLoad(t, r, "/a"); string(f.Data) != "old" || f.Mode != 0o600 || names(t, dir) != "a" {
		t.Errorf("got %q, %v, %s", f.Data, f.Mode, names(t, dir))
	}
}

func TestWriteImmutable(t *testing.T) { bothWays(t, writeImmutable) }

func writeImmutable(t *testing.T, open func(testing.TB, string) *Root) {
	dir := t.TempDir()
	r := open(t, dir)
	must(t, r.Write("/a", plain("old", 0o600), Version{}))
	setImmutable := func(on int) error {
		f, err := os.Open(filepath.Join(dir, "a"))
		must(t, err)
		defer f.Close()
		return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, on)
	}
	if err := setImmutable(0x10); err != nil { // FS_IMMUTABLE_FL
		t.Skipf("skipped: no immutable flag here: %v", err)
	}
	defer func() { must(t, setImmutable(0)) }()
	_, v := mustLoad(t, r, "/a")
	err := r.Write("/a", plain("new", 0o600), v)
	if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "lsattr") {
		t.Errorf("got %v", err)
	}
	if got := names(t, dir); got != "a" {
		t.Errorf("left behind: %s", got)
	}
}
