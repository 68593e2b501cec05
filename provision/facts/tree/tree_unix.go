//go:build unix

package tree

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

const nonblock = syscall.O_NONBLOCK

func owner(fi fs.FileInfo) (uid, gid int) {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid), int(st.Gid)
	}
	return 0, 0
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

func readlink(name string) (string, error) {
	var buf [4096]byte
	n, err := syscall.Readlink(name, buf[:])
	if err != nil {
		return "", &os.PathError{Op: "readlink", Path: name, Err: err}
	}
	return string(buf[:n]), nil
}

func exists(name string) bool { return syscall.Access(name, 0) == nil }
