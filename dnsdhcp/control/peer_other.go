//go:build !linux

package control

import (
	"errors"
	"net"
)

func peerUID(net.Conn) (int, error) { return 0, errors.ErrUnsupported }
