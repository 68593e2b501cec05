package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"

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
	_ = removeAny(dir, tempName(base)) // of an attempt that was killed
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
		err = r.writeRegular(dir, base, f, v)
	case fs.ModeSymlink:
		err = writeSymlink(dir, base, f, v)
	case fs.ModeDir:
		err = writeDir(dir, base, f, v)
	default:
		err = fmt.Errorf("%w", ErrIrregular)
	}
	return pathError("write", name, err)
}

func writeDir(dir int, base string, f File, v Version) (err error) {
	// What stands in its place goes last, so a new directory begins beside it.
	name, fresh := base, !v.is(unix.S_IFDIR)
	if fresh && v != (Version{}) {
		name = tempName(base)
	}
	if fresh {
		err = unix.Mkdirat(dir, name, 0o700)
		if errors.Is(err, unix.EEXIST) && name != base && removeAny(dir, name) == nil {
			err = unix.Mkdirat(dir, name, 0o700)
		}
		if err != nil {
			return ifExists(err)
		}
		defer func() {
			if err != nil {
				_ = unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
			}
		}()
	}
	fd, err := openAt(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if !fresh {
		if err := same(fd, v); err != nil {
			return err
		}
	}
	if err := dress(fd, f, nil); err != nil {
		return err
	}
	if err := unix.Fsync(fd); err != nil {
		return err
	}
	if name != base {
		if err := unchanged(dir, base, v); err != nil {
			return err
		}
		if err := unlink(dir, base, v); err != nil {
			return err
		}
		if err := takeOver(dir, name, base, Version{}); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// removeAny deletes what an attempt that was killed left under a temporary name.
func removeAny(dir int, temp string) error {
	err := unix.Unlinkat(dir, temp, 0)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EPERM) {
		err = unix.Unlinkat(dir, temp, unix.AT_REMOVEDIR)
	}
	return err
}

// same is nil if the open file is what v says.
func same(fd int, v Version) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if version(&st) != v {
		return ErrChanged
	}
	return nil
}

func writeSymlink(dir int, base string, f File, v Version) error {
	if v.is(unix.S_IFLNK) {
		if target, err := readlinkAt(dir, base); err == nil && target == f.Target {
			return dressSymlink(dir, base, f)
		}
	}
	temp := tempName(base)
	err := unix.Symlinkat(f.Target, dir, temp)
	if errors.Is(err, unix.EEXIST) && removeAny(dir, temp) == nil {
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

func (r *Root) writeRegular(dir int, base string, f File, v Version) error {
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
	err := r.replace(dir, base, f, old, v)
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
	if err := same(fd, v); err != nil {
		return false, err
	}
	if err := dress(fd, f, nil); err != nil {
		return true, err
	}
	return true, unix.Fsync(fd)
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
// configfs) in a single write, since the kernel takes each write for a whole value. Only the
// line's end may be left: of "1\n" to net.ipv6.conf.*.forwarding Linux 6.1.176 says that it took
// one byte, and has taken the value (addrconf_fixup_forwarding in net/ipv6/addrconf.c returns 1).
func (r *Root) WriteValue(name, value string) error {
	dir, base, done, err := r.at(name, true)
	if err != nil {
		return pathError("write", name, err)
	}
	defer done()
	fd, err := openAt(dir, base, unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return pathError("write", name, err)
	}
	defer unix.Close(fd)
	n, err := eintr(func() (int, error) { return unix.Write(fd, []byte(value)) })
	if err == nil && n < len(strings.TrimSuffix(value, "\n")) {
		err = fmt.Errorf("the kernel took %d of %d bytes", n, len(value))
	}
	return pathError("write", name, err)
}
