//go:build unix

package medium

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func full(err error) bool     { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
func readOnly(err error) bool { return errors.Is(err, unix.EROFS) }
func busy(err error) bool     { return errors.Is(err, unix.EBUSY) }

func free(dir string) int64 {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return -1
	}
	return int64(s.Bavail) * int64(s.Bsize)
}

// syncFolder has the names in a folder on the card too.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) { // some file systems have no such thing
		return err
	}
	return nil
}
