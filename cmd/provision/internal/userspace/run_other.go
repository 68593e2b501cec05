//go:build !linux

package userspace

import (
	"context"
	"errors"

	"github.com/provision-net/provision/provision/host/wguser"
)

// Run works on Linux.
func Run(context.Context, string, int, func(), wguser.Options) error {
	return errors.New("WireGuard devices are made on Linux only")
}
