package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What a wrong call is told: which help to read, and what it may have meant.
func TestHintsNameTheCommand(t *testing.T) {
	for args, want := range map[string][]string{
		"apply --frobnicate":           {"see `provision apply --help`"},
		"hook cloud-init --frobnicate": {"see `provision hook cloud-init --help`"},
		"frobnicate":                   {"see `provision --help`"},
		"hook cloudinit":               {`unknown command "cloudinit" (did you mean "cloud-init"?)`, "see `provision hook --help`"},
		"wireguard lst":                {`did you mean "list"?`},
		"hook help frobnicate":         {`no help about "frobnicate"`},
	} {
		code, _, errs := call(t, strings.Fields(args)...)
		for _, w := range want {
			if code != exitUsage || !strings.Contains(errs, w) {
				t.Errorf("%s: status %d, want %q\n%s", args, code, w, errs)
			}
		}
	}
	if _, _, errs := call(t, "foo"); strings.Contains(errs, "did you mean") {
		t.Errorf("three letters of which two differ: %s", errs)
	}
}

func TestHelpBelowACommand(t *testing.T) {
	for args, want := range map[string]string{"hook help vagrant": "provision hook vagrant [flags]", "help hook vagrant": "provision hook vagrant [flags]", "hook help": "Available Commands", "completion help zsh": "zsh shell"} {
		if code, out, errs := call(t, strings.Fields(args)...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: status %d, want %q\n%s%s", args, code, want, out, errs)
		}
	}
}

// The form of a file is not a matter of taste.
func TestFilesHaveOneForm(t *testing.T) {
	for _, args := range []string{"hook systemd -o json", "hook vagrant -o yaml", "hook ansible -o json", "hook cloud-init -o json", "init -o json"} {
		if code, out, errs := call(t, strings.Fields(args)...); code != exitUsage || out != "" || !strings.Contains(errs, "leave out --output") {
			t.Errorf("%s: status %d\n%s%s", args, code, out, errs)
		}
	}
}

// A file that was named and is not there is a wrong call, and people are told so in their words.
func TestMissingFiles(t *testing.T) {
	calls := []string{"hook cloud-init --embed", "hook cloud-init -c", "validate", "plan -c", "wifi add net --passphrase-file"}
	if newCard(&globals{}).HasSubCommands() { // it has none on 32-bit ARM
		calls = append(calls, "card flash", "card prepare", "card doctor")
	}
	for _, args := range calls {
		code, _, errs := call(t, append(strings.Fields(args), "/nonexistent")...)
		if code != exitUsage || !strings.Contains(errs, "there is no /nonexistent") || strings.Contains(errs, "open /") || strings.Contains(errs, "stat /") {
			t.Errorf("%s: status %d\n%s", args, code, errs)
		}
	}
}

func TestPermissionHint(t *testing.T) {
	denied := &fs.PathError{Op: "open", Path: "/card/x", Err: syscall.EACCES}
	for command, want := range map[string]string{"provision card prepare": "mount the card", "provision hook cloud-init": "choose a place", "provision detect": "`provision --detect` and", "provision": "run it as root (sudo); `"} {
		var out bytes.Buffer
		g := &globals{stderr: &out}
		if code := g.finish(command, denied); code != exitPermission || !strings.Contains(out.String(), "/card/x: permission denied") || !strings.Contains(out.String(), want) {
			t.Errorf("%s: status %d\n%s", command, code, out.String())
		}
	}
}

// The help of -c says what holds where it is left out.
func TestOwnConfig(t *testing.T) {
	calls := map[string]string{"hook cloud-init": "(default: none)", "hook ansible": "(default: none)", "plan": "then built-in defaults"}
	if newCard(&globals{}).HasSubCommands() {
		calls["card prepare"] = "(default: a gadget of the profile auto"
	}
	for command, want := range calls {
		_, out, _ := call(t, append(strings.Fields(command), "--help")...)
		for line := range strings.Lines(out) {
			if strings.Contains(line, "-c, --config") && !strings.Contains(line, want) {
				t.Errorf("%s: %s", command, line)
			}
		}
		if strings.Count(out, "-c, --config") != 1 {
			t.Errorf("%s:\n%s", command, out)
		}
	}
	name := text(t, "version: 1\ncolour: red\n")
	for _, args := range [][]string{{"-c", name, "hook", "cloud-init"}, {"hook", "-c", name, "cloud-init"}, {"hook", "cloud-init", "--config=" + name}} {
		if code, _, errs := call(t, args...); code != exitUsage || !strings.Contains(errs, "colour") {
			t.Errorf("%v: status %d, %s", args, code, errs)
		}
	}
}

func TestHostPsExecBehindABlank(t *testing.T) {
	for args, want := range map[string]int{`bridge vm Intel --psexec C:\Tools\PsExec64.exe`: exitUsage, `list --psexec psexec.EXE`: exitUsage, `bridge vm Intel --psexec=C:\Tools\PsExec64.exe`: 0, `bridge vm Intel --psexec`: 0} {
		code, out, errs := call(t, append([]string{"host"}, strings.Fields(args)...)...)
		if code != want || want != 0 && (!strings.Contains(errs, "write --psexec=") || out != "") {
			t.Errorf("%s: status %d\n%s%s", args, code, out, errs)
		}
	}
}

// text is a file with this text.
func text(t *testing.T, s string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(name, []byte(s), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
