//go:build !linux

package probe

import (
	"context"
	"net/netip"
)

// Echo fails with ErrUnsupported.
func Echo(context.Context, string, netip.Addr) error { return ErrUnsupported }

// TCP fails with ErrUnsupported.
func TCP(context.Context, string, netip.AddrPort) error { return ErrUnsupported }

// DNS fails with ErrUnsupported.
func DNS(context.Context, string, netip.AddrPort) error { return ErrUnsupported }
