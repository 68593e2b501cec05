//go:build !linux

package egress

import (
	"errors"
	"net/netip"
)

// Route is known on Linux only.
func Route(netip.Addr) (Way, error) { return Way{}, errors.ErrUnsupported }
