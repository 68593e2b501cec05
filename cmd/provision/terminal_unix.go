//go:build linux || darwin

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// isTerminal reports whether a person reads or writes at f (isatty(3): /dev/null is a character device, too).
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), getTermios)
	return err == nil
}

// terminalSize is what the terminal says of itself (tty_ioctl(4), TIOCGWINSZ); 0 is unknown, as on serial lines.
func terminalSize(f *os.File) (columns, rows int) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(size.Col), int(size.Row)
}

// understandsColour: a terminal does, unless TERM says otherwise.
func understandsColour(*os.File) bool { return true }

// quiet is a terminal that does not show what is typed.
type quiet struct {
	fd  int
	was unix.Termios
}

// silence switches the echo of a terminal off (termios(3)) and forgets what was typed before; false where f is none. Ctrl-C ends the
// question; a key that stops or kills the process would leave the terminal as it is, and is a character like any other meanwhile.
func silence(f *os.File) (quiet, bool) {
	fd := int(f.Fd())
	t, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return quiet{}, false
	}
	q := quiet{fd, *t}
	t.Lflag &^= unix.ECHO
	t.Lflag |= unix.ICANON | unix.ISIG
	for _, key := range stopKeys {
		t.Cc[key] = noKey
	}
	return q, unix.IoctlSetTermios(fd, flushTermios, t) == nil
}

func (q quiet) restore() { _ = unix.IoctlSetTermios(q.fd, setTermios, &q.was) }
