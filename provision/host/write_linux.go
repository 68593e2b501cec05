package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Load implements FS.
func (r *Root) Load(name string, limit int64) (File, Version, error) {
	dir, base, err := r.locate(name, false)
	if err != nil {
		return File{}, Version{}, pathError("load", name, err)
	}
	defer unix.Close(dir)
	f, st, err := load(dir, base, limit)
	if err != nil {
		return File{}, Version{}, pathError("load", name, err)
	}
	return f, version(&st), nil
}

func load(dir int, base string, limit int64) (f File, st unix.Stat_t, err error) {
	if err := statAt(dir, base, &st, false); err != nil {
		return f, st, err
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		f.Data, st, err = readRegular(dir, base, limit, false)
	case unix.S_IFLNK:
		f.Target, err = readlinkAt(dir, base)
	case unix.S_IFDIR:
	default:
		err = irregular(st.Mode)
	}
	if err != nil {
		return f, st, err
	}
	f.Mode, f.UID, f.GID = fileMode(st.Mode), int(st.Uid), int(st.Gid)
	f.Xattrs, err = xattrs(dir, base)
	return f, st, err
}

func version(st *unix.Stat_t) Version {
	return Version{
		dev: uint64(st.Dev), ino: st.Ino, size: st.Size, mode: st.Mode,
		mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(),
	}
}

// current is the version of base in dir, zero where nothing exists.
func current(dir int, base string) (Version, error) {
	var st unix.Stat_t
	err := statAt(dir, base, &st, false)
	if errors.Is(err, unix.ENOENT) {
		return Version{}, nil
	}
	if err != nil {
		return Version{}, err
	}
	return version(&st), nil
}

// unchanged is nil if base in dir still is what v says.
func unchanged(dir int, base string, v Version) error {
	now, err := current(dir, base)
	if err != nil {
		return err
	}
	if now != v {
		return ErrChanged
	}
	return nil
}

func (v Version) is(format uint32) bool { return v.mode&unix.S_IFMT == format }

// Remove implements FS.
func (r *Root) Remove(name string, v Version) error {
	dir, base, err := r.locate(name, false)
	if err != nil {
		return pathError("remove", name, err)
	}
	defer unix.Close(dir)
	if err := unchanged(dir, base, v); err != nil {
		return pathError("remove", name, err)
	}
	if err := unlink(dir, base, v); err != nil {
		return pathError("remove", name, err)
	}
	_ = unix.Unlinkat(dir, tempName(base), 0) // of an attempt that was killed
	return pathError("remove", name, syncDir(dir))
}

func unlink(dir int, base string, v Version) error {
	flags := 0
	if v.is(unix.S_IFDIR) {
		flags = unix.AT_REMOVEDIR
	}
	return unix.Unlinkat(dir, base, flags)
}

// Write implements FS. A regular file or symlink is made complete and durable
// under no name or a temporary one, and then takes the name over in one step. Where
// that cannot be, because the file is a mount point, its directory is read-only or
// its labels cannot be given to another inode, it is overwritten in place.
func (r *Root) Write(name string, f File, v Version) error {
	dir, base, err := r.locate(name, false)
	if err != nil {
		return pathError("write", name, err)
	}
	defer unix.Close(dir)
	if base == "." || base == ".." {
		return pathError("write", name, unix.EISDIR)
	}
	if err := unchanged(dir, base, v); err != nil {
		return pathError("write", name, err)
	}
	switch f.Mode.Type() {
	case 0:
		err = writeRegular(dir, base, f, v)
	case fs.ModeSymlink:
		err = writeSymlink(dir, base, f, v)
	case fs.ModeDir:
		err = writeDir(dir, base, f, v)
	default:
		err = fmt.Errorf("%w", ErrIrregular)
	}
	return pathError("write", name, err)
}

func writeDir(dir int, base string, f File, v Version) error {
	if v != (Version{}) && !v.is(unix.S_IFDIR) {
		if err := unlink(dir, base, v); err != nil {
			return err
		}
		v = Version{}
	}
	if v == (Version{}) {
		if err := unix.Mkdirat(dir, base, unixMode(f.Mode)&0o700); err != nil {
			return ifExists(err)
		}
	}
	fd, err := openAt(dir, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	err = dress(fd, f, nil)
	if err == nil {
		err = unix.Fsync(fd)
	}
	if err != nil {
		if v == (Version{}) {
			_ = unix.Unlinkat(dir, base, unix.AT_REMOVEDIR)
		}
		return err
	}
	return syncDir(dir)
}

func writeSymlink(dir int, base string, f File, v Version) error {
	if v.is(unix.S_IFLNK) {
		if target, err := readlinkAt(dir, base); err == nil && target == f.Target {
			return dressSymlink(dir, base, f)
		}
	}
	if v.is(unix.S_IFDIR) {
		if err := unlink(dir, base, v); err != nil {
			return err
		}
		v = Version{}
	}
	temp := tempName(base)
	err := unix.Symlinkat(f.Target, dir, temp)
	if errors.Is(err, unix.EEXIST) && unix.Unlinkat(dir, temp, 0) == nil {
		err = unix.Symlinkat(f.Target, dir, temp)
	}
	if err != nil {
		return err
	}
	if err = dressSymlink(dir, temp, f); err == nil {
		err = takeOver(dir, temp, base, v)
	}
	if err != nil {
		_ = unix.Unlinkat(dir, temp, 0)
		return err
	}
	return syncDir(dir)
}

func writeRegular(dir int, base string, f File, v Version) error {
	var old *File
	if v.is(unix.S_IFREG) {
		same, err := dressEqual(dir, base, f, v)
		if same || err != nil {
			return err
		}
		was, st, err := load(dir, base, v.size)
		if err != nil {
			return err
		}
		if version(&st) != v {
			return ErrChanged
		}
		old = &was
	}
	if v.is(unix.S_IFDIR) {
		if err := unlink(dir, base, v); err != nil {
			return err
		}
		v = Version{}
	}
	err := replace(dir, base, f, old, v)
	if old != nil && inPlaceMayWork(err) {
		return overwrite(dir, base, f, *old, v)
	}
	if err != nil {
		return err
	}
	return syncDir(dir)
}

// dressEqual reports whether the file already has the bytes of f; owner, mode and
// extended attributes are then corrected without a new modification time, by which
// networkd decides what to reconfigure.
func dressEqual(dir int, base string, f File, v Version) (bool, error) {
	if v.size != int64(len(f.Data)) {
		return false, nil
	}
	data, st, err := readRegular(dir, base, v.size, false)
	if err != nil {
		return false, err
	}
	if version(&st) != v {
		return false, ErrChanged
	}
	if !bytes.Equal(data, f.Data) {
		return false, nil
	}
	fd, err := openAt(dir, base, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	if err := dress(fd, f, nil); err != nil {
		return true, err
	}
	return true, unix.Fsync(fd)
}

// replace puts a new inode in the place of base.
func replace(dir int, base string, f File, old *File, v Version) (err error) {
	temp := tempName(base)
	fd, named, err := createTemp(dir, temp)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	defer func() {
		if err != nil && named {
			_ = unix.Unlinkat(dir, temp, 0)
		}
	}()
	if err := writeAll(fd, f.Data, 0); err != nil {
		return err
	}
	if err := dress(fd, f, old); err != nil {
		return err
	}
	if err := unix.Fsync(fd); err != nil {
		return err
	}
	if !named {
		if v == (Version{}) {
			return ifExists(linkFD(fd, dir, base))
		}
		_ = unix.Unlinkat(dir, temp, 0)
		if err := linkFD(fd, dir, temp); err != nil {
			return err
		}
		named = true
	}
	return takeOver(dir, temp, base, v)
}

// tempName is the same for each attempt, so that one which was killed leaves
// nothing that the next does not take away. netplan, networkd, NetworkManager,
// ifupdown, udev and sysctl skip names that begin with a dot.
func tempName(base string) string {
	const around = len(".provision-.tmp")
	if len(base) > unix.NAME_MAX-around {
		base = base[:unix.NAME_MAX-around]
	}
	return ".provision-" + base + ".tmp"
}

// createTemp opens a new file in dir, without a name where the file system can do
// that: a crash then leaves nothing behind.
func createTemp(dir int, temp string) (fd int, named bool, err error) {
	fd, err = openAt(dir, ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	switch {
	case err == nil:
		return fd, false, nil
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
	default:
		return -1, false, err
	}
	const flags = unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_WRONLY | unix.O_CLOEXEC
	fd, err = openAt(dir, temp, flags, 0o600)
	if errors.Is(err, unix.EEXIST) && unix.Unlinkat(dir, temp, 0) == nil {
		fd, err = openAt(dir, temp, flags, 0o600)
	}
	return fd, true, err
}

// linkFD gives the nameless file fd a name. AT_EMPTY_PATH needs a capability,
// the way through proc needs proc (open(2), O_TMPFILE).
func linkFD(fd, dir int, name string) error {
	err := unix.Linkat(fd, "", dir, name, unix.AT_EMPTY_PATH)
	if err == nil || errors.Is(err, unix.EEXIST) {
		return err
	}
	return unix.Linkat(unix.AT_FDCWD, selfFD(fd), dir, name, unix.AT_SYMLINK_FOLLOW)
}

// takeOver renames temp to base if base still is what v says.
func takeOver(dir int, temp, base string, v Version) error {
	if err := unchanged(dir, base, v); err != nil {
		return err
	}
	if v == (Version{}) {
		err := unix.Renameat2(dir, temp, dir, base, unix.RENAME_NOREPLACE)
		if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EINVAL) {
			return ifExists(err)
		}
	}
	return unix.Renameat(dir, temp, dir, base)
}

func ifExists(err error) error {
	if errors.Is(err, unix.EEXIST) {
		return ErrChanged
	}
	return err
}

// errLabel marks that a file's owner or attributes could not be given to another
// inode.
var errLabel = errors.New("cannot carry over owner or attributes")

func inPlaceMayWork(err error) bool {
	for _, e := range []error{unix.EBUSY, unix.EXDEV, unix.EROFS, unix.EACCES, unix.EPERM, errLabel} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// overwrite writes f over the inode that is there. The room is reserved first; if
// writing fails all the same, the old bytes go back.
func overwrite(dir int, base string, f, old File, v Version) error {
	fd, err := openAt(dir, base, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unchanged(dir, base, v); err != nil {
		return err
	}
	if len(f.Data) > len(old.Data) {
		err := unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, int64(len(f.Data)))
		if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			return err
		}
	}
	err = rewrite(fd, f.Data)
	if err == nil {
		err = dress(fd, f, nil)
	}
	if err == nil {
		return nil
	}
	if back := rewrite(fd, old.Data); back != nil {
		return fmt.Errorf("%w (and the old content could not be put back: %v)", err, back)
	}
	return errors.Join(err, dress(fd, old, nil))
}

func rewrite(fd int, data []byte) error {
	if err := writeAll(fd, data, 0); err != nil {
		return err
	}
	if err := unix.Ftruncate(fd, int64(len(data))); err != nil {
		return err
	}
	return unix.Fsync(fd)
}

func writeAll(fd int, data []byte, off int64) error {
	for len(data) > 0 {
		n, err := eintr(func() (int, error) { return unix.Pwrite(fd, data, off) })
		if err != nil {
			return err
		}
		data, off = data[n:], off+int64(n)
	}
	return nil
}

// syncDir makes the names in dir durable. File systems that cannot say EINVAL.
func syncDir(dir int) error {
	fd, err := openAt(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Fsync(fd); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// WriteValue writes one value to an existing file of the kernel (proc, sysfs,
// configfs) in a single write, since the kernel takes each write for a whole value.
func (r *Root) WriteValue(name, value string) error {
	dir, base, err := r.locate(name, true)
	if err != nil {
		return pathError("write", name, err)
	}
	defer unix.Close(dir)
	fd, err := openAt(dir, base, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return pathError("write", name, err)
	}
	defer unix.Close(fd)
	n, err := eintr(func() (int, error) { return unix.Write(fd, []byte(value)) })
	if err == nil && n != len(value) {
		err = fmt.Errorf("the kernel took %d of %d bytes", n, len(value))
	}
	return pathError("write", name, err)
}
