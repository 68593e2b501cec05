package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrWatched: another process watches already.
var ErrWatched = errors.New("another watch is running")

// watchLock lets one process watch at a time, and two would repair each other's work. It is the
// lock of an open file, so that it ends with the process, however that ends.
func watchLock(socket string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder of the watch's socket: %w", err)
	}
	f, err := os.OpenFile(socket+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot lock the watch: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w (it holds %s.lock)", ErrWatched, socket)
		}
		return nil, fmt.Errorf("cannot lock the watch: %w", err)
	}
	return f, nil
}
