package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// helps is what a small program says of itself, with everything that roff could misread.
func helps() map[string]string {
	return map[string]string{
		"tool": "Does it.\n.hidden line\n\nExit status: 0 done;\n1 failed.\n\nUsage:\n  tool [command]\n\nAvailable Commands:\n  go          Go -- fast\n  help        Help about any command\n\n" +
			"Flags:\n  -h, --help   help for tool\n\nUse \"tool [command] --help\" for more information about a command.\n",
		"tool go": "Goes:\n  tool go | cat\n  'quoted' \\n\n\nand stops.\n\nUsage:\n  tool go NAME [flags]\n\nFlags:\n  -h, --help           help for go\n      --way yes or no  the way (default \"a b\")\n" +
			"      --svg string\n\nGlobal Flags:\n  -c, --config file   'which' one\n",
	}
}

func ask(words []string) (string, error) {
	text, ok := helps()[strings.Join(words, " ")]
	if !ok {
		return "", fmt.Errorf("no such command")
	}
	return text, nil
}

func TestPages(t *testing.T) {
	all, err := pages(ask, []string{"tool"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].name() != "tool" || all[1].name() != "tool-go" {
		t.Fatalf("pages: %+v", all)
	}
	for i, want := range [][]string{
		{".TH \"TOOL\" 8 \"2026-01-31\" \"tool 1.2\"", "Does it.\n\\&.hidden line\n", ".SH COMMANDS\n.TP\n.BR tool\\-go (8)\nGo \\-\\- fast\n", ".SH \"EXIT STATUS\"\n0 done;\n1 failed.\n"},
		{"tool\\-go \\- Go \\-\\- fast", "Goes:\n.PP\n.nf\n  tool go | cat\n  'quoted' \\en\n.fi\n.PP\nand stops.\n", "\\fB\\-\\-way\\fR \\fIyes or no\\fR\nthe way (default \"a b\")\n",
			"\\fB\\-c, \\-\\-config\\fR \\fIfile\\fR\n\\&'which' one\n", ".BR tool (8)"},
	} {
		got := all[i].roff("1.2", "2026-01-31")
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s lacks %q:\n%s", all[i].name(), w, got)
			}
		}
	}
}

// mandoc finds nothing to complain about.
func TestPagesAreManual(t *testing.T) {
	judge, err := exec.LookPath("mandoc")
	if err != nil {
		t.Skip("skipped: no mandoc; scripts/lab/setup packages installs it")
	}
	all, err := pages(ask, []string{"tool"}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		cmd := exec.Command(judge, "-T", "lint", "-W", "warning")
		cmd.Stdin = strings.NewReader(p.roff("1.2", "2026-01-31"))
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", p.name(), err, out)
		}
	}
}

// A help that is not understood makes no page that lacks something.
func TestUnknownLinesAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no usage": "Does it.\n",
		"flag":     "Usage:\n  tool\n\nFlags:\n  what is this\n",
		"command":  "Usage:\n  tool\n\nAvailable Commands:\nno blanks before\n",
	} {
		if p, err := parse(text); err == nil {
			t.Errorf("%s: taken as %+v", name, p)
		}
	}
}
