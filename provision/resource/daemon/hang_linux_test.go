package daemon

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// A frozen systemd accepts connections, since the kernel does that, and never speaks.
func TestFrozenSystemd(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "private")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	x := &Actor{CallTimeout: 100 * time.Millisecond, State: t.TempDir(), Systemd: func(ctx context.Context) (*sd.Conn, error) {
		return sd.NewConnection(func() (*dbus.Conn, error) {
			c, err := dbus.Dial("unix:path="+socket, dbus.WithContext(ctx))
			if err != nil {
				return nil, err
			}
			return c, c.Auth(nil)
		})
	}}
	for name, ctx := range map[string]context.Context{"alone": t.Context(), "with a caller that gives up later": first(context.WithTimeout(t.Context(), 20*time.Second))} {
		done := make(chan error, 1)
		go func() { done <- x.Do(ctx, NetworkdRestart("name:lo")) }()
		select {
		case err := <-done:
			if err == nil || !strings.Contains(err.Error(), "systemd hangs") {
				t.Errorf("%s: got %v", name, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: still waits for systemd", name)
		}
	}
	// The caller's own end is no hang.
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := x.Do(gone, NetworkdRestart("name:lo")); err == nil || strings.Contains(err.Error(), "hangs") {
		t.Errorf("a caller that has gone: got %v", err)
	}
}

func first(ctx context.Context, _ context.CancelFunc) context.Context { return ctx }
