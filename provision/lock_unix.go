//go:build linux || darwin

package provision

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// tryLock returns nil without error when somebody else holds the lock.
func tryLock(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
		case errors.Is(err, syscall.EWOULDBLOCK):
			return nil, f.Close()
		case errors.Is(err, syscall.EINTR):
			f.Close()
			continue
		case err != nil:
			f.Close()
			return nil, err
		}
		// A purge may have removed the directory between open and flock: then
		// this lock is on a file that nobody else will find.
		mine, err1 := f.Stat()
		there, err2 := os.Lstat(path)
		if err1 == nil && err2 == nil && os.SameFile(mine, there) {
			return f, nil
		}
		f.Close()
		if err := errors.Join(err1, err2); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
}

// ownDir refuses a state directory of somebody else, who could put snapshots there
// for us to write back as root.
func ownDir(dir string, st fs.FileInfo) error {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if ok && int(sys.Uid) != os.Geteuid() {
		return fmt.Errorf("cannot use %s as state directory: it belongs to user %d, not to %d: %w", dir, sys.Uid, os.Geteuid(), fs.ErrPermission)
	}
	return nil
}
