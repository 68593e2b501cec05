package journal

import (
	"os"

	"golang.org/x/sys/unix"
)

type file struct{ *os.File }

// Sync is fdatasync(2): the file's length is written with its data, its times need not be.
func (f file) Sync() error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
