package main

import "golang.org/x/sys/unix"

// What tcgetattr(3) and tcsetattr(3) ask of Linux.
const (
	getTermios   = unix.TCGETS
	setTermios   = unix.TCSETS
	flushTermios = unix.TCSETSF
	noKey        = 0 // _POSIX_VDISABLE
)

// stopKeys are Ctrl-Z and Ctrl-\.
var stopKeys = [...]int{unix.VSUSP, unix.VQUIT}
