package hosts

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/dnsdhcp/clock/clocktest"
	"github.com/provision-net/provision/dnsdhcp/dns/zone"
)

var (
	_ zone.Source  = (*Files)(nil)
	_ zone.Parents = (*Files)(nil)
)

const sample = "\xef\xbb\xbf# comment\r\n" +
	"127.0.0.1\tlocalhost\r\n" +
	"10.0.0.5   NAS.lab.lan. nas  # trailing\n" +
	"fd00::5 nas.lab.lan\n" +
	"::ffff:10.0.0.6 mapped\n" +
	"fe80::1%eth0 link\n" +
	"10.0.0.7\n" +
	"nas 10.0.0.8\n" +
	"10.0.0.9 good b@d also_good -bad bad- a..b 10.0.0.10 .x\n" +
	"10.0.0.5 other\n" +
	"  \t\v\f\n" +
	"10.0.0.300 x\n" +
	"\x1b[2J evil\n" +
	"10.0.0.11 last"

func TestParse(t *testing.T) {
	table, problems, n := Parse("f", []byte(sample))
	for name, want := range map[string]string{
		"localhost": "[127.0.0.1]", "nas.lab.lan": "[10.0.0.5 fd00::5]", "nas": "[10.0.0.5]", "mapped": "[10.0.0.6]", "link": "[]",
		"good": "[10.0.0.9]", "also_good": "[10.0.0.9]", "other": "[10.0.0.5]", "last": "[10.0.0.11]", "x": "[]", "bad-": "[]", "evil": "[]",
	} {
		if got := fmt.Sprint(table.Addrs(name)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for addr, want := range map[string]string{"10.0.0.5": "nas.lab.lan", "fd00::5": "nas.lab.lan", "10.0.0.9": "good", "10.0.0.7": ""} {
		if got, _ := table.Name(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	if !table.Below("lab.lan") || !table.Below("lan") || table.Below("nas.lab.lan") || table.Below("nas") {
		t.Error("parents are wrong")
	}
	var got []string
	for _, p := range problems {
		got = append(got, p.String())
	}
	want := []string{
		"f:7: an address without a name",
		`f:8: "nas" is not an address`,
		`f:9: "b@d" is not a host name`, `f:9: "-bad" is not a host name`, `f:9: "bad-" is not a host name`,
		`f:9: "a..b" is not a host name`, `f:9: "10.0.0.10" is not a host name`, `f:9: ".x" is not a host name`,
		`f:12: "10.0.0.300" is not an address`,
		`f:13: "\x1b[2J" is not an address`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") || n != len(want) {
		t.Errorf("problems (%d):\n%s\nwant\n%s", n, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestBounds(t *testing.T) {
	var b strings.Builder
	for i := range maxAddrs + 10 {
		fmt.Fprintf(&b, "10.0.0.%d many\n", i)
	}
	b.WriteString(strings.Repeat("rubbish\n", 1000))
	table, problems, n := Parse("f", []byte(b.String()))
	if len(table.Addrs("many")) != maxAddrs || len(problems) != maxProblems || n != 1010 {
		t.Error(len(table.Addrs("many")), len(problems), n)
	}
}

func write(t *testing.T, path, text string, at time.Time) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	clk := clocktest.New()
	start := clk.Read().Wall
	old := start.Add(-time.Hour)
	write(t, one, "10.0.0.1 a\n", old)
	f := New([]string{one, two}, clk, nil)
	addrs := func() string { return fmt.Sprint(f.Addrs("a"), f.Addrs("b")) }
	expect := func(what, want string) {
		t.Helper()
		if got := addrs(); got != want {
			t.Fatalf("%s: %s, want %s", what, got, want)
		}
	}
	check := func() {
		t.Helper()
		if err := f.Check(); err != nil {
			t.Fatal(err)
		}
	}
	expect("start", "[10.0.0.1] []")

	before := f.Table()
	check()
	if f.Table() != before {
		t.Error("read again without a change")
	}
	write(t, two, "10.0.0.2 a b\n", old)
	check()
	expect("a second file appears", "[10.0.0.1 10.0.0.2] [10.0.0.2]")

	write(t, one, "10.0.0.3 a\n", old.Add(time.Minute))
	check()
	expect("changed", "[10.0.0.3 10.0.0.2] [10.0.0.2]")

	// Same size, same time: only a fresh time stamp may hide a change.
	write(t, one, "10.0.0.4 a\n", start)
	check()
	write(t, one, "10.0.0.5 a\n", start)
	check()
	expect("changed twice in one tick", "[10.0.0.5 10.0.0.2] [10.0.0.2]")
	clk.Advance(time.Minute)
	check()
	before = f.Table()
	check()
	if f.Table() != before {
		t.Error("read again for ever")
	}

	if err := os.Remove(two); err != nil {
		t.Fatal(err)
	}
	check()
	expect("removed", "[10.0.0.5] []")

	write(t, one, strings.Repeat("#", MaxSize+1), old)
	if err := f.Check(); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Fatal(err)
	}
	expect("too large", "[10.0.0.5] []")
	check() // says so once
	if err := f.Reload(); err == nil {
		t.Fatal("reload is quiet about it")
	}

	if err := os.Mkdir(two, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, one, "10.0.0.6 a\n", old)
	if err := f.Check(); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Fatal(err)
	}
	expect("one is a directory", "[10.0.0.6] []")
}

func TestRun(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	clk := clocktest.New()
	f := New([]string{path}, clk, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	if err := clk.Waiters(ctx, 1); err != nil {
		t.Fatal(err)
	}
	write(t, path, "10.0.0.1 a\n", clk.Read().Wall)
	clk.Advance(Poll)
	if err := clk.Waiters(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if len(f.Addrs("a")) != 1 {
		t.Error("not read")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, waiting := clk.Next(); waiting {
		t.Error("a timer is left")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("1.2.3.4 a.b.c.d.e\n::1%x y\n1.2.3.4 A. A"))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, problems, n := Parse("f", data)
		if len(problems) > n || len(problems) > maxProblems || table.Len() > len(data) {
			t.Fatal(len(problems), n, table.Len())
		}
		for name, addrs := range table.addrs {
			if name != strings.ToLower(name) || strings.HasSuffix(name, ".") || len(name) > 253 || len(addrs) == 0 || len(addrs) > maxAddrs {
				t.Fatalf("%q %v", name, addrs)
			}
			if got, ok := hostName([]byte(name)); !ok || got != name {
				t.Fatalf("%q is not what a name becomes", name)
			}
			if _, up, ok := strings.Cut(name, "."); ok && !table.Below(up) {
				t.Fatalf("%q is not known to be above %q", up, name)
			}
			for _, a := range addrs {
				if _, ok := table.Name(a); !ok || a.Is4In6() || a.Zone() != "" {
					t.Fatalf("%q: %s has no name", name, a)
				}
			}
		}
		for _, p := range problems {
			if strings.ContainsFunc(p.String(), func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("%q", p)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	var s strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&s, "0.0.0.0 ads%d.example%d.org\n", i, i%5000)
	}
	data := []byte(s.String())
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if t, _, n := Parse("f", data); n != 0 || t.Len() != 100_000 {
			b.Fatal(n)
		}
	}
}
