package agent

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/cmd/provision/internal/watching"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/routing"
	"github.com/provision-net/provision/routing/watch"
)

// When no watch is to loosen filters any more they are put back, and only those that still have our value.
func TestUnwatch(t *testing.T) {
	nstest.Network(t)
	nstest.Mount(t, "tmpfs", "/run", "tmpfs", 0, "")
	filter := func(dev string) string { return "/proc/sys/net/ipv4/conf/" + dev + "/rp_filter" }
	nstest.IP(t, "link add eni1 type veth peer name eni2")
	for dev, v := range map[string]string{"eni1": "2", "eni2": "0"} {
		if err := os.WriteFile(filter(dev), []byte(v), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	memory := `{"version":1,"boot":"` + watching.BootID() + `","jobs":{"rp-filter":{"acted":2,"state":{"eni1":1,"eni2":1,"eni3":1}}}}`
	if err := os.MkdirAll(filepath.Dir(string(watching.MemoryPath)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(string(watching.MemoryPath), []byte(memory), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := New(Options{Root: "/", StateDir: t.TempDir(), Config: Config{Version: 1}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	busy, err := watchLock(WatchSocket)
	if err != nil {
		t.Fatal(err)
	}
	read := func() (out string) {
		for _, dev := range []string{"eni1", "eni2"} {
			v, err := os.ReadFile(filter(dev))
			if err != nil {
				t.Fatal(err)
			}
			out += strings.TrimSpace(string(v))
		}
		return out
	}
	if notes := a.unwatched(t.Context()); len(notes) != 1 || !strings.Contains(notes[0].Text, "SIGHUP") || read() != "20" {
		t.Errorf("while a watch runs that does not answer: %v, %s", notes, read())
	}
	busy.Close()
	if notes := a.unwatched(t.Context()); len(notes) != 0 || read() != "10" {
		t.Errorf("without one: %v, %s", notes, read())
	}
	if watch.Loosened(watching.MemoryPath, watching.BootID()) {
		t.Error("it is remembered all the same")
	}
}

// A watch that runs has them back as soon as an apply takes the wish out of the configuration.
func TestUnwatchRunning(t *testing.T) {
	if !apart(t) {
		return
	}
	nstest.IP(t, "link add eni1 type veth peer name eni2")
	nstest.IP(t, "link set eni1 up")
	const filter = "/proc/sys/net/ipv4/conf/eni1/rp_filter"
	if err := os.WriteFile(filter, []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	loose := routing.Config{Watch: watch.Config{RPFilter: watch.RPFilterConfig{Loose: []string{"eni1"}}}}
	newAgent := func(c routing.Config) *Agent {
		a, err := New(Options{Root: "/", StateDir: t.TempDir(), Config: Config{Version: 1, Routing: c}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	await := func(want string) {
		t.Helper()
		var got string
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			b, _ := os.ReadFile(filter)
			if got = strings.TrimSpace(string(b)); got == want {
				return
			}
		}
		t.Fatalf("rp_filter is %q, want %q", got, want)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := newAgent(loose).Watch(ctx, WatchOptions{Socket: WatchSocket, Read: func() (routing.Config, error) { return routing.Config{}, nil }})
		ended <- err
	}()
	defer func() { stop(); <-ended }()
	await("2")
	if notes := newAgent(routing.Config{}).unwatched(t.Context()); len(notes) != 0 {
		t.Errorf("notes %v", notes)
	}
	await("1")
}
