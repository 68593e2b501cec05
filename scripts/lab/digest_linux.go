package lab

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Entry is all that makes up a file, a directory or a link except its times.
type Entry struct {
	Mode   fs.FileMode // with type and set-id bits
	UID    uint32
	GID    uint32
	Size   int64  // of regular files
	Sum    string // SHA-256 of a regular file
	Target string // of a symbolic link
	Xattrs string
	Rdev   uint64

	changed syscall.Timespec // inode change time: any write, chmod or rename sets it (inode(7))
	inode   uint64
}

// Tree is a directory tree by path.
type Tree map[string]Entry

// TreeDigest reads everything below dir on the machine's disk. Two digests tell whether somebody changed anything. What goes away
// while it reads, as when a machine is watched going back, is not there.
func (m *Machine) TreeDigest(t testing.TB, dir string) Tree {
	t.Helper()
	top := m.host(dir)
	tree := Tree{}
	err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		var e Entry
		if err == nil {
			e, err = entry(p)
		}
		if errors.Is(err, fs.ErrNotExist) && p != top {
			return nil
		}
		if err != nil {
			return err
		}
		tree[dir+strings.TrimPrefix(p, top)] = e
		return nil
	})
	if err != nil {
		t.Fatalf("lab: cannot read %s of the machine: %v", dir, err)
	}
	return tree
}

func entry(path string) (Entry, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return Entry{}, err
	}
	st := info.Sys().(*syscall.Stat_t)
	e := Entry{Mode: info.Mode(), UID: st.Uid, GID: st.Gid, Rdev: uint64(st.Rdev), changed: st.Ctim, inode: st.Ino}
	if e.Xattrs, err = xattrs(path); err != nil {
		return e, err
	}
	switch {
	case info.Mode().IsRegular():
		b, err := os.ReadFile(path)
		if err != nil {
			return e, err
		}
		e.Size, e.Sum = info.Size(), fmt.Sprintf("%x", sha256.Sum256(b))
	case info.Mode()&fs.ModeSymlink != 0:
		e.Target, err = os.Readlink(path)
	}
	return e, err
}

func xattrs(path string) (string, error) {
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, names)
	if err != nil {
		return "", fmt.Errorf("cannot list attributes of %s: %w", path, err)
	}
	var all []string
	for name := range strings.SplitSeq(strings.TrimRight(string(names[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return "", fmt.Errorf("cannot read attribute %s of %s: %w", name, path, err)
		}
		all = append(all, fmt.Sprintf("%s=%x", name, value[:n]))
	}
	slices.Sort(all)
	return strings.Join(all, " "), nil
}

// Without leaves paths out: /etc/resolv.conf, for example, is rewritten by daemons at each lease. dhclient-script(8) has the new one
// beside it for a moment, as resolv.conf.dhclient-new.PID, which goes with it.
func (t Tree) Without(paths ...string) Tree {
	rest := maps.Clone(t)
	maps.DeleteFunc(rest, func(path string, _ Entry) bool {
		before, _, _ := strings.Cut(path, ".dhclient-new.")
		return slices.Contains(paths, before)
	})
	return rest
}

// Diff lists what differs in the later tree, one line for each path: times are left out, because putting a file back changes them.
func (t Tree) Diff(later Tree) []string {
	return t.compare(later, func(a, b Entry) string {
		a.changed, b.changed, a.inode, b.inode = syscall.Timespec{}, syscall.Timespec{}, 0, 0
		if a == b {
			return ""
		}
		return fmt.Sprintf("was %+v, is %+v", a, b)
	})
}

// Touched lists what was written, created, removed or re-created in the later tree, even if it ended with the same content.
func (t Tree) Touched(later Tree) []string {
	return t.compare(later, func(a, b Entry) string {
		if a == b {
			return ""
		}
		return "touched"
	})
}

func (t Tree) compare(later Tree, f func(a, b Entry) string) []string {
	var diff []string
	for _, p := range slices.Sorted(maps.Keys(t)) {
		b, ok := later[p]
		if !ok {
			diff = append(diff, p+": removed")
		} else if d := f(t[p], b); d != "" {
			diff = append(diff, p+": "+d)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(later)) {
		if _, ok := t[p]; !ok {
			diff = append(diff, p+": added")
		}
	}
	return diff
}
