package host

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const limit = 1 << 20

func open(t testing.TB, dir string) *Root {
	t.Helper()
	r, err := OpenRoot(dir)
	must(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

// bothWays runs a test on a file system with O_TMPFILE and on one without.
func bothWays(t *testing.T, test func(t *testing.T, open func(testing.TB, string) *Root)) {
	t.Run("nameless", func(t *testing.T) { test(t, open) })
	t.Run("named", func(t *testing.T) {
		test(t, func(t testing.TB, dir string) *Root {
			r := open(t, dir)
			r.named = true
			return r
		})
	})
}

// names lists a directory, so that a test sees what was left behind.
func names(t testing.TB, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	must(t, err)
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = e.Name()
	}
	return strings.Join(out, " ")
}

func mustLoad(t testing.TB, r *Root, name string) (File, Version) {
	t.Helper()
	f, v, err := r.Load(name, limit)
	if errors.Is(err, fs.ErrNotExist) {
		return f, v
	}
	must(t, err)
	return f, v
}

func plain(text string, mode fs.FileMode) File {
	return File{Data: []byte(text), Mode: mode, UID: -1, GID: -1}
}

func TestWriteRegular(t *testing.T) { bothWays(t, writeRegular) }

func writeRegular(t *testing.T, open func(testing.TB, string) *Root) {
	dir := t.TempDir()
	r := open(t, dir)
	must(t, r.Write("/a", plain("one", 0o600), Version{}))
	f, v := mustLoad(t, r, "/a")
	if string(f.Data) != "one" || f.Mode != 0o600 {
		t.Fatalf("got %q, %v", f.Data, f.Mode)
	}
	first, err := r.Lstat("/a")
	must(t, err)

	// Equal bytes: only the mode changes, neither inode nor modification time.
	f.Mode = 0o644
	must(t, r.Write("/a", f, v))
	second, err := r.Lstat("/a")
	must(t, err)
	f, w := mustLoad(t, r, "/a")
	if second.ModTime != first.ModTime || w.ino != v.ino || f.Mode != 0o644 {
		t.Errorf("equal bytes were written again: %v then %v, mode %v", first, second, f.Mode)
	}

	// Other bytes: a reader that has the old file open keeps it whole.
	reader, err := os.Open(filepath.Join(dir, "a"))
	must(t, err)
	defer reader.Close()
	must(t, r.Write("/a", plain("three", fs.ModeSetuid|0o711), w))
	old := make([]byte, 10)
	if n, _ := reader.Read(old); string(old[:n]) != "one" {
		t.Errorf("the open file changed under its reader: %q", old[:n])
	}
	if f, _ = mustLoad(t, r, "/a"); string(f.Data) != "three" || f.Mode != fs.ModeSetuid|0o711 {
		t.Errorf("got %q, %v", f.Data, f.Mode)
	}

	// The version has passed.
	for _, v := range []Version{v, w, {}} {
		if err := r.Write("/a", plain("four", 0o600), v); !errors.Is(err, ErrChanged) {
			t.Errorf("stale version: %v", err)
		}
		if err := r.Remove("/a", v); !errors.Is(err, ErrChanged) {
			t.Errorf("stale version: %v", err)
		}
	}
	if got := names(t, dir); got != "a" {
		t.Errorf("left behind: %s", got)
	}
	_, v = mustLoad(t, r, "/a")
	must(t, r.Remove("/a", v))
	if got := names(t, dir); got != "" {
		t.Errorf("left behind: %s", got)
	}
}

func TestWriteOtherTypes(t *testing.T) { bothWays(t, writeOtherTypes) }

func writeOtherTypes(t *testing.T, open func(testing.TB, string) *Root) {
	dir := t.TempDir()
	r := open(t, dir)
	kinds := []File{
		plain("text", 0o600),
		{Mode: fs.ModeSymlink | 0o777, Target: "/nowhere", UID: -1, GID: -1},
		{Mode: fs.ModeDir | 0o750, UID: -1, GID: -1},
		{Mode: fs.ModeSymlink | 0o777, Target: "else where", UID: -1, GID: -1},
		{Mode: fs.ModeDir | fs.ModeSticky | 0o777, UID: -1, GID: -1},
	}
	for _, from := range kinds {
		for _, to := range kinds {
			_, v := mustLoad(t, r, "/x")
			must(t, r.Write("/x", from, v))
			_, v = mustLoad(t, r, "/x")
			must(t, r.Write("/x", to, v))
			got, _ := mustLoad(t, r, "/x")
			if got.Mode != to.Mode || got.Target != to.Target || !bytes.Equal(got.Data, to.Data) {
				t.Errorf("%v to %v: got %+v", from.Mode, to.Mode, got)
			}
		}
	}
	must(t, r.Write("/x/keep", plain("", 0o600), Version{}))
	_, v := mustLoad(t, r, "/x")
	for _, err := range []error{r.Write("/x", kinds[0], v), r.Write("/x", kinds[1], v), r.Remove("/x", v)} {
		if !errors.Is(err, unix.ENOTEMPTY) || !strings.Contains(err.Error(), "it stays") {
			t.Errorf("a directory that is not empty: %v", err)
		}
	}
	if got := names(t, dir) + "/" + names(t, dir+"/x"); got != "x/keep" {
		t.Errorf("left behind: %s", got)
	}
	if err := r.Write("/pipe", File{Mode: fs.ModeNamedPipe}, Version{}); !errors.Is(err, ErrIrregular) {
		t.Errorf("a pipe: %v", err)
	}
}

// xattrDir is on a file system with user attributes and ACLs.
func xattrDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Setxattr(dir, "user.try", []byte("1"), 0); err != nil {
		t.Skipf("skipped: no extended attributes in %s: %v", dir, err)
	}
	must(t, unix.Removexattr(dir, "user.try"))
	return dir
}

// acl is the binary form of "u::rw-,u:1234:r--,g::r--,m::r--,o::---" (version 2,
// include/uapi/linux/posix_acl_xattr.h).
var acl = string([]byte{
	2, 0, 0, 0,
	0x01, 0, 6, 0, 0xff, 0xff, 0xff, 0xff,
	0x02, 0, 4, 0, 0xd2, 0x04, 0, 0,
	0x04, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
	0x10, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
	0x20, 0, 0, 0, 0xff, 0xff, 0xff, 0xff,
})

func TestWriteCarriesXattrs(t *testing.T) { bothWays(t, writeCarriesXattrs) }

func writeCarriesXattrs(t *testing.T, open func(testing.TB, string) *Root) {
	dir := xattrDir(t)
	r := open(t, dir)
	must(t, r.Write("/a", plain("one", 0o640), Version{}))
	at := filepath.Join(dir, "a")
	set := map[string]string{"user.any": "\x00\xff bytes"}
	for _, try := range []struct{ name, value string }{
		{"security.selinux", "system_u:object_r:net_conf_t:s0\x00"}, {"system.posix_acl_access", acl},
	} {
		if err := unix.Setxattr(at, try.name, []byte(try.value), 0); err != nil {
			t.Logf("not tried: %s: %v", try.name, err)
			continue
		}
		set[try.name] = try.value
	}
	must(t, unix.Setxattr(at, "user.any", []byte(set["user.any"]), 0))

	f, v := mustLoad(t, r, "/a")
	same := func(when string, want map[string]string) {
		t.Helper()
		got, _ := mustLoad(t, r, "/a")
		for name, value := range want {
			if got.Xattrs[name] != value {
				t.Errorf("%s: %s is %q, want %q", when, name, got.Xattrs[name], value)
			}
		}
		if len(got.Xattrs) != len(want) {
			t.Errorf("%s: got %q", when, got.Xattrs)
		}
	}
	same("loaded", set)
	f.Data, f.Xattrs = []byte("two"), nil
	must(t, r.Write("/a", f, v))
	same("replaced", set)

	f, v = mustLoad(t, r, "/a")
	f.Data, f.Xattrs = []byte("three"), map[string]string{"user.any": "new", "user.more": ""}
	must(t, r.Write("/a", f, v))
	set["user.any"], set["user.more"] = "new", ""
	same("with others", set)

	// A directory's default ACL falls on new files, but not on one that replaces a
	// file which had none.
	if set["system.posix_acl_access"] == "" {
		return
	}
	must(t, r.Write("/b", plain("one", 0o600), Version{}))
	must(t, unix.Setxattr(dir, "system.posix_acl_default", []byte(acl), 0))
	f, v = mustLoad(t, r, "/b")
	f.Data = []byte("two")
	must(t, r.Write("/b", f, v))
	if f, _ = mustLoad(t, r, "/b"); len(f.Xattrs) != 0 || f.Mode != 0o600 {
		t.Errorf("the replaced file has %q, mode %v", f.Xattrs, f.Mode)
	}
	must(t, r.Write("/c", plain("one", 0o600), Version{}))
	if f, _ = mustLoad(t, r, "/c"); f.Xattrs["system.posix_acl_access"] == "" {
		t.Error("a new file did not get its directory's default ACL")
	}
}

func TestWriteOwner(t *testing.T) { bothWays(t, writeOwner) }

func writeOwner(t *testing.T, open func(testing.TB, string) *Root) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: giving files away needs root")
	}
	r := open(t, t.TempDir())
	for _, f := range []File{
		{Data: []byte("x"), Mode: fs.ModeSetuid | 0o755, UID: 12, GID: 34},
		{Mode: fs.ModeDir | 0o700, UID: 12, GID: 34},
		{Mode: fs.ModeSymlink | 0o777, Target: "x", UID: 12, GID: 34},
	} {
		must(t, r.Write("/x", f, Version{}))
		got, v := mustLoad(t, r, "/x")
		if got.UID != 12 || got.GID != 34 || got.Mode != f.Mode {
			t.Errorf("got %d:%d %v, want 12:34 %v", got.UID, got.GID, got.Mode, f.Mode)
		}
		must(t, r.Remove("/x", v))
	}
}

// A crash can leave the temporary name behind on file systems without O_TMPFILE.
func TestWriteTakesLeftoverAway(t *testing.T) { bothWays(t, writeTakesLeftoverAway) }

func writeTakesLeftoverAway(t *testing.T, open func(testing.TB, string) *Root) {
	dir := t.TempDir()
	r := open(t, dir)
	for _, f := range []File{
		plain("x", 0o600), {Mode: fs.ModeSymlink | 0o777, Target: "x", UID: -1, GID: -1},
	} {
		_, v := mustLoad(t, r, "/a")
		if v == (Version{}) {
			must(t, r.Write("/a", plain("old", 0o600), v))
			_, v = mustLoad(t, r, "/a")
		}
		for _, leave := range []func(string) error{
			func(p string) error { return os.WriteFile(p, []byte("half"), 0o600) },
			func(p string) error { return os.Mkdir(p, 0o700) },
		} {
			must(t, leave(filepath.Join(dir, tempName("a"))))
			must(t, r.Write("/a", f, v))
			if got := names(t, dir); got != "a" {
				t.Errorf("left behind: %s", got)
			}
			_, v = mustLoad(t, r, "/a")
			f.Data = append(f.Data, 'x')
			f.Target += "x"
		}
	}
	long := "/" + strings.Repeat("n", unix.NAME_MAX)
	must(t, r.Write(long, plain("1", 0o600), Version{}))
	_, v := mustLoad(t, r, long)
	must(t, r.Write(long, plain("2", 0o600), v))
}

func TestWriteValue(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "v"), []byte("0\n"), 0o600))
	r := open(t, dir)
	must(t, r.WriteValue("/v", "1\n"))
	if data, err := r.ReadFile("/v", 10); err != nil || string(data) != "1\n" {
		t.Errorf("got %q, %v", data, err)
	}
	if data, mode, err := r.ReadValue("/v", 10); err != nil || string(data) != "1\n" || mode != 0o600 {
		t.Errorf("got %q, mode %v, %v", data, mode, err)
	}
	if _, _, err := r.ReadValue("/v", 1); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a value that is longer than it may be: %v", err)
	}
	must(t, os.Symlink("v", filepath.Join(dir, "link")))
	for name, want := range map[string]error{"/none": fs.ErrNotExist, "/link": unix.ELOOP, "/": ErrIrregular} {
		if data, _, err := r.ReadValue(name, 10); !errors.Is(err, want) {
			t.Errorf("%s: got %q, %v, want %v", name, data, err, want)
		}
	}
	if err := r.WriteValue("/none", "1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a value that does not exist: %v", err)
	}
}
