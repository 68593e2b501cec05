package wguser

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// Child makes a test binary its own userspace device: called first in TestMain, it does nothing in a
// test, and is the device in a process that Starter{Program: os.Args[0]} has started.
//
//	func TestMain(m *testing.M) {
//		wguser.Child()
//		os.Exit(m.Run())
//	}
func Child() {
	if len(os.Args) != 7 || os.Args[1] != "wireguard" || os.Args[2] != "run" {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ready, failed := Told(ReadyFile)
	err := Run(ctx, os.Args[len(os.Args)-1], Options{Sockets: os.Getenv(SocketsVariable), Log: slog.New(slog.DiscardHandler), Ready: ready})
	if err != nil {
		failed(err)
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
