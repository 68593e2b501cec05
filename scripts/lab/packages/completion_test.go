//go:build lab && linux

package packages

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// typist types lines into an interactive shell on a terminal and prints what the line is when the shell is done with it. In a line
// ^I completes as people do, and ^Xa has the shell insert all that it would offer.
const typist = `
zmodload zsh/zpty
shell=$1; shift
case $shell in
bash)
	zpty typed 'bash --noprofile --norc -i'
	zpty -w typed '. /usr/share/bash-completion/bash_completion
		show() { printf "%s\n" "$READLINE_LINE" >&9; READLINE_LINE=; echo SHOW"N"; }
		bind "\"\C-xa\": insert-completions"; bind -x "\"\C-xs\": show"; echo REA"DY"';;
zsh)
	zpty typed 'zsh -f -i'
	zpty -w typed 'autoload -Uz compinit; compinit -u -D
		show() { print -r -- "$BUFFER" >&9; BUFFER=; print SHOW"N"; }; zle -N show; bindkey "^Xs" show
		zle -C all complete-word _generic; bindkey "^Xa" all; bindkey "^I" complete-word
		zstyle ":completion:all:*" completer _all_matches _complete; zstyle ":completion:all:*" insert yes; print REA"DY"';;
esac
zpty -r typed said '*READY*'
for line; do
	zpty -w -n typed "$line"$'\x18s'
	zpty -r typed said '*SHOWN*'
done
`

// Each shell finds the package's completions where it looks for them, loads them, and offers what the program has: commands, flags,
// words and files.
func TestCompletions(t *testing.T) {
	t.Parallel()
	x := filepath.Join(t.TempDir(), "x")
	output(t, "dpkg-deb", "-x", one(t, packages(t, first), "*_"+arch("deb")+".deb"), x)
	home := t.TempDir()
	for name, text := range map[string]string{"my-config.yaml": "", "type.zsh": typist} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := filepath.Join(x, "usr/bin/provision")
	cases := []struct {
		line string
		want []string // nil: the line is completed to after
		then string
	}{
		{"provision ga", nil, "provision gadget "},
		{"provision validate my", nil, "provision validate my-config.yaml "},
		{"provision ", offered(t, program, commandLine), ""},
		{"provision gadget ", offered(t, program, commandLine, "gadget"), ""},
		{"provision card prepare --", offered(t, program, flagLine, "card", "prepare"), ""},
		{"provision hook systemd ", []string{"gadget", "recover", "restore", "serve", "watch"}, ""},
	}
	// The package is laid over /usr in a namespace of mounts; what the shells say goes to a file, beside the terminal.
	run := func(script string, args ...string) []string {
		t.Helper()
		said := filepath.Join(t.TempDir(), "said")
		argv := append([]string{"-m", "timeout", "60", "sh", "-ec", `
x=$1 said=$2; shift 2
mount -t overlay -o lowerdir="$x/usr:/usr" overlay /usr
exec 9> "$said" >&2
` + script, "sh", x, said}, args...)
		cmd := exec.Command("unshare", argv...)
		cmd.Dir = home
		cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + home, "TERM=vt100", "LC_ALL=C.UTF-8"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		text, err := os.ReadFile(said)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	}
	for _, shell := range []string{"bash", "zsh"} {
		args := []string{shell}
		for _, c := range cases {
			args = append(args, c.line+map[bool]string{true: "\t", false: "\x18a"}[c.want == nil])
		}
		got := run(`exec zsh -f type.zsh "$@"`, args...)
		for i, c := range cases {
			if i >= len(got) {
				t.Errorf("%s said nothing to %q", shell, c.line)
				break
			}
			words := strings.Fields(strings.TrimPrefix(got[i], strings.TrimSuffix(c.line, "--")))
			slices.Sort(words)
			if c.want == nil && got[i] != c.then || c.want != nil && !slices.Equal(words, c.want) {
				t.Errorf("%s makes of %q %q, not %q%q", shell, c.line, got[i], c.then, c.want)
			}
		}
	}
	// fish tells what it would offer, one to a line, with a description.
	for _, c := range cases {
		var words []string
		for _, line := range run(`exec fish -c 'complete -C $argv[1] >&9' -- "$1"`, c.line) {
			word, about, _ := strings.Cut(line, "\t")
			if words = append(words, word); about == "" && c.want != nil && c.line != "provision hook systemd " {
				t.Errorf("fish has no word about %q of %q", word, c.line)
			}
		}
		slices.Sort(words)
		want := c.want
		if want == nil {
			want = []string{strings.Fields(c.then)[strings.Count(c.line, " ")]}
		}
		if !slices.Equal(words, want) {
			t.Errorf("fish makes of %q %q, not %q", c.line, words, want)
		}
	}
}

var (
	commandLine = regexp.MustCompile(`(?m)^  ([a-z][a-z-]*) {2,}[A-Z]`)
	flagLine    = regexp.MustCompile(`(?m)^ {2,6}(?:-[a-z], )?(--[a-z][a-z0-9-]*)`)
)

// offered is what the program's own help lists, sorted.
func offered(t *testing.T, program string, what *regexp.Regexp, command ...string) []string {
	t.Helper()
	all := map[string]bool{}
	for _, m := range what.FindAllStringSubmatch(output(t, append(append([]string{program}, command...), "--help")...), -1) {
		all[m[1]] = true
	}
	if len(all) < 3 {
		t.Fatalf("the help of %v lists only %v", command, all)
	}
	return slices.Sorted(maps.Keys(all))
}
