package socket

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

func errno(err error) (syscall.Errno, bool) {
	var e syscall.Errno
	ok := errors.As(err, &e)
	return e, ok
}

// explain says what could not be done and how that is cured.
func explain(err error, f failure) error {
	where := f.purpose
	if f.addr.IsValid() {
		where += " at " + f.addr.String()
	}
	if f.link != "" {
		where += " on " + f.link
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		if by := holders(f.proto, f.port); len(by) > 0 {
			return fmt.Errorf("cannot serve %s: port %d is held by %s: %w", where, f.port, strings.Join(by, ", "), err)
		}
		return fmt.Errorf("cannot serve %s: port %d is held by another program: %w", where, f.port, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("cannot serve %s: it needs root, or CAP_NET_RAW and CAP_NET_BIND_SERVICE: %w", where, err)
	case errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("cannot serve %s: %w (%w)", where, ErrLinkGone, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL) && f.addr.IsValid():
		return fmt.Errorf("cannot serve %s: no interface has that address: %w", where, err)
	}
	return fmt.Errorf("cannot serve %s: %w", where, err)
}
