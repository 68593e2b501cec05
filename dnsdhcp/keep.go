package dnsdhcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Waits between two starts of something that fails: soon at first, since most of what fails at a boot is there a
// moment later, and never so seldom that a person would rather restart us.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 15 * time.Second
	settled   = time.Minute // what has run for this long begins at firstWait again
)

// States of a task.
const (
	running = "running"
	waiting = "waiting"
	failing = "failing"
)

// task keeps one thing running on one link: a socket and who answers on it.
type task struct {
	name string
	run  func(ctx context.Context, up func()) error // calls up once it serves
	log  *slog.Logger

	cancel context.CancelFunc
	done   chan struct{}
	tried  chan struct{} // closed when it has served or failed once

	mu         sync.Mutex
	state, why string
}

// start lets the task run until stop.
func (t *task) start(ctx context.Context) {
	ctx, t.cancel = context.WithCancel(ctx)
	t.done, t.tried = make(chan struct{}), make(chan struct{})
	t.set(waiting, "starting")
	go func() {
		defer close(t.done)
		t.keep(ctx)
	}()
}

// stop ends the task and waits for it.
func (t *task) stop() {
	t.cancel()
	<-t.done
}

func (t *task) keep(ctx context.Context) {
	var once sync.Once
	tried := func() { once.Do(func() { close(t.tried) }) }
	wait := firstWait
	for {
		began := time.Now()
		err := t.once(ctx, func() {
			t.log.Info("serving", "service", t.name)
			t.set(running, "")
			tried()
		})
		if ctx.Err() != nil {
			tried()
			return
		}
		if err == nil {
			err = errors.New("ended without being asked to")
		}
		if time.Since(began) >= settled {
			wait = firstWait
		}
		if state, why := t.get(); state != failing || why != err.Error() {
			t.log.Warn("cannot serve", "service", t.name, "error", err, "again_in", wait)
		}
		t.set(failing, err.Error())
		tried()
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, lastWait)
	}
}

// once runs the task; a panic of one service is that service's failure and must not silence the others.
func (t *task) once(ctx context.Context, up func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			t.log.Error("internal error", "service", t.name, "panic", p, "stack", stack())
			err = fmt.Errorf("internal error: %v", p)
		}
	}()
	return t.run(ctx, up)
}

func (t *task) set(state, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state, t.why = state, why
}

func (t *task) get() (state, why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state, t.why
}
