package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/dnsdhcp/control"
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

// yieldLimit is how long a watch waits for the place of one that gives way, which may be about to open its socket.
const yieldLimit = 5 * time.Second

// takeWatch is watchLock of a watch: one that runs beside a server, and was only first, is asked for its place.
func takeWatch(ctx context.Context, o WatchOptions) (*os.File, error) {
	f, err := watchLock(o.Socket)
	if o.Yields {
		return f, err
	}
	ctx, cancel := context.WithTimeout(ctx, yieldLimit)
	defer cancel()
	for errors.Is(err, ErrWatched) {
		var refused control.Refusal
		if no := (control.Client{Socket: o.Socket}).Post(ctx, control.PathYield, nil, nil); errors.As(no, &refused) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(20 * time.Millisecond):
		}
		f, err = watchLock(o.Socket)
	}
	return f, err
}

// yielder answers who asks for the place of a watch.
func yielder(o WatchOptions, asked chan<- struct{}) func() bool {
	return func() bool {
		if o.Yields {
			select {
			case asked <- struct{}{}:
			default: // somebody has asked already
			}
		}
		return o.Yields
	}
}
