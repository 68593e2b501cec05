// Package tree reads files below a root: the running system's own, a mounted
// image or a captured tree. Paths are logical and absolute ("/etc/hostname") and
// symlinks, absolute ones too, are resolved inside the root, so nothing outside of
// it is ever opened. Every read is bounded and refuses what is not a regular file:
// opening a FIFO or a device that somebody left in a configuration directory would
// block or have effects.
//
// It is not host.Root because that one is Linux's alone and can write: this one also
// reads a captured tree on another system, and there is nothing in it to write with.
package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sort"
	"strings"
)

// Limits of a walk through hostile trees.
const (
	maxNames = 8192 // directory entries
	maxLinks = 40   // symlinks followed for one path, as MAXSYMLINKS in Linux
)

// Errors that callers branch on.
var (
	ErrTooLarge   = errors.New("larger than its limit")
	ErrNotRegular = errors.New("not a regular file")
)

// Tree is a file tree. It is safe for concurrent use.
type Tree struct {
	root *os.Root // nil: the running system's own root

	// Hook, when set, is asked before each access ("read", "list", "link", "stat");
	// its error is what the access says. Tests count accesses and refuse them.
	Hook func(op, name string) error
}

func (t *Tree) hook(op, name string) error {
	if t.Hook == nil {
		return nil
	}
	return t.Hook(op, name)
}

// Live is the running system's own tree.
func Live() *Tree { return &Tree{} }

// Open is the tree below dir. Close it after use.
func Open(dir string) (*Tree, error) {
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open root %s: %w", dir, err)
	}
	return &Tree{root: r}, nil
}

// Close releases the root.
func (t *Tree) Close() error {
	if t.root == nil {
		return nil
	}
	return t.root.Close()
}

// Live reports whether t is the running system's own tree.
func (t *Tree) Live() bool { return t.root == nil }

// Entry is a file with its metadata.
type Entry struct {
	Data     []byte
	Mode     fs.FileMode
	UID, GID int
	Target   string // of the symlink at the path itself; empty for other files
}

// ReadFile returns the content of the regular file name, following symlinks
// inside the root. A file of more than limit bytes is ErrTooLarge.
func (t *Tree) ReadFile(name string, limit int) ([]byte, error) {
	b, _, err := t.read(name, limit)
	return b, err
}

// Head returns at most the first limit bytes of the regular file name.
func (t *Tree) Head(name string, limit int) ([]byte, error) {
	f, err := t.open("read", name)
	if err != nil {
		return nil, short(name, err)
	}
	defer f.Close()
	b := make([]byte, limit)
	n := 0
	for n < limit {
		m, err := f.Read(b[n:])
		n += m
		if err != nil || m == 0 {
			break
		}
	}
	return b[:n], nil
}

// File returns the content and the metadata of the regular file name.
func (t *Tree) File(name string, limit int) (Entry, error) {
	b, fi, err := t.read(name, limit)
	if err != nil {
		return Entry{}, err
	}
	e := Entry{Data: b, Mode: fi.Mode()}
	e.UID, e.GID = owner(fi)
	// Readlink on what is no symlink fails with EINVAL: the usual case, and
	// cheaper than asking first.
	if target, err := t.Readlink(name); err == nil {
		e.Target = target
	}
	return e, nil
}

func (t *Tree) read(name string, limit int) ([]byte, fs.FileInfo, error) {
	f, err := t.open("read", name)
	if err != nil {
		return nil, nil, short(name, err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, nil, short(name, err)
	}
	if !fi.Mode().IsRegular() {
		return nil, nil, short(name, ErrNotRegular)
	}
	if fi.Size() > int64(limit) {
		return nil, nil, short(name, ErrTooLarge)
	}
	// Files of procfs and sysfs say that they are empty or a page long.
	size := int(fi.Size()) + 1
	if size < 512 {
		size = 512
	}
	b := make([]byte, 0, size)
	for {
		n, err := f.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if len(b) > limit {
			return nil, nil, short(name, ErrTooLarge)
		}
		if err != nil || n == 0 {
			if err != nil && !isEOF(err) {
				return nil, nil, short(name, err)
			}
			return b, fi, nil
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
}

// ReadDir returns the sorted names in the directory name.
func (t *Tree) ReadDir(name string) ([]string, error) {
	names, err := t.ReadNames(name)
	sort.Strings(names)
	return names, err
}

// ReadNames returns the names in the directory name in no order, at most the
// first few thousand.
func (t *Tree) ReadNames(name string) ([]string, error) {
	f, err := t.open("list", name)
	if err != nil {
		return nil, short(name, err)
	}
	defer f.Close()
	names, err := f.Readdirnames(maxNames)
	if err != nil && !isEOF(err) {
		return names, short(name, err)
	}
	return names, nil
}

// Readlink returns the target of the symlink name as it is written.
func (t *Tree) Readlink(name string) (string, error) {
	if err := t.hook("link", name); err != nil {
		return "", short(name, err)
	}
	if t.root == nil {
		target, err := readlink(name)
		if err != nil {
			return "", short(name, err)
		}
		return target, nil
	}
	parent, err := t.resolve(path.Dir(path.Clean("/" + name)))
	if err != nil {
		return "", short(name, err)
	}
	target, err := t.root.Readlink(relative(path.Join(parent, path.Base(name))))
	if err != nil {
		return "", short(name, err)
	}
	return target, nil
}

// Stat describes what name leads to.
func (t *Tree) Stat(name string) (fs.FileInfo, error) {
	if err := t.hook("stat", name); err != nil {
		return nil, short(name, err)
	}
	if t.root == nil {
		fi, err := os.Stat(name)
		return fi, short(name, err)
	}
	p, err := t.resolve(name)
	if err != nil {
		return nil, short(name, err)
	}
	fi, err := t.root.Lstat(relative(p))
	return fi, short(name, err)
}

// Exists reports whether name leads to something.
func (t *Tree) Exists(name string) bool {
	if t.root == nil {
		if t.hook("stat", name) != nil {
			return false
		}
		return exists(name)
	}
	_, err := t.Stat(name)
	return err == nil
}

// Resolve returns the path that name leads to inside the root, without symlinks.
func (t *Tree) Resolve(name string) (string, error) {
	p, err := t.resolve(name)
	return p, short(name, err)
}

func (t *Tree) open(op, name string) (*os.File, error) {
	if err := t.hook(op, name); err != nil {
		return nil, err
	}
	if t.root == nil {
		return os.OpenFile(name, os.O_RDONLY|nonblock, 0)
	}
	p, err := t.resolve(name)
	if err != nil {
		return nil, err
	}
	// The path has no symlinks now; os.Root keeps one that is swapped in
	// meanwhile from leading out.
	return t.root.OpenFile(relative(p), os.O_RDONLY|nonblock, 0)
}

// resolve walks name one component at a time and follows symlinks as the kernel
// does for a process that is chrooted to the root.
func (t *Tree) resolve(name string) (string, error) {
	todo := strings.Split(name, "/")
	done := "/"
	links := 0
	for len(todo) > 0 {
		c := todo[0]
		todo = todo[1:]
		switch c {
		case "", ".":
			continue
		case "..":
			done = path.Dir(done)
			continue
		}
		p := path.Join(done, c)
		target, err := t.readlink(p)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
				return "", err
			}
			done = p // no symlink
			continue
		}
		if links++; links > maxLinks {
			return "", errors.New("too many levels of symbolic links")
		}
		if strings.HasPrefix(target, "/") {
			done = "/"
		}
		todo = append(strings.Split(target, "/"), todo...)
		if len(todo) > 4096 {
			return "", errors.New("path too long")
		}
	}
	return done, nil
}

func (t *Tree) readlink(p string) (string, error) {
	if t.root == nil {
		return readlink(p)
	}
	return t.root.Readlink(relative(p))
}

func relative(p string) string {
	p = strings.TrimPrefix(path.Clean(p), "/")
	if p == "" {
		return "."
	}
	return p
}

// short leaves the path out of the reason: callers name it themselves.
func short(name string, err error) error {
	if err == nil {
		return nil
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return &fs.PathError{Op: "read", Path: name, Err: err}
}
