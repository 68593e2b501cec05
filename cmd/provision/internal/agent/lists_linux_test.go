package agent

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/gadget"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/facts"
	"github.com/provision-net/provision/provision/host/nstest"
	"github.com/provision-net/provision/provision/resource/nft"
	"github.com/provision-net/provision/routing"
	"github.com/provision-net/provision/routing/lists"
)

// A list through its life: fetched before anything is applied, applied, grown to a large set, its source
// dead, the machine booted anew. What was learnt stays as long as the kernel does.
func TestListsLive(t *testing.T) {
	nstest.Network(t)
	nstest.Mount(t, "tmpfs", "/var/lib", "tmpfs", 0, "")
	nstest.IP(t, "link add up0 type veth peer name up1")
	nstest.IP(t, "link set up0 up")
	source := filepath.Join(t.TempDir(), "list.txt")
	write := func(n int) {
		var b bytes.Buffer
		for i := range n {
			fmt.Fprintf(&b, "11.%d.%d.0/24\n2001:db8:%x::/48\n", i>>7, i<<1&255, i<<1)
		}
		if err := os.WriteFile(source, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := Config{Version: 1, Routing: routing.Config{
		Lists: lists.Config{"office": {Sources: []string{source}, Domains: []string{"office.example"}}},
		Smart: lists.Smart{{Lists: []string{"office"}, Uplink: "up0"}},
	}}
	a, err := New(Options{Root: "/", StateDir: DefaultStateDir, Config: config, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	refresh := func(names ...string) ListOutcome {
		t.Helper()
		out, err := a.RefreshLists(t.Context(), names, false)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	plan := func() (*provision.Engine, provision.Desired) {
		t.Helper()
		r, err := facts.OpenReader()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		l, err := r.Read(t.Context(), facts.AllParts)
		if err != nil {
			t.Fatal(err)
		}
		f := &facts.Facts{Files: map[string]facts.File{}, Links: slices.Clone(l.Links), Addrs: slices.Clone(l.Addrs), Routes: slices.Clone(l.Routes), Rules: slices.Clone(l.Rules)}
		got, err := a.routing(t.Context(), f, gadget.Result{})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.saveSets(got.Table); err != nil {
			t.Fatal(err)
		}
		e, done, err := a.engine()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(done)
		return e, got.Desired
	}
	is := func(what string, ranges, learnt int) {
		t.Helper()
		table, err := nft.Dump(t.Context(), nft.OwnFamily, nft.OwnTable)
		if err != nil || table == nil {
			t.Fatal(what, err)
		}
		for _, s := range table.Sets {
			want := ranges
			if strings.HasPrefix(s.Name, "names.") {
				want = learnt
			}
			if len(s.Elements) != want {
				t.Errorf("%s: %s has %d elements, want %d", what, s.Name, len(s.Elements), want)
			}
		}
	}

	write(3)
	if out := refresh(); len(out.Refreshed) != 1 || len(out.Changed) != 0 || len(out.Problems) != 0 {
		t.Fatalf("%+v", out)
	}
	e, d := plan()
	if _, err := e.Apply(t.Context(), d, provision.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	is("applied", 3, 0)
	l := NewLearner()
	l.Follow(config.Routing, nil)
	if !l.Wants("www.office.example.") || l.Wants("office.example.net.") || l.Wants("post-office.example.") {
		t.Error("names are not told apart")
	}
	addrs := []netip.Addr{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8:ffff::1"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("fe80::1")}
	if err := l.Learn(t.Context(), "www.office.example.", addrs, time.Minute); err != nil {
		t.Fatal(err)
	}
	is("learnt", 3, 1)

	write(1500)
	begin := time.Now()
	out := refresh("office")
	if len(out.Changed) != 2 || len(out.Problems) != 0 {
		t.Fatalf("%+v", out)
	}
	t.Logf("3,000 ranges were refreshed and in force after %s", time.Since(begin).Round(time.Millisecond))
	is("refreshed", 1500, 1)
	e, d = plan()
	if p, err := e.Plan(t.Context(), d); err != nil || !p.Empty() {
		t.Errorf("after a refresh there is something to apply: %v %v", p.Changes, err)
	}
	if s, err := a.Lists(); err != nil || len(s) != 1 || s[0].Uplink != "up0" || s[0].Entries != 3000 || len(s[0].Problems) != 0 {
		t.Errorf("%+v %v", s, err)
	}

	// The watch finds that nothing is due; and when something is, that the source is dead.
	if wait := a.keepListsOnce(t.Context()); wait < time.Hour {
		t.Errorf("looks again in %s", wait)
	}
	if err := os.Remove(source); err != nil {
		t.Fatal(err)
	}
	if out := refresh(); len(out.Problems) != 1 || !strings.Contains(out.Problems[0], "list office: cannot read "+source) || len(out.Changed) != 0 {
		t.Errorf("%+v", out)
	}
	is("dead source", 1500, 1)
	if s, err := a.Lists(); err != nil || len(s[0].Problems) != 1 || s[0].Entries != 3000 {
		t.Errorf("%+v %v", s, err)
	}
	write(10)
	if out := refresh(); len(out.Problems) != 1 || !strings.Contains(out.Problems[0], "has shrunk: it would lose 99 percent") {
		t.Errorf("%+v", out)
	}

	// A boot: the kernel knows nothing, and what was committed with the refresh is put back.
	res := e.Resources[nft.Kind]
	name := nft.OwnFamily + " " + nft.OwnTable
	have, err := res.Get(t.Context(), name)
	if err == nil {
		err = res.Set(t.Context(), name, have, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Learn(t.Context(), "www.office.example.", addrs, time.Minute); err != nil {
		t.Error("without sets an answer is held back:", err)
	}
	if _, err := a.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	is("restored", 1500, 0)

	// And it is taken away whole.
	if r, err := e.Revert(t.Context(), false); err != nil || len(r.Foreign) != 0 {
		t.Errorf("%v %v", r.Foreign, err)
	}
	if table, err := nft.Dump(t.Context(), nft.OwnFamily, nft.OwnTable); err != nil || table != nil {
		t.Error("the table is still there", err)
	}
}
