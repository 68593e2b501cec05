package host

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// dress gives fd the owner, mode and extended attributes of f, each only where it
// differs. With old, the attributes of the file that is being replaced come first,
// and those that the new inode inherited from its directory and old has not go:
// the order is owner, attributes, mode, because chown(2) clears setuid and an ACL
// sets the group bits.
func dress(fd int, f File, old *File) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	uid, gid := -1, -1
	if f.UID >= 0 && uint32(f.UID) != st.Uid {
		uid = f.UID
	}
	if f.GID >= 0 && uint32(f.GID) != st.Gid {
		gid = f.GID
	}
	if uid >= 0 || gid >= 0 {
		if err := unix.Fchown(fd, uid, gid); err != nil {
			return fmt.Errorf("%w: owner: %w", errLabel, err)
		}
	}
	if err := dressXattrs(fd, f, old); err != nil {
		return err
	}
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if mode := unixMode(f.Mode); st.Mode&0o7777 != mode {
		if err := unix.Fchmod(fd, mode); err != nil {
			return fmt.Errorf("%w: mode: %w", errLabel, err)
		}
	}
	return nil
}

func dressXattrs(fd int, f File, old *File) error {
	has, err := readXattrs(
		func(b []byte) (int, error) { return unix.Flistxattr(fd, b) },
		func(name string, b []byte) (int, error) { return unix.Fgetxattr(fd, name, b) })
	if err != nil {
		return err
	}
	want := map[string]string{}
	if old != nil {
		for name := range has {
			if _, kept := old.Xattrs[name]; !kept {
				if _, asked := f.Xattrs[name]; asked {
					continue
				}
				// A label that the policy insists on cannot be removed, and need not be.
				err := unix.Fremovexattr(fd, name)
				if err != nil && !strings.HasPrefix(name, "security.") {
					return fmt.Errorf("%w: %s: %w", errLabel, name, err)
				}
				if err == nil {
					delete(has, name)
				}
			}
		}
		for name, value := range old.Xattrs {
			if name != "security.capability" { // belongs to the old bytes: a write clears it
				want[name] = value
			}
		}
	}
	maps.Copy(want, f.Xattrs)
	for _, name := range f.Drop {
		delete(want, name)
		if _, ok := has[name]; !ok {
			continue
		}
		if err := unix.Fremovexattr(fd, name); err != nil && !errors.Is(err, unix.ENODATA) {
			return fmt.Errorf("%w: %s: %w", errLabel, name, err)
		}
		delete(has, name)
	}
	for name, value := range want {
		if now, ok := has[name]; ok && now == value {
			continue
		}
		if err := unix.Fsetxattr(fd, name, []byte(value), 0); err != nil {
			return fmt.Errorf("%w: %s: %w", errLabel, name, err)
		}
	}
	return nil
}

// dressSymlink does the same for a symlink, whose mode means nothing.
func dressSymlink(dir int, base string, f File) error {
	var st unix.Stat_t
	if err := statAt(dir, base, &st, false); err != nil {
		return err
	}
	if f.UID >= 0 && uint32(f.UID) != st.Uid || f.GID >= 0 && uint32(f.GID) != st.Gid {
		if err := unix.Fchownat(dir, base, f.UID, f.GID, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	has, err := xattrs(dir, base)
	if err != nil {
		return err
	}
	for name, value := range f.Xattrs {
		if now, ok := has[name]; ok && now == value {
			continue
		}
		if err := unix.Lsetxattr(selfFD(dir)+"/"+base, name, []byte(value), 0); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, name := range f.Drop {
		if _, ok := has[name]; !ok {
			continue
		}
		if err := unix.Lremovexattr(selfFD(dir)+"/"+base, name); err != nil && !errors.Is(err, unix.ENODATA) {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// xattrs reads the extended attributes of base itself. There are no *at calls for
// it; the descriptor of the directory in proc leads there without the path.
func xattrs(dir int, base string) (map[string]string, error) {
	at := selfFD(dir) + "/" + base
	return readXattrs(
		func(b []byte) (int, error) { return unix.Llistxattr(at, b) },
		func(name string, b []byte) (int, error) { return unix.Lgetxattr(at, name, b) })
}

// derived attributes are computed from the content by the kernel or a signing
// tool; on other content they would make the file unreadable.
var derived = []string{"security.ima", "security.evm"}

func readXattrs(list func([]byte) (int, error), get func(string, []byte) (int, error)) (map[string]string, error) {
	names, err := sized(list)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) {
		return nil, nil // no attributes on this file system, or no proc to ask by
	}
	if err != nil {
		return nil, fmt.Errorf("extended attributes: %w", err)
	}
	var out map[string]string
	for _, name := range strings.Split(string(names), "\x00") {
		if name == "" || slices.Contains(derived, name) {
			continue
		}
		value, err := sized(func(b []byte) (int, error) { return get(name, b) })
		switch {
		case err == nil:
			if out == nil {
				out = map[string]string{}
			}
			out[name] = string(value)
		case errors.Is(err, unix.ENODATA), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES), errors.Is(err, unix.EOPNOTSUPP):
			// gone meanwhile, or not for us: neither can be copied
		default:
			return nil, fmt.Errorf("extended attribute %s: %w", name, err)
		}
	}
	return out, nil
}

// sized calls f with a buffer that is large enough.
func sized(f func([]byte) (int, error)) ([]byte, error) {
	for {
		n, err := f(nil)
		if err != nil || n == 0 {
			return nil, err
		}
		buf := make([]byte, n)
		n, err = f(buf)
		if errors.Is(err, unix.ERANGE) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return buf[:n], nil
	}
}
