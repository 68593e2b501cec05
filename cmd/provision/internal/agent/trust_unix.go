//go:build unix

package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// trusted refuses, for root, a configuration that somebody else could have
// written: the file and every folder above it must belong to root and must not be
// writable by group or others (a sticky folder such as /tmp does not help: the
// file itself could still be planted there, but then its owner gives it away).
func trusted(path string) error {
	if os.Geteuid() != 0 {
		return nil // an ordinary user can only hurt what is theirs
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	real, err = filepath.Abs(real)
	if err != nil {
		return err
	}
	for p := real; ; p = filepath.Dir(p) {
		info, err := os.Lstat(p)
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return nil
		}
		what := "file"
		if info.IsDir() {
			what = "folder"
		}
		if st.Uid != 0 {
			return fmt.Errorf("%s: the %s %s belongs to user %d, not to root, and it steers what root does: chown root %s", path, what, p, st.Uid, p)
		}
		sticky := info.IsDir() && info.Mode()&os.ModeSticky != 0
		if info.Mode().Perm()&0o022 != 0 && !sticky {
			return fmt.Errorf("%s: the %s %s is writable by others (mode %04o), and it steers what root does: chmod go-w %s", path, what, p, info.Mode().Perm(), p)
		}
		if p == filepath.Dir(p) {
			return nil
		}
	}
}

// ownerOf is the user that a file belongs to.
func ownerOf(info os.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return 0
}

func openRegular(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
}
