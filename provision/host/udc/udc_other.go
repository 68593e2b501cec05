//go:build !linux

package udc

import (
	"context"
	"time"
)

// Watcher follows all controllers of the machine.
type Watcher struct {
	Emit func(Event)
	Now  func() time.Time
}

// Open is refused.
func Open(string) (*Watcher, error) { return nil, ErrUnsupported }

// Close does nothing.
func (*Watcher) Close() {}

// Run is refused.
func (*Watcher) Run(context.Context) error { return ErrUnsupported }
