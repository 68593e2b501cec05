package medium

import (
	"errors"

	"golang.org/x/sys/windows"
)

func full(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}
func readOnly(err error) bool { return errors.Is(err, windows.ERROR_WRITE_PROTECT) }
func busy(err error) bool     { return errors.Is(err, windows.ERROR_SHARING_VIOLATION) }

func free(dir string) int64 {
	name, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return -1
	}
	var n uint64
	if windows.GetDiskFreeSpaceEx(name, &n, nil, nil) != nil {
		return -1
	}
	return int64(n)
}

// syncFolder has nothing to do: FlushFileBuffers is for files.
func syncFolder(string) error { return nil }
