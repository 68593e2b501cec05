//go:build !linux

package netevents

import "context"

// Watcher follows events: Linux only.
type Watcher struct{}

// Open fails with ErrUnsupported.
func Open(int) (*Watcher, error) { return nil, ErrUnsupported }

// Close does nothing.
func (*Watcher) Close() error { return nil }

// Run fails with ErrUnsupported.
func (*Watcher) Run(context.Context) error { return ErrUnsupported }

// Changed never has anything.
func (*Watcher) Changed() <-chan struct{} { return nil }

// Take is empty.
func (*Watcher) Take() Batch { return Batch{} }

// Stats is zero.
func (*Watcher) Stats() Stats { return Stats{} }
