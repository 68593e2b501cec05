package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// systemd is the judge of the units that are embedded.
func TestUnitsAreUnderstood(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("skipped: no systemd-analyze; install systemd")
	}
	program, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"recover": recoverUnit, "serve": serveUnit, "restore": restoreUnit, "watch": watchUnit, "gadget": gadgetUnit, "wireguard@": wireguardUnit} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "provision-"+name+".service")
			if err := os.WriteFile(path, []byte(unitFor(text, program)), 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(analyze, "verify", "--man=no", path).CombinedOutput()
			// Other units of the machine are looked at too, and are not ours to judge.
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, filepath.Base(path)) {
					t.Errorf("systemd says: %s", line)
				}
			}
			if err != nil && !t.Failed() {
				t.Logf("%v: %s", err, out)
			}
		})
	}
}
