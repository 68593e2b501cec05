package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// terminalWidth is the number of columns (ioctl_tty(2), TIOCGWINSZ); 0 is unknown.
func terminalWidth(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Col)
}

// terminalRows is the number of rows; 0 is unknown.
func terminalRows(f *os.File) int {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0
	}
	return int(size.Row)
}
