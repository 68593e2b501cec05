package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// signals are those that this process catches.
type signals struct {
	cancel context.CancelCauseFunc
	once   sync.Once
	caught chan struct{} // closed once they are

	mu     sync.Mutex
	hangup func()
}

func newSignals(cancel context.CancelCauseFunc) *signals {
	return &signals{cancel: cancel, caught: make(chan struct{})}
}

// noSignals is for a run that is not the whole process.
func noSignals() *signals {
	s := newSignals(nil)
	s.once.Do(func() { close(s.caught) })
	return s
}

// begin has the signals caught from now on, or a moment later: see await.
func (s *signals) begin() { s.once.Do(func() { go s.catch() }) }

// catch has the signals that are sent to end a process end the context, with the signal as cause. It takes a while, for the
// runtime wakes a thread for each, so that it is done beside the reading of the configuration, or, by the server, once its clients
// are answered.
func (s *signals) catch() {
	// A write to a terminal or pipe that has gone would kill this process, perhaps between two files (os/signal, SIGPIPE).
	// Caught, it is an error of that write alone; ignored, the managers' commands would inherit it.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	end, gone := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(end, os.Interrupt, syscall.SIGTERM)
	signal.Notify(gone, syscall.SIGHUP)
	close(s.caught)
	go func() { s.cancel(errors.New((<-end).String() + " signal received")) }()
	// The terminal has gone, so a command goes back on what it began; to a server it means something else.
	for sig := range gone {
		s.mu.Lock()
		f := s.hangup
		s.mu.Unlock()
		if f == nil {
			s.cancel(errors.New(sig.String() + " signal received"))
			continue
		}
		f()
	}
}

// await returns once the signals are caught: nothing may be begun before that must not be left half done.
func (s *signals) await() { <-s.caught }

// onHangup has f called instead of ending the context.
func (s *signals) onHangup(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangup = f
}
