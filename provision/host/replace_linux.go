package host

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// replace puts a new inode in the place of base.
func (r *Root) replace(dir int, base string, f File, old *File, v Version) (err error) {
	temp := tempName(base)
	fd, named, err := r.createTemp(dir, temp)
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
		_ = removeAny(dir, temp)
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
func (r *Root) createTemp(dir int, temp string) (fd int, named bool, err error) {
	err = unix.EOPNOTSUPP
	if !r.named {
		fd, err = openAt(dir, ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	}
	switch {
	case err == nil:
		return fd, false, nil
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
	default:
		return -1, false, err
	}
	const flags = unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_WRONLY | unix.O_CLOEXEC
	fd, err = openAt(dir, temp, flags, 0o600)
	if errors.Is(err, unix.EEXIST) && removeAny(dir, temp) == nil {
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

// takeOver renames temp to base if base still is what v says. A directory cannot be
// renamed over: it goes last, when everything else has succeeded.
func takeOver(dir int, temp, base string, v Version) error {
	if err := unchanged(dir, base, v); err != nil {
		return err
	}
	if v.is(unix.S_IFDIR) {
		if err := unlink(dir, base, v); err != nil {
			return err
		}
		v = Version{}
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
	if err := same(fd, v); err != nil {
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
