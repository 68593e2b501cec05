//go:build unix

package agent

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// trusted refuses, for root, a configuration that somebody else could have
// written: the file and every folder above it must belong to root and must not be
// writable by group or others (a sticky folder such as /tmp does not help: the
// file itself could still be planted there, but then its owner gives it away).
func trusted(path string) error {
	if os.Geteuid() != 0 {
		return nil // an ordinary user can only hurt what is theirs
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	real, err = filepath.Abs(real)
	if err != nil {
		return err
	}
	for p := real; ; p = filepath.Dir(p) {
		info, err := os.Lstat(p)
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return nil
		}
		what := "file"
		if info.IsDir() {
			what = "folder"
		}
		if st.Uid != 0 {
			return fmt.Errorf("%s: the %s %s belongs to user %d, not to root, and it steers what root does: chown root %s", path, what, p, st.Uid, p)
		}
		sticky := info.IsDir() && info.Mode()&os.ModeSticky != 0
		if info.Mode().Perm()&0o022 != 0 && !sticky {
			return fmt.Errorf("%s: the %s %s is writable by others (mode %04o), and it steers what root does: chmod go-w %s", path, what, p, info.Mode().Perm(), p)
		}
		if p == filepath.Dir(p) {
			return nil
		}
	}
}

// ownerOf is the user that a file belongs to.
func ownerOf(info os.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return 0
}

func openRegular(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
}

// readJudged reads the first limit bytes of a file that judge has nothing against. It is for folders with a file for each of a
// thousand peers: os.File would offer each of them to the poller first, which is half of all system calls.
func readJudged(path string, limit int64, judge func(mode fs.FileMode, size int64, owner int) error) ([]byte, error) {
	const flags = syscall.O_RDONLY | syscall.O_NONBLOCK | syscall.O_NOCTTY | syscall.O_CLOEXEC
	var fd int
	err := again(func() (err error) { fd, err = syscall.Open(path, flags, 0); return err })
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer syscall.Close(fd)
	var st syscall.Stat_t
	if err := again(func() error { return syscall.Fstat(fd, &st) }); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	mode := fs.FileMode(st.Mode & 0o777)
	if st.Mode&syscall.S_IFMT != syscall.S_IFREG {
		mode |= fs.ModeIrregular
	}
	if err := judge(mode, st.Size, int(st.Uid)); err != nil {
		return nil, err
	}
	data := make([]byte, 0, min(st.Size, limit)+1) // one more, so that the end is seen
	for int64(len(data)) < limit {
		if len(data) == cap(data) {
			data = append(data, 0)[:len(data)]
		}
		var n int
		err := again(func() (err error) {
			n, err = syscall.Read(fd, data[len(data):min(int64(cap(data)), limit)])
			return err
		})
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: path, Err: err}
		}
		data = data[:len(data)+n]
		if n == 0 || int64(len(data)) == st.Size && len(data) < cap(data) { // it had room for more
			break
		}
	}
	return data, nil
}

// again makes a call as often as a signal interrupts it.
func again(call func() error) error {
	for {
		if err := call(); err != syscall.EINTR {
			return err
		}
	}
}
