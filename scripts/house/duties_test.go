package house

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each row of docs/duties.md names the command that does a duty and the test that shows it; both must exist. A duty that
// nothing does yet says "open" in both columns.
func TestDutiesNameCommandsAndTestsThatExist(t *testing.T) {
	text, err := os.ReadFile("../../docs/duties.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := commandNames(t)
	tests := testNames(t)
	rows := 0
	for i, line := range strings.Split(string(text), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasPrefix(line, "| duty") || strings.HasPrefix(line, "| ---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 4 {
			t.Errorf("duties.md:%d: %d cells, want duty | article | command | test", i+1, len(cells))
			continue
		}
		rows++
		command, test := cells[2], cells[3]
		if (command == "open") != (test == "open") {
			t.Errorf("duties.md:%d: command is %q and test is %q: either both are open or none", i+1, command, test)
		}
		if command == "open" {
			continue
		}
		for _, c := range quoted(command) {
			words := strings.Fields(strings.TrimPrefix(c, "provision "))
			if len(words) == 0 || !commands[words[0]] {
				t.Errorf("duties.md:%d: there is no command %q", i+1, c)
			}
		}
		named := quoted(test)
		if len(named) == 0 {
			t.Errorf("duties.md:%d: no test is named in backquotes", i+1)
		}
		for _, n := range named {
			if !tests[n] {
				t.Errorf("duties.md:%d: there is no test %s", i+1, n)
			}
		}
	}
	if rows < 20 {
		t.Errorf("only %d duties: the table was not read", rows)
	}
}

var backquoted = regexp.MustCompile("`([^`]+)`")

func quoted(s string) []string {
	var out []string
	for _, m := range backquoted.FindAllStringSubmatch(s, -1) {
		out = append(out, m[1])
	}
	return out
}

// commandNames asks the program itself.
func commandNames(t *testing.T) map[string]bool {
	t.Helper()
	cmd := exec.Command("go", "run", "./cmd/provision", "--help")
	cmd.Dir = "../.."
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("provision --help: %v", err)
	}
	names := map[string]bool{"--detect": true}
	_, list, _ := strings.Cut(string(out), "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for _, line := range strings.Split(list, "\n") {
		if f := strings.Fields(line); len(f) > 0 {
			names[f[0]] = true
		}
	}
	if len(names) < 10 {
		t.Fatalf("provision --help lists only %v", names)
	}
	return names
}

var testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]+)\(`)

func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	err := filepath.WalkDir("../..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range testFunc.FindAllSubmatch(text, -1) {
			names[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
