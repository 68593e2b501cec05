//go:build !linux

package conntrack

import (
	"context"
	"net/netip"
)

// Forget fails with ErrUnsupported.
func Forget(context.Context, []netip.Addr) (int, error) { return 0, ErrUnsupported }
