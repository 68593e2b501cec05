package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// quiet is a terminal that does not show what is typed.
type quiet struct {
	fd  int
	was unix.Termios
}

// silence switches the echo of a terminal off; false where f is none.
func silence(f *os.File) (quiet, bool) {
	fd := int(f.Fd())
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return quiet{}, false
	}
	q := quiet{fd, *t}
	t.Lflag &^= unix.ECHO
	t.Lflag |= unix.ICANON | unix.ISIG
	return q, unix.IoctlSetTermios(fd, unix.TCSETSF, t) == nil
}

func (q quiet) restore() { _ = unix.IoctlSetTermios(q.fd, unix.TCSETS, &q.was) }
