package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// isTerminal reports whether f is a console; only these have modes (GetConsoleMode).
func isTerminal(f *os.File) bool {
	_, ok := consoleMode(f)
	return ok
}

func consoleMode(f *os.File) (mode uint32, ok bool) {
	err := windows.GetConsoleMode(windows.Handle(f.Fd()), &mode)
	return mode, err == nil
}

// terminalSize is the part of the console's buffer that is seen; 0 is unknown.
func terminalSize(f *os.File) (columns, rows int) {
	var info windows.ConsoleScreenBufferInfo
	if err := windows.GetConsoleScreenBufferInfo(windows.Handle(f.Fd()), &info); err != nil {
		return 0, 0
	}
	return int(info.Window.Right-info.Window.Left) + 1, int(info.Window.Bottom-info.Window.Top) + 1
}

// understandsColour has the console act on escape sequences, which it prints otherwise; before Windows 10 it cannot.
func understandsColour(f *os.File) bool {
	mode, ok := consoleMode(f)
	return ok && windows.SetConsoleMode(windows.Handle(f.Fd()), mode|windows.ENABLE_PROCESSED_OUTPUT|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}

// quiet is a console that does not show what is typed.
type quiet struct {
	console windows.Handle
	was     uint32
}

// silence switches the echo of a console off, and forgets what was typed before; false where f is none. Ctrl-C is a signal all the same.
func silence(f *os.File) (quiet, bool) {
	mode, ok := consoleMode(f)
	if !ok {
		return quiet{}, false
	}
	q := quiet{windows.Handle(f.Fd()), mode}
	_ = windows.FlushConsoleInputBuffer(q.console)
	mode &^= windows.ENABLE_ECHO_INPUT
	mode |= windows.ENABLE_LINE_INPUT | windows.ENABLE_PROCESSED_INPUT
	return q, windows.SetConsoleMode(q.console, mode) == nil
}

func (q quiet) restore() { _ = windows.SetConsoleMode(q.console, q.was) }
