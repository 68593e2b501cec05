package main

import "golang.org/x/sys/unix"

// What tcgetattr(3) and tcsetattr(3) ask of macOS.
const (
	getTermios   = unix.TIOCGETA
	setTermios   = unix.TIOCSETA
	flushTermios = unix.TIOCSETAF
)
