package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Whoever broke the configuration must still be able to go back.
func TestGoingBackNeedsNoConfiguration(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the files that are written belong to root")
	}
	im := images()[0]
	for _, way := range []string{"revert", "rollback"} {
		t.Run(way, func(t *testing.T) {
			root := im.unpack(t)
			before := snapshot(t, root)
			if code, _, errs := call(t, "--root", root, "apply"); code != 0 {
				t.Fatalf("apply: status %d, %s", code, errs)
			}
			config := filepath.Join(root, "etc/provision/provision.yaml")
			if err := os.WriteFile(config, []byte("version: 1\nnetwork: {\n"), 0o666); err != nil {
				t.Fatal(err)
			}
			if code, _, errs := call(t, "--root", root, "confirm"); code != exitFailed || !strings.Contains(errs, "no apply waits") {
				t.Errorf("confirm: status %d, %s", code, errs)
			}
			if code, _, errs := call(t, "--root", root, way); code != 0 {
				t.Errorf("status %d, %s", code, errs)
			}
			for _, path := range differences(before, snapshot(t, root)) {
				if path != "/etc/provision/provision.yaml" {
					t.Errorf("%s is not as it was", path)
				}
			}
		})
	}
}

// The connection that shows what is done may break while it is done: that must not end
// the program between two files.
func TestOutputThatNobodyReads(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the files that are written belong to root")
	}
	bin := program(t)
	im := images()[0]
	root := im.unpack(t)
	before := snapshot(t, root)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	cmd := exec.Command(bin, "--root", root, "-v", "apply")
	cmd.Stdout, cmd.Stderr = writer, writer
	err = cmd.Run()
	writer.Close()
	if !cmd.ProcessState.Exited() {
		t.Fatalf("the program was killed: %v", err)
	}
	after := snapshot(t, root)
	for _, path := range im.written {
		if before[path] == after[path] {
			t.Errorf("%s was not written", path)
		}
	}
	if code, out, errs := call(t, "--root", root, "recover"); code != 0 || !strings.Contains(out, "nothing was left unfinished") {
		t.Errorf("it left something: status %d, %s%s", code, out, errs)
	}
	if code, out, _ := call(t, "--root", root, "plan", "--exit-code"); code != 0 {
		t.Errorf("not all was done: %s", out)
	}
}

// The state directory may be lost. What is provision's own by its first line goes all
// the same, and nothing is called done that is not.
func TestStateThatWasLost(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the files that are written belong to root")
	}
	for _, im := range images() {
		t.Run(im.name, func(t *testing.T) {
			root := im.unpack(t)
			before := snapshot(t, root)
			apply := func() {
				t.Helper()
				if code, _, errs := call(t, "--root", root, "apply"); code != 0 {
					t.Fatalf("apply: status %d, %s", code, errs)
				}
			}
			own := func() (out []string) {
				now := snapshot(t, root)
				for _, path := range im.written {
					if _, was := before[path]; !was && now[path] != "" {
						out = append(out, path)
					}
				}
				return out
			}
			apply()
			written := own()
			if len(written) == 0 {
				t.Fatal("no file of its own: the test would show nothing")
			}
			if err := os.RemoveAll(filepath.Join(root, "var/lib/provision")); err != nil {
				t.Fatal(err)
			}
			code, out, _ := call(t, "--root", root, "revert")
			for _, path := range written {
				if code != exitDifferences || !strings.Contains(out, path+": written by provision, but") {
					t.Errorf("revert without any state: status %d, and %s is not named: %s", code, path, out)
				}
			}
			apply()
			if code, out, errs := call(t, "--root", root, "revert"); code != 0 || len(own()) > 0 {
				t.Errorf("apply and revert: status %d, left %v, %s%s", code, own(), out, errs)
			}
		})
	}
}

// Nobody confirms a change of a mounted image: its keeper goes back in that image and
// leaves the machine's own state alone.
func TestUnconfirmedImageGoesBack(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the files that are written belong to root")
	}
	bin := program(t)
	root := images()[0].unpack(t)
	before := snapshot(t, root)
	if out, err := exec.Command(bin, "--root", root, "apply", "--confirm", "1s").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(differences(before, snapshot(t, root))) == 0 {
		t.Fatal("the apply wrote nothing: the test would show nothing")
	}
	for end := time.Now().Add(20 * time.Second); len(differences(before, snapshot(t, root))) > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still different after the time to confirm: %v", differences(before, snapshot(t, root)))
		}
	}
}
