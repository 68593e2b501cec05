package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provision-net/provision/cmd/provision/internal/watching"
	"github.com/provision-net/provision/provision/host/nstest"
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
	if notes := a.unwatched(t.Context()); len(notes) != 0 || read() != "20" {
		t.Errorf("while a watch runs: %v, %s", notes, read())
	}
	busy.Close()
	if notes := a.unwatched(t.Context()); len(notes) != 0 || read() != "10" {
		t.Errorf("without one: %v, %s", notes, read())
	}
	if watch.Loosened(watching.MemoryPath, watching.BootID()) {
		t.Error("it is remembered all the same")
	}
}
