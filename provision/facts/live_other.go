//go:build !linux

package facts

import "context"

// Reader reads the kernel's state again and again: Linux only.
type Reader struct{}

// OpenReader fails with ErrNoReader.
func OpenReader() (*Reader, error) { return nil, ErrNoReader }

// Close does nothing.
func (*Reader) Close() {}

// Read fails with ErrNoReader.
func (*Reader) Read(context.Context, Parts) (*Live, error) { return nil, ErrNoReader }
