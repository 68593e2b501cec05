//go:build !linux

package link

import (
	"context"
	"errors"
)

// Watcher keeps its Table up to date; there is one for Linux only.
type Watcher struct{ *Table }

var errLinux = errors.New("cannot follow interfaces: only on Linux")

// Watch fails: only Linux has netlink.
func Watch(Config) (*Watcher, error) { return nil, errLinux }

// Run fails.
func (w *Watcher) Run(context.Context) error { return errLinux }

// Close does nothing.
func (w *Watcher) Close() error { return nil }

// Status is empty.
func (w *Watcher) Status() Status { return Status{} }
