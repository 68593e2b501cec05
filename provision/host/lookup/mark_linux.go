package lookup

import (
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// dialer marks packets (SO_MARK, socket(7)), for which it needs CAP_NET_ADMIN.
func dialer(mark uint32) (*net.Dialer, error) {
	if mark == 0 {
		return &net.Dialer{}, nil
	}
	return &net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var doErr error
		if err := c.Control(func(fd uintptr) { doErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark)) }); err != nil {
			return err
		}
		if doErr != nil {
			return fmt.Errorf("cannot mark packets: %w", doErr)
		}
		return nil
	}}, nil
}
