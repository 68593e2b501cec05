package house

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// pages are those beside the README, everything under docs, the lab's own page and the forms for issues.
func pages(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	forms, err := filepath.Glob("../../.github/ISSUE_TEMPLATE/*.md")
	if err != nil || len(forms) == 0 {
		t.Fatalf("%d forms for issues, %v", len(forms), err)
	}
	files = append(append(files, forms...), "../../README.md", "../../CONTRIBUTING.md", "../../SECURITY.md", "../../scripts/lab/README.md")
	out := map[string]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[f] = string(text)
	}
	if len(out) < 12 {
		t.Fatalf("only %d pages", len(out))
	}
	return out
}

var linked = regexp.MustCompile(`\[[^\]]*\]\(([^)\s]+)\)`)

func TestRelativeLinksResolve(t *testing.T) {
	n := 0
	for page, text := range pages(t) {
		for _, m := range linked.FindAllStringSubmatch(text, -1) {
			u, err := url.Parse(m[1])
			if err != nil || u.Scheme != "" || u.Path == "" {
				continue
			}
			n++
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), u.Path)); err != nil {
				t.Errorf("%s: the link %s leads nowhere", page, m[1])
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d relative links: the pages were not read", n)
	}
}

// The user guide is read in terminals too.
func TestPagesAreNotWide(t *testing.T) {
	for page, text := range pages(t) {
		if filepath.Base(filepath.Dir(page)) != "docs" {
			continue
		}
		code := false
		for i, line := range strings.Split(text, "\n") {
			code = code != strings.HasPrefix(line, "```")
			if len([]rune(line)) > 120 && !code && !strings.HasPrefix(line, "|") { // a row of a table cannot be broken
				t.Errorf("%s:%d: %d columns", page, i+1, len([]rune(line)))
			}
		}
	}
}

// block is a fenced block of a page.
type block struct {
	page, kind, text string
	line             int
}

func blocks(t *testing.T) []block {
	t.Helper()
	var out []block
	for page, text := range pages(t) {
		lines := strings.Split(text, "\n")
		for i := 0; i < len(lines); i++ {
			kind, ok := strings.CutPrefix(lines[i], "```")
			if !ok {
				continue
			}
			b := block{page: page, kind: kind, line: i + 2}
			for i++; i < len(lines) && lines[i] != "```"; i++ {
				b.text += lines[i] + "\n"
			}
			out = append(out, b)
		}
	}
	return out
}

// build makes the program once for the test.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "provision")
	cmd := exec.Command("go", "build", "-o", bin, "./cmd/provision")
	cmd.Dir = "../.."
	cmd.Env = append(cmd.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// command is one call of provision in a page.
type command struct {
	where string
	line  int
	args  []string
	bare  bool // nothing stands before or after it: no sudo, no pipe
}

var (
	inline = regexp.MustCompile("`(?:sudo )?(provision [^`]+)`")
	apart  = regexp.MustCompile(`\s(?:\||>|>>|&&|;)\s`)
)

// commands are the calls of provision in shell blocks, in indented README blocks, in
// Vagrantfiles and cloud-init data, and in the text.
func commands(t *testing.T) []command {
	t.Helper()
	var out []command
	add := func(page string, line int, text string, bare bool) {
		text, _, _ = strings.Cut(text, "  #") // a remark at the end
		parts := apart.Split(" "+strings.TrimSpace(text)+" ", -1)
		for _, part := range parts {
			words := strings.Fields(part)
			plain := bare && len(parts) == 1
			if len(words) > 0 && words[0] == "sudo" {
				words, plain = words[1:], false
			}
			if len(words) > 0 && filepath.Base(words[0]) == "provision" {
				out = append(out, command{page, line, words[1:], plain})
			}
		}
	}
	for _, b := range blocks(t) {
		for i, line := range strings.Split(b.text, "\n") {
			switch b.kind {
			case "sh", "console", "ruby":
				add(b.page, b.line+i, strings.TrimPrefix(line, "$ "), b.kind != "ruby")
			case "yaml":
				if _, list, ok := strings.Cut(line, "- ["); ok {
					add(b.page, b.line+i, strings.NewReplacer(",", " ", "]", " ").Replace(list), false)
				}
			}
		}
	}
	for page, text := range pages(t) {
		code := false
		for i, line := range strings.Split(text, "\n") {
			code = code != strings.HasPrefix(line, "```")
			if code {
				continue
			}
			if strings.HasPrefix(line, "    provision ") {
				add(page, i+1, line, true)
			}
			for _, m := range inline.FindAllStringSubmatch(line, -1) {
				add(page, i+1, m[1], false)
			}
		}
	}
	return out
}

// looks are the commands that change nothing and need no root: they are run.
var looks = []string{"--detect", "detect", "plan", "verify", "explain", "facts", "init", "validate", "schema", "version", "completion", "hook", "help"}

// Every call of provision in the pages is one that the program understands; those that
// only look are run.
func TestCommandsInPagesWork(t *testing.T) {
	bin := build(t)
	// docs/minimal.yaml is named from the root, and what a page's command writes is nothing for the repository.
	dir := t.TempDir()
	pages, err := filepath.Abs("../../docs")
	if err == nil {
		err = os.Symlink(pages, filepath.Join(dir, "docs"))
	}
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (int, string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, bin, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatalf("%v: %v", args, err)
		}
		return cmd.ProcessState.ExitCode(), string(out)
	}
	known := map[string]string{} // command to its help
	help := func(path ...string) string {
		key := strings.Join(path, " ")
		if _, ok := known[key]; !ok {
			code, out := run(append(path, "--help")...)
			if code != 0 {
				out = ""
			}
			known[key] = out
		}
		return known[key]
	}
	ran := map[string]bool{}
	all := commands(t)
	for _, c := range all {
		if len(c.args) == 0 {
			continue
		}
		path := []string{}
		if !strings.HasPrefix(c.args[0], "-") {
			path = append(path, c.args[0])
			if nested := []string{"hook", "firewall", "gadget", "wifi", "lists", "wireguard", "host", "card"}; slices.Contains(nested, c.args[0]) && len(c.args) > 1 {
				path = append(path, c.args[1])
			}
		}
		text := help(path...)
		if text == "" || len(path) > 0 && !strings.Contains(text, "provision "+strings.Join(path, " ")) {
			t.Errorf("%s:%d: there is no command provision %s", c.where, c.line, strings.Join(c.args, " "))
			continue
		}
		for _, a := range c.args {
			if flag, _, _ := strings.Cut(a, "="); strings.HasPrefix(flag, "-") && !regexp.MustCompile(`(?m)^ .*`+regexp.QuoteMeta(flag)+`\b`).MatchString(text) {
				t.Errorf("%s:%d: provision %s has no flag %s", c.where, c.line, strings.Join(path, " "), flag)
			}
		}
		key := strings.Join(c.args, " ")
		looking := slices.Contains(looks, c.args[0]) || key == "apply --dry-run"
		if !c.bare || !looking || ran[key] {
			continue
		}
		ran[key] = true
		code, out := run(c.args...)
		switch {
		case code == 0, code == 2 && (c.args[0] == "plan" || c.args[0] == "verify"):
		case code == 69 && c.args[0] == "explain" && strings.Contains(out, "no NIC is called"): // a name that this machine has not
		case code == 64 && strings.HasSuffix(strings.Join(c.args, " "), "--root /mnt") && missing("/mnt"):
		default:
			t.Errorf("%s:%d: provision %s: status %d\n%s", c.where, c.line, key, code, out)
		}
	}
	if len(all) < 60 || len(ran) < 15 {
		t.Errorf("%d calls found and %d run: the pages were not read", len(all), len(ran))
	}
}

// firewalled are configurations that a table is made from.
var firewalled = regexp.MustCompile(`(?m)^  (?:zones|kill-switch):`)

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// examples are the configurations that are shipped as files.
func examples(t *testing.T) []block {
	t.Helper()
	files, err := filepath.Glob("../../docs/examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var out []block
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if i := strings.Index("\n"+string(text), "\nversion: "); i >= 0 {
			out = append(out, block{page: f, kind: "yaml", text: string(text[i:]), line: 1 + strings.Count(string(text[:i]), "\n")})
		}
	}
	return out
}

// Every configuration in the pages is valid: whole ones, and those inside cloud-init
// data. One with zones or a kill switch is compiled too.
func TestConfigurationsInPagesAreValid(t *testing.T) {
	bin := build(t)
	n, compiled := 0, 0
	for _, b := range append(blocks(t), examples(t)...) {
		if b.kind != "yaml" {
			continue
		}
		text := b.text
		if _, inner, ok := strings.Cut(text, "content: |\n"); ok {
			text = ""
			for line := range strings.Lines(inner) {
				if !strings.HasPrefix(line, "      ") {
					break
				}
				text += line[6:]
			}
		}
		if !strings.HasPrefix(text, "version: ") {
			continue
		}
		n++
		file := filepath.Join(t.TempDir(), "provision.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(bin, "validate", file).CombinedOutput(); err != nil {
			t.Errorf("%s:%d: %v\n%s\n%s", b.page, b.line, err, out, text)
			continue
		}
		if !firewalled.MatchString(text) {
			continue
		}
		compiled++
		out, err := exec.Command(bin, "firewall", "show", "-c", file).Output()
		if err != nil || !strings.Contains(string(out), "table inet provision {") {
			t.Errorf("%s:%d: provision firewall show: %v\n%s\n%s", b.page, b.line, err, out, text)
		}
	}
	if n < 10 || compiled < 6 {
		t.Errorf("%d configurations were found in the pages and %d compiled", n, compiled)
	}
}
