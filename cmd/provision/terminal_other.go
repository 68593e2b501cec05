//go:build !linux

package main

import "os"

// quiet is a terminal that does not show what is typed: elsewhere there is none, and the commands
// that ask for secrets work on Linux.
type quiet struct{}

func silence(*os.File) (quiet, bool) { return quiet{}, false }

func (quiet) restore() {}
