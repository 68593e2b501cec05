//go:build unix

package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Lock implements FS. The lock is on the directory itself, so that it needs no file on a disk that is read-only.
func (d Dir) Lock() (func() error, error) {
	if err := d.make(); err != nil {
		return nil, err
	}
	f, err := os.Open(string(d))
	if err != nil {
		return nil, err
	}
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		f.Close()
		return nil, ErrInUse
	case err != nil:
		f.Close()
		return nil, fmt.Errorf("cannot lock %s: %w", d, err)
	}
	return f.Close, nil
}

// make makes the directory. Its name is durable after the first SyncDir, before which nothing that is in it counts.
func (d Dir) make() error {
	if _, err := os.Stat(string(d)); err == nil {
		return nil
	}
	return os.MkdirAll(string(d), 0o700)
}

// SyncDir implements FS. The directory may be new, and its parent made with it, so that their own names are made durable too;
// where they are old that costs nothing.
func (d Dir) SyncDir() error {
	if err := syncDir(string(d)); err != nil {
		return err
	}
	parent := filepath.Dir(string(d))
	for _, above := range []string{parent, filepath.Dir(parent)} {
		// In what cannot be opened or written nothing was made.
		if err := syncDir(above); err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EROFS) && !errors.Is(err, syscall.EINVAL) {
			return err
		}
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
