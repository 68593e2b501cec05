package flash

import (
	"errors"
	"unsafe"
)

// Target is a disk that was opened for this process alone. Reads and writes begin and end at whole blocks and use memory that
// begins at a multiple of 4096, as those of unbuffered devices must; what is read comes from the device and not from memory.
type Target interface {
	ReadAt(b []byte, at int64) (int, error)
	WriteAt(b []byte, at int64) (int, error)
	// Flush returns once what was written is on the medium, as far as the device tells.
	Flush() error
	// Gone reports whether the medium or its reader is no longer there, which few errors tell by themselves.
	Gone() bool
	// Done has the system look for partitions again.
	Done() error
	Size() int64
	Block() int
	Close() error
}

// Errors of Open.
var (
	// ErrInUse: somebody else has the disk, mounted or opened for himself.
	ErrInUse = errors.New("the device is in use")
	// ErrProtected: it cannot be written.
	ErrProtected = errors.New("the device is write-protected")
	// ErrNoMedium: a reader without a card, or a device that has gone.
	ErrNoMedium = errors.New("there is no card in the device")
)

// aligned is memory that a device may read and write directly.
func aligned(n int) []byte {
	const to = 4096
	b := make([]byte, n+to)
	skip := int(-uintptr(unsafe.Pointer(&b[0])) & (to - 1))
	return b[skip : skip+n : skip+n]
}
