package main

import "golang.org/x/sys/unix"

// What tcgetattr(3) and tcsetattr(3) ask of macOS.
const (
	getTermios   = unix.TIOCGETA
	setTermios   = unix.TIOCSETA
	flushTermios = unix.TIOCSETAF
	noKey        = 0xff // _POSIX_VDISABLE
)

// stopKeys are Ctrl-Z, Ctrl-Y and Ctrl-\.
var stopKeys = [...]int{unix.VSUSP, unix.VDSUSP, unix.VQUIT}
