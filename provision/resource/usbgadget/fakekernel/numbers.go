package fakekernel

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
)

// number is kstrtouint (lib/kstrtox.c): any base, at most one newline behind it.
func number(v string, bits int) (uint64, error) {
	n, err := strconv.ParseUint(strings.TrimSuffix(v, "\n"), 0, bits)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, syscall.ERANGE
	case err != nil:
		return 0, syscall.EINVAL
	}
	return n, nil
}

// boolean is kstrtobool (lib/kstrtox.c), which looks at the first letters only.
func boolean(v string) (bool, error) {
	switch {
	case strings.HasPrefix(v, "1"), strings.HasPrefix(v, "y"), strings.HasPrefix(v, "Y"), strings.HasPrefix(v, "on"):
		return true, nil
	case strings.HasPrefix(v, "0"), strings.HasPrefix(v, "n"), strings.HasPrefix(v, "N"), strings.HasPrefix(v, "of"):
		return false, nil
	}
	return false, syscall.EINVAL
}

func digit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// unsigned adds a number that is printed by format.
func unsigned[T uint8 | uint16 | uint](n *node, name, format string, bits int, at *T, check func(uint64) error) {
	n.attr(name, func() string { return fmt.Sprintf(format, *at) }, func(v string) error {
		x, err := number(v, bits)
		if err == nil && check != nil {
			err = check(x)
		}
		if err == nil {
			*at = T(x)
		}
		return err
	})
}

// str adds a string (configfs.c usb_string_copy, GS_STRINGS_RW).
func str(n *node, name string, at *string) {
	n.attr(name, func() string { return *at + "\n" }, func(v string) error {
		if i := strings.IndexByte(v, 0); i >= 0 {
			v = v[:i]
		}
		if len(v) > 126 {
			return syscall.EOVERFLOW
		}
		*at = strings.TrimSuffix(v, "\n")
		return nil
	})
}

// bytesOf adds eight bytes of an identifier (configfs.c interf_grp_compatible_id_store):
// what a shorter one does not reach stays.
func bytesOf(n *node, name string, at *[8]byte) {
	n.attr(name, func() string { return string(at[:]) }, func(v string) error {
		l := min(8, len(v))
		if v[l-1] == '\n' {
			l--
		}
		copy(at[:l], v)
		return nil
	})
}
