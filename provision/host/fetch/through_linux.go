package fetch

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

const nonblock = unix.O_NONBLOCK

// through binds a socket before it connects.
func through(device string, mark uint32) (func(network, address string, c syscall.RawConn) error, error) {
	if device == "" && mark == 0 {
		return nil, nil
	}
	return func(_, _ string, c syscall.RawConn) error {
		var doErr error
		err := c.Control(func(fd uintptr) {
			if mark != 0 {
				doErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark))
			}
			if doErr == nil && device != "" {
				if doErr = unix.BindToDevice(int(fd), device); doErr != nil {
					doErr = fmt.Errorf("cannot bind to %s: %w", device, doErr)
				}
			}
		})
		if err != nil {
			return err
		}
		return doErr
	}, nil
}
