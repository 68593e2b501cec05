package control

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// Callers that say nothing keep others out for a while; those are told so.
func TestOneCallerTooMany(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	held := make(chan struct{}, maxCallers)
	done := make(chan error, 1)
	go func() {
		done <- Each(ctx, l, func(c net.Conn) {
			defer c.Close()
			held <- struct{}{}
			<-ctx.Done()
		}, busy)
	}()
	for range maxCallers {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for range maxCallers {
		<-held
	}
	for range 20 { // whether the question is written before the other end hangs up is chance
		err := Client{Socket: path}.Get(t.Context(), PathStatus, nil, nil)
		if err == nil || !strings.Contains(err.Error(), "busy") {
			t.Fatalf("%v", err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
