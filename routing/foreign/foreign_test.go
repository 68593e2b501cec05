package foreign

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

func load(t testing.TB, name string) Seen {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var s Seen
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// router is what a small router's policy lets through, whatever else is on the machine.
func router() []Flow {
	return []Flow{
		{In: "lan0", Out: "wan0", Why: "inside to outside"},
		{In: "lan0", Proto: "udp", Port: 67, Family: 4, Why: "DHCP"},
		{In: "lan0", Proto: "tcp", Port: 53, Why: "DNS"},
		{In: "wan0", Proto: "udp", Port: 51820, Why: "WireGuard"},
		{In: "wan0", Out: "lan0", Proto: "tcp", Port: 80, Family: 4, Published: true, Why: "publish"},
		{In: "wan0", Out: "lan0", Proto: "tcp", Port: 80, Family: 6, Why: "publish"},
		{Out: "wan0", Proto: "udp", Port: 123, Why: "NTP"},
	}
}

// describe is everything that is said about a machine.
func describe(s Seen) string {
	var b strings.Builder
	b.WriteString("there\n")
	for _, p := range Detect(s) {
		fmt.Fprintf(&b, "  %s: %s", p.Name, p.State)
		if p.Backend != "" {
			fmt.Fprintf(&b, " by %s", p.Backend)
		}
		if p.Harmless {
			b.WriteString(", harmless")
		}
		fmt.Fprintf(&b, " (%s)\n", strings.Join(p.Evidence, "; "))
	}
	b.WriteString("drops\n")
	for _, f := range Report(s, router()) {
		fmt.Fprintf(&b, "  %s: %s\n", f.Drops, f)
		if f.Cure != "" {
			fmt.Fprintf(&b, "    cure: %s\n", f.Cure)
		}
	}
	b.WriteString("notes\n")
	for _, n := range Notes(s) {
		fmt.Fprintf(&b, "  %s %s: %s\n", n.Level, n.Subject, n.Text)
	}
	b.WriteString("adapters\n")
	d := Adapters{"auto"}.Plan(s, router())
	for _, w := range d.Wants {
		fmt.Fprintf(&b, "  %s %v\n", w.Ref, w.Attrs)
	}
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "  %s %s: %s\n", n.Level, n.Subject, n.Text)
	}
	return b.String()
}

// The fixtures are what the products really installed; see scripts/lab/firewalls.
func TestFixtures(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d fixtures: %v", len(files), err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		t.Run(name, func(t *testing.T) {
			golden(t, name, describe(load(t, name)))
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name + ".golden"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
