//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "the demonstration needs Linux: network namespaces and a real systemd")
	os.Exit(69)
}
