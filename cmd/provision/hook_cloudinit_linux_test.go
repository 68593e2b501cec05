package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// guest is a machine on which cloud-init runs the script, as far as the script sees it: its folders, and programs that
// stand in its PATH before the real ones.
type guest struct {
	t   *testing.T
	dir string
}

func newGuest(t *testing.T) guest {
	g := guest{t, t.TempDir()}
	if err := os.Mkdir(filepath.Join(g.dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"curl", "wget", "python3"} {
		g.program(name, "echo no network >&2; exit 7")
	}
	g.program("sleep", "exit 0")
	return g
}

func (g guest) program(name, text string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, "bin", name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		g.t.Fatal(err)
	}
}

// run runs the script and returns its outcome and what it says.
func (g guest) run(args ...string) (status int, r struct {
	OK     bool
	Step   string
	Status int
}, said string) {
	g.t.Helper()
	script := strings.NewReplacer("/var/lib/provision", g.dir+"/state", payloadDir, g.dir+"/work", "/usr/local/bin/provision", g.dir+"/bin/provision",
		"/run/systemd/system", g.dir+"/nothing", "PATH=", "PATH="+g.dir+"/bin:").Replace(cloudInitScript)
	out, err := exec.Command("sh", append([]string{"-c", script, "provision"}, args...)...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		g.t.Fatal(err)
	}
	if exit != nil {
		status = exit.ExitCode()
	}
	text, err := os.ReadFile(filepath.Join(g.dir, "state", "cloud-init.json"))
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil || r.Status != status || r.OK != (status == 0) {
		g.t.Errorf("%v: status %d, %v, %s", args, status, err, text)
	}
	if _, err := os.Stat(filepath.Join(g.dir, "work")); err == nil {
		g.t.Errorf("%v: the folder of its work is left", args)
	}
	return status, r, string(out)
}

// Each step that fails is named, with its status, in the outcome and in words; nothing that failed leaves a trace that a
// later run would trust.
func TestCloudInitScriptFails(t *testing.T) {
	program := "#!/bin/sh\n[ \"$1\" = apply ] && echo applied >> \"$0.ran\" && exit ${STATUS:-0}\n"
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(program)))
	file := write(t, "program", program)
	g := newGuest(t)
	expect := func(step string, status int, words string, args ...string) {
		t.Helper()
		got, r, said := g.run(args...)
		if got != status || r.Step != step || !strings.Contains(said, words) {
			t.Errorf("%v: status %d, step %s, want %d and %s\n%s", args, got, r.Step, status, step, said)
		}
	}
	ran := func() int {
		text, _ := os.ReadFile(filepath.Join(g.dir, "bin/provision.ran"))
		return strings.Count(string(text), "applied")
	}
	expect("find", 1, "there is no /nowhere", "file", "/nowhere", "")
	expect("fetch", 1, "no network", "url", "http://192.0.2.1/program", sum)
	expect("check", 1, "and not 00", "file", file, strings.Repeat("0", 64))
	g.program("curl", `while [ $# -gt 2 ]; do [ "$1" != -o ] || out=$2; shift; done; cp '`+file+`' "$out"`)
	expect("check", 1, "and not 00", "url", "http://192.0.2.1/program", strings.Repeat("0", 64))
	g.program("install", "echo disk full >&2; exit 28")
	expect("install", 28, "disk full", "file", file, sum)
	if _, err := os.Stat(filepath.Join(g.dir, "state/cloud-init.sum")); err == nil || ran() != 0 {
		t.Errorf("nothing was installed: %v, applied %d times", err, ran())
	}
	if err := os.Remove(filepath.Join(g.dir, "bin/install")); err != nil {
		t.Fatal(err)
	}

	// Fetched once; a new instance of the same disk needs no network, and applies again.
	expect("apply", 0, "the network is what it should be", "url", "http://192.0.2.1/program", sum)
	g.program("curl", "exit 7")
	expect("apply", 0, "the network is what it should be", "url", "http://192.0.2.1/program", sum)
	expect("apply", 0, "the network is what it should be", "image", "", "")
	if ran() != 3 {
		t.Errorf("applied %d times", ran())
	}

	// A signed URL of a package is one of a package all the same.
	if err := os.Remove(filepath.Join(g.dir, "state/cloud-init.sum")); err != nil {
		t.Fatal(err)
	}
	g.program("curl", `while [ $# -gt 2 ]; do [ "$1" != -o ] || out=$2; shift; done; cp '`+file+`' "$out"`)
	g.program("apt-get", `for last; do :; done; echo "package ${last##*/}" >&2; exit 100`)
	expect("install", 100, "package provision.deb\n", "url", "https://192.0.2.1/a/provision.deb?token=x/y#z", sum)
	t.Setenv("STATUS", "4")
	expect("apply", 4, "failed with status 4", "image", "", "")
}
