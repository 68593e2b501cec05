// A container's share of the processors (Go 1.25 and later) is not looked at again and again, and makes no difference: no command
// of ours is busy enough to make use of it. The runtime reads it once at the start in any case.

//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command provision makes a machine's network right at first boot and keeps it
// right. This package is the roof: one file per command, exit statuses and
// output; it wires the wings and decides nothing.
package main

import (
	"context"
	"io"
	"os"
)

// version is set by the linker.
var version = "unknown"

func main() {
	beHasty()
	ctx, cancel := context.WithCancelCause(context.Background())
	s := newSignals(cancel)
	if !serving(os.Args[1:]) {
		s.begin()
	}
	os.Exit(runWith(ctx, s, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process: tests call it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return runWith(ctx, noSignals(), args, stdout, stderr)
}

func runWith(ctx context.Context, s *signals, args []string, stdout, stderr io.Writer) int {
	g := &globals{stdout: stdout, stderr: stderr, signals: s}
	root := newRoot(g, args...)
	root.SetArgs(append([]string{}, args...)) // nil would mean the process's own
	c, err := root.ExecuteContextC(ctx)
	return g.finish(c.CommandPath(), err)
}
