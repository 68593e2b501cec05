package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/daemon"
	"github.com/provision-net/provision/provision/resource/routemetric"
)

// pty is a terminal: what is written to it is on the screen, what is typed comes from the keyboard (pty(7)).
type pty struct {
	*os.File // the side of a program
	keyboard *os.File
	mu       sync.Mutex
	screen   strings.Builder
	news     chan struct{} // something more is on the screen
	over     chan struct{}
}

func openPTY(t *testing.T, columns uint16) *pty {
	t.Helper()
	m, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal can be made here: %v", err)
	}
	t.Cleanup(func() { m.Close() })
	n, err := unix.IoctlGetInt(int(m.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(m.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	s, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no terminal can be made here: %v", err)
	}
	if columns > 0 {
		if err := unix.IoctlSetWinsize(int(s.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: 24}); err != nil {
			t.Fatal(err)
		}
	}
	p := &pty{File: s, keyboard: m, news: make(chan struct{}, 1), over: make(chan struct{})}
	go func() {
		defer close(p.over)
		buf := make([]byte, 4096)
		for {
			n, err := m.Read(buf)
			p.mu.Lock()
			p.screen.Write(buf[:n])
			p.mu.Unlock()
			select {
			case p.news <- struct{}{}:
			default: // whoever waits has yet to look
			}
			if err != nil { // EIO: nobody has the other side open any more
				return
			}
		}
	}()
	return p
}

func (p *pty) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.screen.String()
}

// await waits until the screen has shown a text.
func (p *pty) await(t *testing.T, text string) {
	t.Helper()
	p.awaitTimes(t, text, 1)
}

// awaitTimes waits until it has shown it so many times.
func (p *pty) awaitTimes(t *testing.T, text string, times int) {
	t.Helper()
	late := time.After(time.Minute)
	for strings.Count(p.text(), text) < times {
		select {
		case <-p.news:
		case <-late:
			t.Fatalf("%q has not been shown %d times, but %q", text, times, p.text())
		}
	}
}

// close ends the terminal and returns all that was written to it.
func (p *pty) close() string {
	p.File.Close()
	<-p.over
	return p.text()
}

// left is what stands on a screen in the end: of what was written, carriage returns make what follows stand over it.
func left(written string) string {
	var out []string
	for _, line := range strings.Split(strings.ReplaceAll(written, "\r\n", "\n"), "\n") {
		var cells []rune
		for _, part := range strings.Split(line, "\r") {
			for i, r := range []rune(part) {
				if i < len(cells) {
					cells[i] = r
				} else {
					cells = append(cells, r)
				}
			}
		}
		out = append(out, strings.TrimRight(string(cells), " "))
	}
	return strings.Join(out, "\n")
}

// locked is an empty image whose state is locked by somebody else until the returned function is called.
func locked(t *testing.T) (root string, unlock func()) {
	t.Helper()
	root = t.TempDir()
	store, err := provision.Open(filepath.Join(root, agent.DefaultStateDir, "engine"))
	if err != nil {
		t.Fatal(err)
	}
	lock, err := store.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return root, lock.Unlock
}

// A command that waits says so on a terminal, for how long at most, and leaves nothing of it; a pipe and a program see nothing.
func TestProgressOnATerminalOnly(t *testing.T) {
	t.Setenv("TERM", "xterm")
	root, unlock := locked(t)
	args := []string{"revert", "--root", root}
	var pipe bytes.Buffer
	person, program := openPTY(t, 80), openPTY(t, 80)
	var all sync.WaitGroup
	for _, c := range []struct {
		out, errs io.Writer
		more      []string
	}{{person.File, person.File, nil}, {&pipe, &pipe, nil}, {program.File, program.File, []string{"-o", "json"}}} {
		all.Add(1)
		go func() {
			defer all.Done()
			if code := run(context.Background(), append(args, c.more...), c.out, c.errs); code != 0 {
				t.Errorf("status %d", code)
			}
		}()
	}
	person.await(t, "provision revert: waiting for another provision to end (")
	person.await(t, "s of at most 30s)")
	unlock()
	all.Wait()
	if got := left(strings.NewReplacer("\x1b[32m", "", "\x1b[0m", "").Replace(person.close())); got != "as before provision came (0 writes)\n" {
		t.Errorf("on the screen stands %q", got)
	}
	if got := pipe.String(); got != "as before provision came (0 writes)\n" {
		t.Errorf("in the pipe is %q", got)
	}
	if got := program.close(); strings.Contains(got, "waiting") || !strings.HasPrefix(got, "{") {
		t.Errorf("-o json prints %q", got)
	}
}

// Who has the line, and who has not.
func TestProgressIsForPeople(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	screen := openPTY(t, 80)
	for _, tt := range []struct {
		what, command, term string
		change              func(g *globals)
		want                bool
	}{
		{"a terminal", "apply", "xterm", func(*globals) {}, true},
		{"a terminal that knows little", "apply", "dumb", func(*globals) {}, false},
		{"a file", "apply", "xterm", func(g *globals) { g.stderr = file }, false},
		{"/dev/null", "apply", "xterm", func(g *globals) { g.stderr = null }, false},
		{"a buffer", "apply", "xterm", func(g *globals) { g.stderr = &bytes.Buffer{} }, false},
		{"-o yaml", "apply", "xterm", func(g *globals) { g.output = "yaml" }, false},
		{"-v, which tells all", "apply", "xterm", func(g *globals) { g.verbose = true }, false},
		{"what serves", "serve", "xterm", func(*globals) {}, false},
		{"what has a bar", "flash", "xterm", func(*globals) {}, false},
		{"what a shell asks", "__complete", "xterm", func(*globals) {}, false},
	} {
		t.Setenv("TERM", tt.term)
		g := &globals{output: "table", stderr: screen.File}
		tt.change(g)
		c := &cobra.Command{Use: tt.command}
		c.SetContext(t.Context())
		g.showProgress(c)
		if got := g.progress.out != nil; got != tt.want {
			t.Errorf("%s: a line is %v, want %v", tt.what, got, tt.want)
		}
		g.progress.end()
	}
}

// What the line says of what the engine waits for.
func TestProgressInWords(t *testing.T) {
	g := &globals{device: func(string) string { return "eth0" }}
	const mac = "mac:08:00:27:00:00:01"
	metric := routemetric.Ref(4, mac)
	for _, tt := range []struct {
		w    provision.Waiting
		want string
	}{
		{provision.Waiting{}, "provision apply: at work (7s)"},
		{provision.Waiting{Action: daemon.NetworkdReload(mac)}, "provision apply: reload systemd-networkd, for eth0 (7s)"},
		{provision.Waiting{Refs: []provision.Ref{metric}}, "provision apply: waiting for the IPv4 default route of eth0 (7s)"},
		{provision.Waiting{Refs: []provision.Ref{metric, metric, metric}}, "provision apply: waiting for the IPv4 default route of eth0 and 2 others (7s)"},
		{provision.Waiting{Text: strings.Repeat("long \x1b[2J", 20), Limit: time.Hour}, "provision apply: long \\x1b[2Jlong \\x1b[2Jlong \\x1b[2J... (7s of at most 1h0m0s)"},
	} {
		if got := progressText("provision apply", g.waitingText(tt.w), 7800*time.Millisecond, tt.w.Limit, 79); got != tt.want || columns(got) > 79 {
			t.Errorf("%q (%d columns), want %q", got, columns(got), tt.want)
		}
	}
	// A line that is too long would go on in the next one, where nothing erases it.
	for _, tt := range []struct {
		terminal uint16
		limit    time.Duration
		want     string
	}{
		{28, 0, "provision apply: at... (7s)"},
		{28, time.Minute, "provision apply"},
		{20, 0, "provision a... (7s)"},
		{20, time.Minute, "provision apply"},
		{10, 0, "provis..."},
		{10, time.Minute, "provis..."},
	} {
		if got := progressText("provision apply", "", 7*time.Second, tt.limit, int(tt.terminal)-1); got != tt.want {
			t.Errorf("on %d columns: %q, want %q", tt.terminal, got, tt.want)
		}
		screen := openPTY(t, tt.terminal)
		p := &progress{out: screen.File, name: "provision apply", begun: time.Now(), limit: tt.limit}
		p.draw()
		if text := strings.Trim(screen.close(), "\r"); text == "" || columns(text) >= int(tt.terminal) {
			t.Errorf("on %d columns stand %d: %q", tt.terminal, columns(text), text)
		}
	}
}

// A warning stands on a line of its own, and a question is not written over.
func TestProgressGivesWay(t *testing.T) {
	t.Setenv("TERM", "xterm")
	screen := openPTY(t, 80)
	g := &globals{output: "table", stderr: screen.File, stdout: screen.File}
	g.progress.every = 100 * time.Millisecond
	log := g.logger()
	c := &cobra.Command{Use: "apply"}
	c.SetContext(t.Context())
	g.showProgress(c)
	screen.await(t, "apply: at work (")
	log.Warn("beware")
	g.waits("first", 0)
	screen.await(t, "apply: first (")
	fmt.Fprint(g.prompt(), "Really? ")
	for range 3 { // as each tick does
		g.progress.mu.Lock()
		g.progress.draw()
		g.progress.mu.Unlock()
	}
	fmt.Fprintln(g.stderr)
	g.waits("second", time.Minute)
	screen.await(t, "apply: second (")
	screen.await(t, "s of at most 1m0s)")
	fmt.Fprintln(g.results(), "done")
	text := screen.close()
	if !strings.Contains(text, "\rReally? \r\n") {
		t.Errorf("the question was written over: %q", text)
	}
	if got := left(text); got != "level=WARN msg=beware\nReally?\ndone\n" {
		t.Errorf("on the screen stands %q", got)
	}
}

// A play is a result like any other.
func TestProgressIsGoneBeforeAPlay(t *testing.T) {
	t.Setenv("TERM", "xterm")
	screen := openPTY(t, 80)
	g := &globals{output: "table", root: "/", stderr: screen.File, stdout: screen.File}
	c := newHookAnsible(g)
	c.SetContext(t.Context())
	g.showProgress(c)
	g.waits("something that takes longer than a second", time.Minute)
	g.progress.mu.Lock()
	g.progress.draw()
	g.progress.mu.Unlock()
	if err := c.RunE(c, nil); err != nil {
		t.Fatal(err)
	}
	g.progress.end()
	first, _, _ := strings.Cut(left(screen.close()), "\n")
	if first != "# Made by `provision hook ansible`." {
		t.Errorf("the play begins with %q", first)
	}
}

// A question is answered, or ends with the command.
func TestQuestionsEndWithTheCommand(t *testing.T) {
	for typed, want := range map[string]string{"y\n": "true true <nil>", "Yes\n": "true true <nil>", "\n": "false true <nil>", "": "false false interrupted"} {
		screen := openPTY(t, 80)
		g := &globals{output: "table", stderr: screen.File, stdout: screen.File}
		ctx, cancel := context.WithCancelCause(t.Context())
		c := &cobra.Command{Use: "init"}
		c.SetContext(ctx)
		c.SetIn(screen.File)
		got := make(chan string, 1)
		go func() {
			yes, said, err := g.ask(c, "Really? ")
			got <- fmt.Sprint(yes, said, err)
		}()
		screen.await(t, "Really? ")
		if typed == "" {
			cancel(errors.New("interrupted"))
		} else if _, err := screen.keyboard.WriteString(typed); err != nil {
			t.Fatal(err)
		}
		select {
		case text := <-got:
			if text != want {
				t.Errorf("%q is %s, want %s", typed, text, want)
			}
		case <-time.After(time.Minute):
			t.Errorf("%q: it is still waited for an answer", typed)
		}
		if _, err := screen.keyboard.WriteString("\n"); err != nil { // ends the read that may be open
			t.Fatal(err)
		}
		screen.close()
		cancel(nil)
	}
}

// Colours are for terminals, and for those who did not ask for none; the width is the terminal's.
func TestColoursOnTerminalsOnly(t *testing.T) {
	root := images()[0].unpack(t)
	for _, tt := range []struct {
		what, term, noColor, color string
		terminal, want             bool
	}{
		{"a terminal", "xterm", "", "auto", true, true},
		{"a pipe", "xterm", "", "auto", false, false},
		{"NO_COLOR", "xterm", "1", "auto", true, false},
		{"TERM=dumb", "dumb", "", "auto", true, false},
		{"never", "xterm", "", "never", true, false},
		{"always, in a pipe", "xterm", "1", "always", false, true},
	} {
		t.Setenv("TERM", tt.term)
		t.Setenv("NO_COLOR", tt.noColor)
		for _, args := range [][]string{{"detect"}, {"plan"}, {"verify"}, {"explain", "eth0"}, {"apply", "--dry-run"}, {"wifi", "list"}, {"no-such-command"}, {"plan", "-c", "/nowhere"}, {"help"}} {
			args = append(args, "--root", root, "--color", tt.color)
			text := ""
			if tt.terminal {
				screen := openPTY(t, 60)
				run(t.Context(), args, screen.File, screen.File)
				text = screen.close()
				for line := range strings.Lines(text) {
					if line = strings.TrimRight(line, "\r\n"); columns(line) > 60 && args[0] != "help" && !strings.Contains(line, "    \x1b[2m ") && len(strings.Fields(line)) > 2 {
						t.Errorf("%v: %d columns of 60: %q", args, columns(line), line)
					}
				}
			} else {
				var buf bytes.Buffer
				run(t.Context(), args, &buf, &buf)
				text = buf.String()
			}
			if text == "" {
				t.Errorf("%s, %v: nothing was printed", tt.what, args)
			}
			// Errors, help and what has nothing to say in colour are plain everywhere.
			if got := strings.Contains(text, "\x1b["); got && !tt.want || !got && tt.want && (args[0] == "detect" || args[0] == "plan" && len(args) == 5) {
				t.Errorf("%s, %v: colours are %v, want %v: %q", tt.what, args, got, tt.want, text)
			}
		}
	}
}

// inSources visits all nodes of the package's sources without its tests.
func inSources(t *testing.T, visit func(where token.Position, node ast.Node)) {
	t.Helper()
	set := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if node != nil {
				visit(set.Position(node.Pos()), node)
			}
			return true
		})
	}
}

// Only the one place that asks whether colours are wanted writes them; the progress bar and line write none. QR codes have their own.
func TestColoursComeFromOnePlace(t *testing.T) {
	n := 0
	inSources(t, func(where token.Position, node ast.Node) {
		if l, ok := node.(*ast.BasicLit); ok && l.Kind == token.STRING && strings.Contains(l.Value, `\x1b`) {
			n++
			if where.Filename != "output.go" && where.Filename != "page.go" {
				t.Errorf("%s: an escape sequence", where)
			}
		}
	})
	if n < 2 {
		t.Errorf("%d escape sequences were found", n)
	}
}

// Results go by way of results(), which takes the line away: g.stdout itself is only looked at.
func TestResultsComeFromOnePlace(t *testing.T) {
	isStdout := func(n ast.Expr) bool {
		s, ok := n.(*ast.SelectorExpr)
		return ok && s.Sel.Name == "stdout"
	}
	looks := map[string]bool{"page": true, "coloured": true, "SetOut": true}
	n := 0
	inSources(t, func(where token.Position, node ast.Node) {
		bad := false
		switch node := node.(type) {
		case *ast.SelectorExpr: // g.stdout.Write
			bad = isStdout(node.X)
		case *ast.CallExpr: // fmt.Fprintln(g.stdout
			s, ok := node.Fun.(*ast.SelectorExpr)
			if slices.ContainsFunc(node.Args, isStdout) {
				n++
				bad = !ok || !looks[s.Sel.Name]
			}
		}
		if bad {
			t.Errorf("%s: a result is written past results()", where)
		}
	})
	if n < 3 {
		t.Errorf("standard output is looked at in %d places only", n)
	}
}

// A secret is typed without being shown, and the terminal shows again what is typed afterwards, also when nobody answers.
func TestSecretsAreNotShown(t *testing.T) {
	mode := func(p *pty) unix.Termios {
		mode, err := unix.IoctlGetTermios(int(p.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		return *mode
	}
	echoes := func(p *pty) bool { return mode(p).Lflag&unix.ECHO != 0 }
	s := secret{"passphrase", "home", errors.New("none")}
	screen := openPTY(t, 80)
	before := mode(screen)
	got := make(chan string, 1)
	go func() {
		text, ok, err := s.typed(t.Context(), screen.File, screen.File)
		got <- fmt.Sprint(text, ok, err)
	}()
	const prompt = `The passphrase of "home" (it is not shown): `
	screen.await(t, prompt)
	if echoes(screen) {
		t.Error("what is typed is shown")
	}
	// Ctrl-Z and Ctrl-\ would stop and kill a program before it makes the terminal show again what is typed, and forget what was typed.
	if _, err := screen.keyboard.WriteString("hün\x1ater\x1c two\n"); err != nil {
		t.Fatal(err)
	}
	if text := <-got; text != "hün\x1ater\x1c twotrue <nil>" {
		t.Errorf("typed was %q", text)
	}
	if mode(screen) != before {
		t.Errorf("the terminal is left as %v, and was %v", mode(screen), before)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		_, ok, err := s.typed(ctx, screen.File, screen.File)
		got <- fmt.Sprint(ok, err)
	}()
	screen.awaitTimes(t, prompt, 2)
	if echoes(screen) {
		t.Error("what is typed the second time is shown")
	}
	cancel(errors.New("interrupted"))
	if text := <-got; text != "true interrupted" || !echoes(screen) {
		t.Errorf("interrupted: %q, and the terminal shows what is typed: %v", text, echoes(screen))
	}
	if _, err := screen.keyboard.WriteString("\n"); err != nil { // ends the read that is still open
		t.Fatal(err)
	}
	if text := screen.close(); strings.Contains(text, "nter") {
		t.Errorf("the secret is on the screen: %q", text)
	}
	// A pipe is no terminal.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, ok, err := s.typed(t.Context(), r, w); ok || err != nil {
		t.Errorf("somebody was asked by way of a pipe (%v)", err)
	}
}
