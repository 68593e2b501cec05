package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/provision-net/provision/cmd/provision/internal/agent"
	"github.com/provision-net/provision/routing/wireguard"
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
	units := map[string]string{"recover": recoverUnit, "serve": serveUnit, "restore": restoreUnit, "watch": watchUnit, "gadget": gadgetUnit, "wireguard@": wireguardUnit}
	units["wrong"] = strings.Replace(restoreUnit, "Type=oneshot", "Typ=oneshot", 1) // which shows that it looks at all
	for name, text := range units {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "provision-"+name+".service")
			if err := os.WriteFile(path, []byte(unitFor(text, program)), 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(analyze, "verify", "--man=no", path).CombinedOutput()
			// Other units of the machine are looked at too, and are not ours to judge.
			said := ""
			for line := range strings.Lines(string(out)) {
				if strings.Contains(line, filepath.Base(path)) {
					said += line
				}
			}
			if (said != "") != (name == "wrong") {
				t.Errorf("systemd says (%v): %q\n%s", err, said, out)
			}
		})
	}
}

// The server starts wherever something is configured that it reads, also where a command has written all of it and there is no file of the
// user's: systemd skips a unit none of whose conditions with a bar is met, and says so to nobody.
func TestServerStartsWhereverItIsConfigured(t *testing.T) {
	met := map[string]bool{}
	for line := range strings.Lines(serveUnit) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "=|"); ok && strings.HasPrefix(key, "Condition") {
			met[value] = true
		}
	}
	for _, place := range []string{agent.DefaultPath, wireguard.Folder} {
		if !met[place] {
			t.Errorf("%s is not among what starts the server: %v", place, met)
		}
	}
}
