package journal

import (
	"errors"
	"io"
)

// FS is one directory. Names are plain file names in it.
type FS interface {
	// Lock takes the directory for this process alone, making it if need be, and returns how to give it back.
	Lock() (unlock func() error, err error)
	Names() ([]string, error)
	Read(name string) ([]byte, error) // fs.ErrNotExist if there is none
	Create(name string) (File, error) // empty, also if there was one
	Rename(from, to string) error     // replaces
	Remove(name string) error
	SyncDir() error // makes the names durable
}

// File is written front to back.
type File interface {
	io.WriteCloser
	Sync() error // makes what was written durable
}

// ErrInUse is the error of Open if another process has the directory.
var ErrInUse = errors.New("another process uses it")
