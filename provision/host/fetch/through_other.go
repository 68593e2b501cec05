//go:build !linux

package fetch

import (
	"errors"
	"syscall"
)

const nonblock = 0

func through(device string, mark uint32) (func(network, address string, c syscall.RawConn) error, error) {
	if device == "" && mark == 0 {
		return nil, nil
	}
	return nil, errors.New("connections can be bound to a device on Linux only")
}
