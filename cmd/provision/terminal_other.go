//go:build !linux && !darwin && !windows

package main

import "os"

// Elsewhere nothing is a terminal: no colours, whole lines, and secrets come from files.

func isTerminal(*os.File) bool { return false }

func terminalSize(*os.File) (columns, rows int) { return 0, 0 }

func understandsColour(*os.File) bool { return false }

type quiet struct{}

func silence(*os.File) (quiet, bool) { return quiet{}, false }

func (quiet) restore() {}
