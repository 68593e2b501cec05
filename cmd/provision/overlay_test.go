package main

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/provision-net/provision/routing/overlay/tree"
)

// The longest names, costs and times fit into 80 columns.
func TestOverlayFits(t *testing.T) {
	yes, no := true, false
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := tree.Status{Node: "osaka", Bridge: "br-overlay", Root: "longest-name", RootCost: 35260, Changed: at, Problems: []string{"x\x1b[31m"}, Nodes: []tree.NodeStatus{
		{Node: "longest-name", Wire: "vx-longest-name", State: tree.Listens, Cost: 65535, RTT: 1499 * time.Millisecond, Reached: &yes, Why: "soon open to longest-name"},
		{Node: "paris", Wire: "vx-paris", State: tree.Blocked, Cost: 30, RTT: 120 * time.Microsecond, Reached: &no, Why: "frames go by longest-name"},
		{Node: "quito", Why: "neither calls the other"},
	}}
	plain := func(s string) painted { return painted(visible(s)) }
	p := &page{width: 80, bold: plain, red: plain, green: plain, yellow: plain, dim: plain}
	drawOverlay(p, s, false, at.Add(90*time.Second))
	out := p.buf.String()
	for _, want := range []string{"longest-name is the root of the tree; the way there costs 35260\n", ", 1m30s ago\n", "1499.0 ms", "0.1 ms", "quito         none       -      -          -        neither calls the other\n", "! x\\x1b[31m\n", "as root"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	for line := range strings.Lines(out) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	s.Root, s.Changed, s.Problems = "osaka", time.Time{}, nil
	p.buf.Reset()
	drawOverlay(p, s, true, at)
	if out := p.buf.String(); !strings.HasPrefix(out, "osaka is the root of the tree, and this node\nNODE ") || strings.Contains(out, "as root") {
		t.Errorf("%s", out)
	}
}
