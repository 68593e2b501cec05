//go:build !unix

package journal

import "os"

// Lock implements FS, but does not keep other processes out: the server runs on Linux, elsewhere only tests do.
func (d Dir) Lock() (func() error, error) {
	return func() error { return nil }, os.MkdirAll(string(d), 0o700)
}

// SyncDir implements FS; directories cannot be synchronised here.
func (d Dir) SyncDir() error { return nil }
