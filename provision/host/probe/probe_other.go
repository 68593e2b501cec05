//go:build !linux

package probe

import (
	"context"
	"net/netip"
)

// Echo fails with ErrUnsupported.
func Echo(context.Context, Through, netip.Addr) error { return ErrUnsupported }

// Sized fails with ErrUnsupported.
func Sized(context.Context, Through, netip.Addr, int) error { return ErrUnsupported }

// TCP fails with ErrUnsupported.
func TCP(context.Context, Through, netip.AddrPort) error { return ErrUnsupported }

// DNS fails with ErrUnsupported.
func DNS(context.Context, Through, netip.AddrPort) error { return ErrUnsupported }
