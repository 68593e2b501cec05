//go:build !linux

package lookup

import (
	"errors"
	"net"
)

func dialer(mark uint32) (*net.Dialer, error) {
	if mark != 0 {
		return nil, errors.New("packets are marked on Linux only")
	}
	return &net.Dialer{}, nil
}
