package agent

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/provision-net/provision/routing"
	"github.com/provision-net/provision/routing/watch"
)

// A watch beside a server gives way to one that is there for nothing else, also when it is asked before its socket is open;
// one that is there for nothing else does not.
func TestOneWatch(t *testing.T) {
	if !apart(t) {
		return
	}
	newAgent := func() *Agent {
		c := routing.Config{Watch: watch.Config{Preset: "eks"}}
		a, err := New(Options{Root: "/", StateDir: t.TempDir(), Config: Config{Version: 1, Routing: c}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	ctx, stop := context.WithCancel(t.Context())
	beside := make(chan struct{})
	go func() {
		defer close(beside)
		newAgent().WatchBeside(ctx, WatchOptions{Socket: WatchSocket})
	}()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if f, err := watchLock(WatchSocket); errors.Is(err, ErrWatched) {
			break // its socket may not be there yet
		} else if err == nil {
			f.Close()
		}
		if time.Now().After(end) {
			t.Fatal("the watch beside a server does not begin")
		}
	}
	ready, ended := make(chan struct{}, 2), make(chan error, 1)
	go func() {
		_, err := newAgent().Watch(ctx, WatchOptions{Socket: WatchSocket, Notify: func(s string) {
			if s == "READY=1" {
				ready <- struct{}{}
			}
		}})
		ended <- err
	}()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("it does not get the place: %v", err)
	case <-time.After(10 * time.Second):
		t.Fatal("it does not get the place")
	}
	began := time.Now()
	if _, err := newAgent().Watch(ctx, WatchOptions{Socket: WatchSocket}); !errors.Is(err, ErrWatched) {
		t.Errorf("a second one ends with %v", err)
	} else if took := time.Since(began); took >= yieldLimit {
		t.Errorf("a second one is refused only after %v", took)
	}
	stop()
	<-beside
	<-ended
}
