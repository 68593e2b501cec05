// Package packaging holds what the packages consist of besides the program: units, init scripts, maintainer scripts and
// the descriptions of the packages. scripts/package makes the packages.
package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// unitSources are the units of the packages: their own, and those that the program itself prints.
func unitSources() []string {
	return []string{"systemd/provision-early.service", "systemd/provision.service",
		"../../cmd/provision/provision-serve.service", "../../cmd/provision/provision-watch.service"}
}

// analyze looks for the judge of units.
func analyze(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("skipped: no systemd-analyze; install systemd")
	}
	return path
}

// copied are the units with a program that is here.
func copied(t *testing.T) []string {
	t.Helper()
	program, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var out []string
	for _, source := range unitSources() {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.Base(source))
		changed := strings.NewReplacer("/usr/local/bin/provision ", program+" ", "/usr/bin/provision ", program+" ").Replace(string(text))
		if !strings.Contains(changed, "ExecStart="+program+" ") {
			t.Fatalf("%s does not start the program:\n%s", source, text)
		}
		if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
		out = append(out, path)
	}
	return out
}

// systemd understands all units, together, without an ordering cycle.
func TestUnitsAreUnderstood(t *testing.T) {
	judge, units := analyze(t), copied(t)
	// One that is wrong shows that it looks at all.
	broken := filepath.Join(filepath.Dir(units[0]), "wrong.service")
	if err := os.WriteFile(broken, []byte(strings.Replace(read(t, units[0]), "Type=oneshot", "Typ=oneshot", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(judge, append([]string{"verify", "--man=no", broken}, units...)...).CombinedOutput()
	if !strings.Contains(string(out), "wrong.service") {
		t.Fatalf("systemd does not mind a key that is none (%v):\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "wrong.service") {
			continue
		}
		// Other units of the machine are looked at too, and are not ours to judge.
		if strings.Contains(line, "provision") || strings.Contains(line, "cycle") {
			t.Errorf("systemd says: %s", line)
		}
	}
}

// What runs for long has no more rights than it needs: an exposure of 4.0 at most (systemd-analyze(1), security).
func TestServicesAreHardened(t *testing.T) {
	judge, units := analyze(t), copied(t)
	version, err := exec.Command(judge, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	systemd := strings.Fields(string(version))[1]
	var levels []string
	for _, path := range units[2:] {
		out, err := exec.Command(judge, "security", "--offline=true", "--no-pager", "--threshold=40", path).CombinedOutput()
		last := strings.TrimSpace(string(out[strings.LastIndex(strings.TrimSpace(string(out)), "\n")+1:]))
		if strings.Contains(string(out), "unrecognized option") {
			t.Skipf("skipped: this systemd-analyze cannot judge a file: %s", last)
		}
		if err != nil {
			t.Errorf("%s: %v\n%s", filepath.Base(path), err, out)
		}
		t.Log(last)
		if level := regexp.MustCompile(`: ([0-9.]+) `).FindStringSubmatch(last); level == nil {
			t.Errorf("no level: %s", last)
		} else if systemd == "252" {
			levels = append(levels, level[1])
		}
	}
	// Another systemd may judge in another way; the page has Debian 12's figures.
	if want := "(`systemd-analyze security` of systemd 252 gives them " + strings.Join(levels, " and ") + ")"; systemd == "252" && !strings.Contains(strings.Join(strings.Fields(read(t, "../../docs/install.md")), " "), want) {
		t.Errorf("docs/install.md does not say %q", want)
	}
}

// Every hardening line that a long-running unit has and a unit that applies has not is named in the latter's comment.
func TestMissingLinesAreJustified(t *testing.T) {
	sources := unitSources()
	keys := map[string]bool{}
	for _, source := range sources[2:] {
		for line := range strings.Lines(read(t, source)) {
			key, _, ok := strings.Cut(line, "=")
			if ok && (strings.HasPrefix(key, "Protect") || strings.HasPrefix(key, "Private") || strings.HasPrefix(key, "Restrict") && key != "RestartPreventExitStatus" ||
				strings.HasPrefix(key, "SystemCall") || key == "MemoryDenyWriteExecute" || key == "LockPersonality" || key == "NoNewPrivileges" || key == "CapabilityBoundingSet") {
				keys[key] = true
			}
		}
	}
	delete(keys, "SystemCallErrorNumber") // belongs to SystemCallFilter
	if len(keys) < 15 {
		t.Fatalf("only %d hardening lines found: %v", len(keys), keys)
	}
	for _, source := range sources[:2] {
		text := read(t, source)
		for key := range keys {
			if !strings.Contains(text, key) {
				t.Errorf("%s neither has %s= nor says why not", source, key)
			}
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
