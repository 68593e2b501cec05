package host

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// pathError wraps err for the logical path, with the next step where the kernel's
// word alone leaves people guessing.
func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	var known *fs.PathError
	if errors.As(err, &known) && known.Path == path {
		return err
	}
	if hint := nextStep(err); hint != "" {
		err = fmt.Errorf("%w; %s", err, hint)
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

func nextStep(err error) string {
	switch {
	case errors.Is(err, unix.ENOSPC):
		return "nothing is left half-written; free some space (df, df -i) and run again"
	case errors.Is(err, unix.EDQUOT):
		return "nothing is left half-written; raise the quota or delete files and run again"
	case errors.Is(err, unix.EROFS):
		return "nothing is left half-written; make it writable (mount -o remount,rw) and run again"
	case errors.Is(err, unix.EPERM):
		return "nothing is left half-written; run as root, and look for an immutable flag (lsattr)"
	case errors.Is(err, unix.EACCES):
		return "run as root"
	case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST):
		return "somebody else put files there; it stays"
	case errors.Is(err, unix.EIO):
		return "the disk may be failing (dmesg)"
	}
	return ""
}
