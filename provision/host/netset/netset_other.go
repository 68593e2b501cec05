//go:build !linux

package netset

import "context"

// Conn changes the kernel's state: Linux only.
type Conn struct{}

// Open fails with ErrUnsupported.
func Open() (*Conn, error) { return nil, ErrUnsupported }

// Close does nothing.
func (*Conn) Close() {}

// ReplaceRoute fails with ErrUnsupported.
func (*Conn) ReplaceRoute(context.Context, Route) error { return ErrUnsupported }

// AddProxy fails with ErrUnsupported.
func (*Conn) AddProxy(context.Context, Neighbour) error { return ErrUnsupported }

// Proxies fails with ErrUnsupported.
func (*Conn) Proxies(context.Context) ([]Neighbour, error) { return nil, ErrUnsupported }
