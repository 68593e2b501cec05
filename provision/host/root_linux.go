package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sort"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Root is the file system below one directory, "/" being this machine's own. Below
// any other directory no symlink, "..", or race with somebody who moves
// directories leads out: each component is opened from its parent's descriptor and
// never followed by the kernel, and ".." goes back to the descriptor it came from.
type Root struct {
	dir  string
	fd   int
	live bool
	// named gives new files a temporary name from the start, as on file systems
	// without O_TMPFILE.
	named bool
}

var _ FS = (*Root)(nil)

// OpenRoot opens the file system below dir.
func OpenRoot(dir string) (*Root, error) {
	dir = path.Clean(dir)
	if !path.IsAbs(dir) {
		return nil, fmt.Errorf("cannot use %q as root: not an absolute path", dir)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot use %s as root: %w", dir, err)
	}
	return &Root{dir: dir, fd: fd, live: dir == "/"}, nil
}

// Dir is the directory that the root was opened with.
func (r *Root) Dir() string { return r.dir }

// Live reports whether this is the running system's own root.
func (r *Root) Live() bool { return r.live }

// Close gives the root's descriptor back.
func (r *Root) Close() error { return unix.Close(r.fd) }

// ReadFile implements Reader. It never blocks on a FIFO and never opens a device.
func (r *Root) ReadFile(name string, limit int64) ([]byte, error) {
	dir, base, err := r.locate(name, true)
	if err != nil {
		return nil, pathError("read", name, err)
	}
	defer unix.Close(dir)
	data, _, err := readRegular(dir, base, limit, r.live)
	return data, pathError("read", name, err)
}

// Lstat implements Reader.
func (r *Root) Lstat(name string) (Info, error) { return r.stat("lstat", name, false) }

// Stat is Lstat of what a symlink leads to.
func (r *Root) Stat(name string) (Info, error) { return r.stat("stat", name, true) }

func (r *Root) stat(op, name string, follow bool) (Info, error) {
	dir, base, done, err := r.at(name, follow)
	if err != nil {
		return Info{}, pathError(op, name, err)
	}
	defer done()
	var st unix.Stat_t
	if err := statAt(dir, base, &st, follow && r.live); err != nil {
		return Info{}, pathError(op, name, err)
	}
	return Info{
		Mode: fileMode(st.Mode), UID: int(st.Uid), GID: int(st.Gid), Size: st.Size,
		ModTime: time.Unix(st.Mtim.Unix()),
	}, nil
}

// Readlink implements Reader.
func (r *Root) Readlink(name string) (string, error) {
	dir, base, err := r.locate(name, false)
	if err != nil {
		return "", pathError("readlink", name, err)
	}
	defer unix.Close(dir)
	target, err := readlinkAt(dir, base)
	return target, pathError("readlink", name, err)
}

// maxEntries bounds a directory listing; /proc of a busy machine has some thousands.
const maxEntries = 1 << 17

// ReadDir implements Reader.
func (r *Root) ReadDir(name string) ([]Entry, error) {
	dir, base, err := r.locate(name, true)
	if err != nil {
		return nil, pathError("readdir", name, err)
	}
	defer unix.Close(dir)
	flags := unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
	if !r.live {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := openAt(dir, base, flags, 0)
	if err != nil {
		return nil, pathError("readdir", name, err)
	}
	// The name is what os would lstat where the file system tells no types.
	f := os.NewFile(uintptr(fd), selfFD(fd))
	defer f.Close()
	list, err := f.ReadDir(maxEntries)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, pathError("readdir", name, err)
	}
	if len(list) == maxEntries {
		return nil, pathError("readdir", name, ErrTooLarge)
	}
	entries := make([]Entry, len(list))
	for i, e := range list {
		entries[i] = Entry{Name: e.Name(), Type: e.Type()}
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name < entries[j].Name })
	return entries, nil
}

// readRegular reads base in dir. It looks before it opens: opening a device can
// have effects (a watchdog starts) and a FIFO would block.
func readRegular(dir int, base string, limit int64, follow bool) ([]byte, unix.Stat_t, error) {
	var st unix.Stat_t
	if err := statAt(dir, base, &st, follow); err != nil {
		return nil, st, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, st, irregular(st.Mode)
	}
	flags := unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := openAt(dir, base, flags, 0)
	if err != nil {
		return nil, st, err
	}
	defer unix.Close(fd)
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, st, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, st, irregular(st.Mode)
	}
	data, err := readAll(fd, st.Size, limit)
	return data, st, err
}

func readAll(fd int, size, limit int64) ([]byte, error) {
	if size > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are read", ErrTooLarge, size, limit)
	}
	// Files of proc and sysfs have size 0 or a page whatever they hold.
	buf := make([]byte, 0, max(size+1, 512))
	for {
		n, err := eintr(func() (int, error) { return unix.Read(fd, buf[len(buf):cap(buf)]) })
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return buf, nil
		}
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > limit {
			return nil, fmt.Errorf("%w: at most %d bytes are read", ErrTooLarge, limit)
		}
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, len(buf))
		}
	}
}

func irregular(mode uint32) error {
	kind := "a special file"
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		kind = "a directory"
	case unix.S_IFIFO:
		kind = "a named pipe"
	case unix.S_IFSOCK:
		kind = "a socket"
	case unix.S_IFCHR, unix.S_IFBLK:
		kind = "a device"
	case unix.S_IFLNK:
		kind = "a symlink"
	}
	return fmt.Errorf("%w but %s", ErrIrregular, kind)
}

func statAt(dir int, base string, st *unix.Stat_t, follow bool) error {
	flags := unix.AT_SYMLINK_NOFOLLOW
	if follow {
		flags = 0
	}
	_, err := eintr(func() (int, error) { return 0, unix.Fstatat(dir, base, st, flags) })
	return err
}

func openAt(dir int, base string, flags int, mode uint32) (int, error) {
	return eintr(func() (int, error) { return unix.Openat(dir, base, flags, mode) })
}

func readlinkAt(dir int, base string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, base, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// eintr repeats f while a signal interrupts it: the runtime's preemption signals
// reach file systems in user space.
func eintr(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

func selfFD(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

func fileMode(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	for _, bit := range []struct {
		unix uint32
		fs   fs.FileMode
	}{{unix.S_ISUID, fs.ModeSetuid}, {unix.S_ISGID, fs.ModeSetgid}, {unix.S_ISVTX, fs.ModeSticky}} {
		if mode&bit.unix != 0 {
			m |= bit.fs
		}
	}
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		m |= fs.ModeDir
	case unix.S_IFLNK:
		m |= fs.ModeSymlink
	case unix.S_IFIFO:
		m |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		m |= fs.ModeSocket
	case unix.S_IFCHR:
		m |= fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFBLK:
		m |= fs.ModeDevice
	}
	return m
}

func unixMode(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	if m&fs.ModeSetuid != 0 {
		bits |= unix.S_ISUID
	}
	if m&fs.ModeSetgid != 0 {
		bits |= unix.S_ISGID
	}
	if m&fs.ModeSticky != 0 {
		bits |= unix.S_ISVTX
	}
	return bits
}
