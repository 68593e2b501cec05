package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// hangup is what SIGHUP means: the terminal has gone, so a command goes back on what it began; to a server, that it
// is to read its configuration again.
type hangup struct {
	mu     sync.Mutex
	handle func()
}

// watch returns a context that SIGHUP ends, unless on has been called by then.
func (h *hangup) watch(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	go func() {
		for range signals {
			h.mu.Lock()
			f := h.handle
			h.mu.Unlock()
			if f == nil {
				cancel()
				continue
			}
			f()
		}
	}()
	return ctx
}

// on has f called instead.
func (h *hangup) on(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handle = f
}
