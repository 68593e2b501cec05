//go:build lab && linux

package packages

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/provision-net/provision/scripts/lab"
)

// full makes the packages of all platforms.
var full = os.Getenv("PROVISION_LAB_FULL") != ""

// work is the folder of all that the tests share.
var work string

func TestMain(m *testing.M) {
	os.Exit(lab.Main(m, func(dir string) error {
		work = dir
		return nil
	}))
}

// installPage are the commands of a section of the guide, block by block.
func installPage(section string) ([]string, error) {
	text, err := os.ReadFile("../../../docs/install.md")
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(text), "\n## "+section+"\n")
	rest, _, _ = strings.Cut(rest, "\n## ")
	parts := strings.Split(rest, "\n```text\n")
	var blocks []string
	for _, part := range parts[1:] {
		block, _, _ := strings.Cut(part, "```\n")
		blocks = append(blocks, block)
	}
	if len(blocks) != 2 {
		return nil, fmt.Errorf("the guide has %d blocks of commands, not 2, in %q", len(blocks), section)
	}
	return blocks, nil
}

// signing are the guide's commands for who makes a release: those that make the key, which is made once, and the one that uses it.
var signing = sync.OnceValues(func() (string, error) {
	blocks, err := installPage("With the install script")
	if err != nil {
		return "", err
	}
	key, use, there := strings.Cut(blocks[1], "PROVISION_SIGNING_KEY=")
	if !there {
		return "", fmt.Errorf("the guide does not say how a release is signed: %q", blocks[1])
	}
	cmd := exec.Command("sh", "-ec", key)
	cmd.Dir = work
	if b, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot make a key as the guide does: %w\n%s", err, b)
	}
	return "PROVISION_SIGNING_KEY=" + use, nil
})

// epoch is the time of all packages of these tests: 2026-01-31.
const epoch = "1769817600"

// newDefault is a line that only the later version's default configuration has.
const newDefault = "# This line came with version 1.1.0.\n"

// built makes packages once, in a copy of the sources.
func built(name, version, timezone, extra string) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		top, err := filepath.Abs("../../..")
		if err != nil {
			return "", err
		}
		dir := filepath.Join(work, name, "sources")
		out := filepath.Join(work, name, "out")
		if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
			return "", err
		}
		// The tool is the same for all copies; the first that needs it has it installed.
		tools := filepath.Join(top, "bin", "tools")
		if err := os.MkdirAll(tools, 0o755); err != nil {
			return "", err
		}
		if err := os.Symlink(tools, filepath.Join(dir, "bin", "tools")); err != nil {
			return "", err
		}
		copied := exec.Command("bash", "-c", `set -o pipefail; git ls-files -z -co --exclude-standard | tar -c --null --ignore-failed-read -T - 2>/dev/null | tar -x -C "$0"`, dir)
		copied.Dir = top
		if b, err := copied.CombinedOutput(); err != nil {
			return "", fmt.Errorf("cannot copy the sources: %w\n%s", err, b)
		}
		if extra != "" {
			f, err := os.OpenFile(filepath.Join(dir, "cmd/provision/provision.yaml"), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return "", err
			}
			if _, err := f.WriteString(extra); err != nil {
				return "", err
			}
			f.Close()
		}
		line, err := signing()
		if err != nil {
			return "", err
		}
		for _, key := range []string{"release.key", "release.key.pub"} {
			if err := os.Symlink(filepath.Join(work, key), filepath.Join(dir, key)); err != nil {
				return "", err
			}
		}
		args := "-o " + out
		if b := os.Getenv("PROVISION_BINARY"); b != "" {
			args += " -b " + b
		}
		if !full {
			args += " " + target()
		}
		cmd := exec.Command("bash", "-ec", `umask "$0"; `+line, umask(name))
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "VERSION="+version, "SOURCE_DATE_EPOCH="+epoch, "TZ="+timezone, "PACKAGE="+args)
		if b, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("cannot make packages: %w\n%s", err, b)
		}
		return out, nil
	})
}

func umask(name string) string {
	if strings.HasPrefix(name, "again") {
		return "077"
	}
	return "022"
}

// target is this machine's, as scripts/package names it.
func target() string { return "linux/" + runtime.GOARCH }

var (
	first = built("first", "v1.0.0", "UTC", "")
	again = built("again/in-another-folder", "v1.0.0", "Pacific/Kiritimati", "")
	later = built("later", "v1.1.0", "UTC", newDefault)
)

// packages are those of one version; the test is skipped, or fails, where they cannot be made here.
func packages(t *testing.T, build func() (string, error)) string {
	t.Helper()
	lab.Need(t, lab.Packages)
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skipf("skipped: no packages are made for %s on its own", target())
	}
	dir, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// one is the only file of a pattern.
func one(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v %v", pattern, found, err)
	}
	return found[0]
}

// names of this machine's architecture, as the three formats have it.
func arch(format string) string {
	return map[string]map[string]string{
		"amd64": {"deb": "amd64", "rpm": "x86_64", "apk": "x86_64"},
		"arm64": {"deb": "arm64", "rpm": "aarch64", "apk": "aarch64"},
	}[runtime.GOARCH][format]
}

func output(t *testing.T, argv ...string) string {
	t.Helper()
	b, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, b)
	}
	return string(b)
}
