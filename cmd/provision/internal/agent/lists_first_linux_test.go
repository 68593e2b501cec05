package agent

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/routing"
	"github.com/provision-net/provision/routing/lists"
)

// An apply fetches what has no copy, within its time, and goes on without what cannot be had; but not where
// a rule would block nothing then.
func TestFirstLists(t *testing.T) {
	nstest.Network(t)
	nstest.Mount(t, "tmpfs", "/var/lib", "tmpfs", 0, "")
	source := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(source, []byte("11.0.0.0/24\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := func(l lists.Config, s lists.Smart) *Agent {
		t.Helper()
		a, err := New(Options{Root: "/", StateDir: DefaultStateDir, Config: Config{Version: 1, Routing: routing.Config{Lists: l, Smart: s}}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	has := func(what string, a *Agent, n string, want bool) {
		t.Helper()
		copies, errs := a.copies(a.Config.Routing.Lists)
		if _, ok := copies[n]; ok != want || len(errs) > 0 {
			t.Errorf("%s: there is a copy of %s: %v, want %v; %v", what, n, ok, want, errs)
		}
	}
	const gone = "/nowhere/list.txt"

	good := a(lists.Config{"bad": {Sources: []string{source}, Except: []string{"not"}}, "not": {Sources: []string{source + "2"}}, "idle": {Sources: []string{source}}},
		lists.Smart{{Lists: []string{"bad"}, Uplink: lists.Block}})
	if err := good.firstLists(t.Context()); err != nil {
		t.Error(err)
	}
	has("what a rule blocks", good, "bad", true)
	has("what is excepted and cannot be had", good, "not", false)
	has("what no rule names", good, "idle", false)
	if s := good.attempts(); s["not"].Failed != 1 {
		t.Errorf("the watch does not know that it failed: %+v", s)
	}
	if err := os.Remove(source); err != nil {
		t.Fatal(err)
	}
	if err := good.firstLists(t.Context()); err != nil {
		t.Errorf("a copy that is there is no reason: %v", err)
	}
	direct := a(lists.Config{"x": {Sources: []string{gone}}}, lists.Smart{{Lists: []string{"x"}, Uplink: "wg0"}})
	if err := direct.firstLists(t.Context()); err != nil {
		t.Errorf("the rest is not applied: %v", err)
	}
	open := a(lists.Config{"x": {Sources: []string{gone}, Addresses: []string{"11.0.1.0/24"}}}, lists.Smart{{Lists: []string{"x"}, Uplink: lists.Block}})
	if err := open.firstLists(t.Context()); err == nil || !strings.Contains(err.Error(), "x could not be fetched") || !strings.Contains(err.Error(), "--force") {
		t.Errorf("nothing is blocked: %v", err)
	}
	if _, err := open.Apply(t.Context(), ApplyOptions{}); err == nil || !strings.Contains(err.Error(), "x could not be fetched") {
		t.Errorf("applied all the same: %v", err)
	}

	// A server that says nothing.
	nstest.IP(t, "link set lo up")
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	slow := a(lists.Config{"x": {Sources: []string{"https://" + silent.Addr().String() + "/x"}}}, lists.Smart{{Lists: []string{"x"}, Uplink: "wg0"}})
	begin := time.Now()
	out, _, err := slow.gatherLists(t.Context(), 200*time.Millisecond, slow.Config.Routing.Lists, []string{"x"}, false)
	if took := time.Since(begin); err != nil || len(out.Problems) != 1 || took > 10*time.Second {
		t.Errorf("it took %s: %+v %v", took, out, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := slow.firstLists(ctx); err == nil {
		t.Error("who has given up waits no longer")
	}
}
