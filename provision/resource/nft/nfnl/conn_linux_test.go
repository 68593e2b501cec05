package nfnl

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A kernel that does not answer holds nobody longer than wanted: by deadline, by cancellation
// and by our own patience.
func TestNobodyHangs(t *testing.T) {
	c, err := Dial()
	if err != nil {
		t.Skipf("skipped: %v", err)
	}
	defer c.Close()
	wait := func() error { _, err := c.receive(true); return err }
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := c.within(ctx, patience, wait); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a deadline: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	if err := c.within(ctx, patience, wait); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancellation: %v", err)
	}
	if err := c.within(ctx, patience, wait); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
	if err := c.within(t.Context(), 20*time.Millisecond, wait); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("patience: %v", err)
	}
	// The socket is as good as before.
	if _, err := c.Poll(nil); err == nil {
		t.Error("there was something to read")
	}
}
