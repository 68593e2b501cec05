// Command provision makes a machine's network right at first boot and keeps it
// right. This package is the roof: one file per command, exit statuses and
// output; it wires the wings and decides nothing.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker.
var version = "unknown"

func main() {
	// A write to a terminal or pipe that has gone would kill this process, perhaps between
	// two files (os/signal, SIGPIPE). Caught, it is an error of that write alone; ignored,
	// the managers' commands would inherit it.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	h := &hangup{}
	code := runWith(h.watch(ctx), h, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main without the process: tests call it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return runWith(ctx, &hangup{}, args, stdout, stderr)
}

func runWith(ctx context.Context, h *hangup, args []string, stdout, stderr io.Writer) int {
	g := &globals{stdout: stdout, stderr: stderr, hangup: h}
	root := newRoot(g)
	root.SetArgs(append([]string{}, args...)) // nil would mean the process's own
	err := root.ExecuteContext(ctx)
	return g.finish(err)
}
