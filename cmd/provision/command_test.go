package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/spf13/cobra"

	"github.com/provision-net/provision/backends"
	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/provision"
	"github.com/provision-net/provision/provision/resource/usbgadget"
)

// everyCommand lists all commands, "hook systemd" included.
func everyCommand(t *testing.T) []*cobra.Command {
	t.Helper()
	var out []*cobra.Command
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			out = append(out, sub)
			walk(sub)
		}
	}
	walk(newRoot(&globals{}))
	if len(out) < 15 {
		t.Fatalf("only %d commands", len(out))
	}
	return out
}

// TestCommandsByThemselves: the command line that knows only the command that is called is, to who calls it, the same as the whole.
func TestCommandsByThemselves(t *testing.T) {
	help := func(root *cobra.Command, args ...string) string {
		var out strings.Builder
		root.SetOut(&out)
		root.SetArgs(args)
		if err := root.Execute(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	for name := range makers() {
		whole, single := help(newRoot(&globals{}), name, "--help"), help(newRoot(&globals{}, name), name, "--help")
		if whole != single || !strings.Contains(single, "Usage:\n  provision "+name) {
			t.Errorf("%s\nis not\n%s", single, whole)
		}
		if n := len(newRoot(&globals{}, name).Commands()); n != 1 {
			t.Errorf("%s is one of %d commands that were made", name, n)
		}
	}
	for _, args := range [][]string{{"serve", "more"}, {"serve", "--what"}, {"serve", "-c", "/nowhere"}, {"serve", "--root", "/tmp"}, {"gadget", "dwon"}, {"gadget", "up", "x"}, {"host", "--what"}} {
		code, out, errs := call(t, args...)
		wcode, wout, werrs := call(t, append([]string{"-v=false"}, args...)...) // the first word is none: the whole
		if code != wcode || out != wout || errs != werrs || code == 0 {
			t.Errorf("%q: %d %q %q, of the whole %d %q %q", args, code, out, errs, wcode, wout, werrs)
		}
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	for _, c := range everyCommand(t) {
		path := strings.Fields(c.CommandPath())[1:]
		code, out, errs := call(t, append(path, "--help")...)
		if code != 0 || errs != "" || !strings.Contains(out, "Usage:\n  "+c.CommandPath()) {
			t.Errorf("%s --help: status %d, %q, %q", c.CommandPath(), code, errs, out)
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: the short help %q is no sentence without a full stop", c.CommandPath(), c.Short)
		}
		if strings.Contains(c.CommandPath(), "completion") {
			continue // its help is the library's
		}
		for line := range strings.Lines(c.Long) {
			if len(line) > 121 {
				t.Errorf("%s: a line of its help has %d columns: %s", c.CommandPath(), len(line), line)
			}
		}
	}
	if code, out, _ := call(t); code != 0 || !strings.Contains(out, "Available Commands") {
		t.Errorf("without arguments: status %d, %q", code, out)
	}
	if code, out, _ := call(t, "help", "hook", "systemd"); code != 0 || !strings.Contains(out, "provision hook systemd") {
		t.Errorf("help hook systemd: status %d, %q", code, out)
	}
}

func TestUsageErrorsAre64(t *testing.T) {
	for _, tt := range []struct {
		args, want string
	}{
		{"frobnicate", `unknown command "frobnicate"`},
		{"aply", `did you mean "apply"?`},
		{"--frobnicate", "unknown flag: --frobnicate"},
		{"apply --frobnicate", "unknown flag: --frobnicate"},
		{"apply now", `takes no argument, got "now"`},
		{"apply --confirm soon", "invalid argument"},
		{"apply --confirm -5s", "positive time"},
		{"apply --confirm 10ms", "leaves no time to confirm"},
		{"apply --settle 0s", "positive time"},
		{"detect -o xml", `"xml" is not one of table, json, yaml`},
		{"detect --color pink", `"pink" is not one of auto, always, never`},
		{"detect --root /nowhere/at/all", "is not a folder"},
		{"explain", "takes a NIC"},
		{"explain a b c", "takes a NIC"},
		{"explain lo --to 1.1.1.1", "takes a NIC"},
		{"explain lo --from 1.1.1.1", "--from needs --to"},
		{"explain --to example.org", "names are not looked up"},
		{"explain --from x --to 1.1.1.1", "write ADDRESS"},
		{"validate a b", "takes one file"},
		{"help frobnicate", `no help about "frobnicate"`},
		{"completion tcsh", `unknown command "tcsh"`},
		{"hook windows", `unknown command "windows"`},
		{"version now", `takes no argument, got "now"`},
	} {
		code, out, errs := call(t, strings.Fields(tt.args)...)
		if code != exitUsage || !strings.Contains(errs, tt.want) || !strings.HasPrefix(errs, "provision: ") || out != "" {
			t.Errorf("provision %s: status %d, %q on standard error, %q on standard output; want 64 and %q", tt.args, code, errs, out, tt.want)
		}
	}
}

func TestExitStatus(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 1},
		{&provision.FailedError{Cause: errors.New("x"), Begun: true}, 1},
		{errDifferences, 2},
		{&provision.StuckError{Back: errors.New("x")}, 3},
		{&provision.FailedError{Cause: &provision.StuckError{Back: fs.ErrPermission}}, 3},
		{&backends.ConflictError{}, 4},
		{fmt.Errorf("cannot plan: %w", errors.Join(errors.New("x"), &backends.ConflictError{})), 4},
		{usageError{errors.New("x")}, 64},
		{fmt.Errorf("%w: cannot read: %w", agent.ErrConfig, fs.ErrPermission), 64},
		{fmt.Errorf("%w: x", agent.ErrMissing), 69},
		{fmt.Errorf("%w: x", agent.ErrConflict), 4},
		{&provision.FailedError{Cause: fmt.Errorf("cannot bind: %w", &usbgadget.BusyError{UDC: "a", Holder: "g_ether"}), Begun: true}, 4},
		{&provision.FailedError{Cause: fmt.Errorf("cannot bind: %w: x", usbgadget.ErrNoController), Begun: true}, 69},
		{&provision.FailedError{Cause: fmt.Errorf("%w: uvc", usbgadget.ErrNoFunction)}, 69},
		{&provision.LockedError{Pid: 1}, 75},
		{permissionError("apply"), 77},
		{fmt.Errorf("cannot write: %w", syscall.EACCES), 77},
		{fmt.Errorf("cannot add a route: %w", syscall.EPERM), 77},
	} {
		if got := exitStatus(tt.err); got != tt.want {
			t.Errorf("exitStatus(%v) = %d, want %d", tt.err, got, tt.want)
		}
	}
}

// Each command that prints results does so as JSON and as YAML, and both say the same.
func TestEveryFormat(t *testing.T) {
	for _, args := range [][]string{
		{"detect"}, {"--detect"}, {"plan"}, {"verify"}, {"facts"}, {"version"}, {"validate", filepath.Join(docs, "full.yaml")},
		{"explain", "lo"}, {"explain", "--to", "127.0.0.1"},
	} {
		name := strings.Join(args, " ")
		code, out, errs := call(t, append(args, "-o", "json")...)
		var fromJSON, fromYAML any
		if err := json.Unmarshal([]byte(out), &fromJSON); err != nil || code != 0 && code != exitDifferences {
			t.Errorf("%s -o json: status %d, %v, %s", name, code, err, errs)
			continue
		}
		code, out, errs = call(t, append(args, "-o", "yaml")...)
		if err := yaml.Unmarshal([]byte(out), &fromYAML); err != nil || code != 0 && code != exitDifferences {
			t.Errorf("%s -o yaml: status %d, %v, %s", name, code, err, errs)
			continue
		}
		if a, b := shape(fromJSON), shape(fromYAML); a != b {
			t.Errorf("%s: JSON and YAML differ\n%s\n%s", name, a, b)
		}
	}
}

// shape are the keys of a value; the values of a running machine change.
func shape(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var keys []string
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		return strings.Join(keys, " ")
	case []any:
		return "list"
	}
	return fmt.Sprint(v)
}

func TestSmallCommands(t *testing.T) {
	if code, out, _ := call(t, "version"); code != 0 || !strings.HasPrefix(out, "provision unknown (go") {
		t.Errorf("version: status %d, %q", code, out)
	}
	for shell, want := range map[string]string{"bash": "# bash completion", "zsh": "#compdef provision", "fish": "# fish completion"} {
		if code, out, _ := call(t, "completion", shell); code != 0 || !strings.HasPrefix(out, want) {
			t.Errorf("completion %s: status %d, %.60q", shell, code, out)
		}
	}
	if code, out, _ := call(t, "init"); code != 0 || out != minimalConfig {
		t.Errorf("init: status %d, %q", code, out)
	}
	var schema struct {
		Properties map[string]any
	}
	if code, out, _ := call(t, "schema"); code != 0 || json.Unmarshal([]byte(out), &schema) != nil || schema.Properties["network"] == nil {
		t.Errorf("schema: status %d, %s", code, out)
	}
	if code, _, errs := call(t, "explain", "nosuch0"); code != exitMissing || !strings.Contains(errs, "no NIC is called nosuch0; there are lo") {
		t.Errorf("explain nosuch0: status %d, %q", code, errs)
	}
	if code, out, _ := call(t, "explain", "--from", "127.0.0.1", "--to", "127.0.0.1:80/tcp"); code != 0 || !strings.Contains(out, "127.0.0.1") {
		t.Errorf("explain --to: status %d, %q", code, out)
	}
}

func TestFactsAnonymised(t *testing.T) {
	host, err := os.Hostname()
	if err != nil || len(host) < 4 || host == "localhost" {
		t.Skipf("the host name %q (%v) tells nothing apart", host, err)
	}
	code, out, errs := call(t, "facts", "--anonymise")
	if code != 0 || strings.Contains(out, host) {
		t.Errorf("status %d, %s; the host name %s is there: %v", code, errs, host, strings.Contains(out, host))
	}
	if _, plain, _ := call(t, "facts"); !strings.Contains(plain, host) {
		t.Errorf("without --anonymise the host name %s is missing too", host)
	}
}

// program is the command, built once.
func program(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "provision")
	build := exec.Command("go", "build", "-o", bin, ".")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// An ordinary user may look; what changes the machine says in one sentence that it
// needs root.
func TestOrdinaryUser(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the network of Linux only")
	}
	bin := program(t)
	for dir := filepath.Dir(bin); dir != "/tmp" && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			break // not ours, and then passable
		}
	}
	as := func(args ...string) (int, string, string) {
		t.Helper()
		cmd := exec.Command(bin, args...)
		cmd.Dir = "/"
		var out, errs strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errs
		cmd.WaitDelay = time.Second
		ordinary(cmd)
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Skipf("cannot run as another user: %v", err)
		}
		return cmd.ProcessState.ExitCode(), out.String(), errs.String()
	}
	for _, name := range []string{"apply", "rollback", "confirm", "revert", "recover"} {
		code, out, errs := as(name)
		want := "provision: " + name + " changes the network and must be run as root (sudo); `provision --detect` and `provision plan` work without\n"
		if code != exitPermission || out != "" || errs != want {
			t.Errorf("%s: status %d, %q, %q; want 77 and %q", name, code, out, errs, want)
		}
	}
	for _, args := range [][]string{{"--detect"}, {"detect", "-v"}, {"plan"}, {"apply", "--dry-run"}, {"facts"}, {"version"}} {
		if code, out, errs := as(args...); code != 0 || out == "" {
			t.Errorf("%v: status %d, %q, %q", args, code, out, errs)
		}
	}
}
