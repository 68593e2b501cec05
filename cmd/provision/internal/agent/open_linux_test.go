package agent

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/provision-net/provision/gadget"
	"github.com/provision-net/provision/provision"
)

// openRoots counts the descriptors of roots that this process has.
func openRoots(t *testing.T, roots ...string) int {
	t.Helper()
	list, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(list) == 0 {
		t.Fatalf("no descriptors: %v", err)
	}
	n := 0
	for _, fd := range list {
		to, _ := os.Readlink(fd) // that of the listing is gone already
		for _, r := range roots {
			if to == r {
				n++
			}
		}
	}
	return n
}

// A server that runs for a year looks every half minute whether there is something to watch, and a
// gadget is followed as long: whatever opens the root gives it back.
func TestRootsAreGivenBack(t *testing.T) {
	root := t.TempDir()
	image := &Agent{Options: Options{Root: root, StateDir: DefaultStateDir, Log: slog.New(slog.DiscardHandler), Config: Config{Version: 1}}}
	image.runner, image.spawned = newRunner()
	live := &Agent{Options: Options{Root: "/", StateDir: t.TempDir(), Log: slog.New(slog.DiscardHandler), Config: Config{Version: 1}}}
	live.runner, live.spawned = newRunner()
	followed := &following{watch: &gadgetWatch{agent: live}, device: gadget.Device{Name: "provision"}}
	for name, call := range map[string]func(context.Context) error{
		"watch":        func(ctx context.Context) error { _, err := image.Watch(ctx, WatchOptions{}); return err },
		"apply":        func(ctx context.Context) error { _, err := image.Apply(ctx, ApplyOptions{}); return err },
		"plan":         func(ctx context.Context) error { _, err := image.Plan(ctx); return err },
		"verify":       func(ctx context.Context) error { _, err := image.Verify(ctx); return err },
		"rollback":     func(ctx context.Context) error { _, err := image.Rollback(ctx); return err },
		"confirm":      func(ctx context.Context) error { return image.Confirm(ctx) },
		"revert":       func(ctx context.Context) error { _, err := image.Revert(ctx, false); return err },
		"recover":      func(ctx context.Context) error { _, err := image.Recover(ctx, 0); return err },
		"wifi":         func(ctx context.Context) error { _, _, err := image.applyWifi(ctx); return err },
		"gadget step":  func(ctx context.Context) error { return followed.locked(ctx, func() error { return nil }) },
		"gadget fails": func(ctx context.Context) error { return followed.locked(ctx, func() error { return errors.New("no") }) },
		"engine":       func(context.Context) error { _, done, err := image.engine(); done(); return err },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			before := openRoots(t, root, "/")
			for range 3 {
				var locked *provision.LockedError
				if err := call(ctx); ctx.Err() != nil || errors.As(err, &locked) {
					t.Fatal(err)
				}
			}
			if after := openRoots(t, root, "/"); after != before {
				t.Errorf("%d descriptors of the root before, %d after three calls", before, after)
			}
		})
	}
}
