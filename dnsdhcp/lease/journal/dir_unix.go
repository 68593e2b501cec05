//go:build unix

package journal

import (
	"errors"
	"fmt"
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

// make makes the directory, with its name durable in its parent.
func (d Dir) make() error {
	if _, err := os.Stat(string(d)); err == nil {
		return nil
	}
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	return Dir(filepath.Dir(string(d))).SyncDir()
}

// SyncDir implements FS.
func (d Dir) SyncDir() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
