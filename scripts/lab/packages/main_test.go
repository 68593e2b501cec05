//go:build lab && linux

package packages

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
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
		return signingKey(filepath.Join(work, "key"))
	}))
}

// signingKey writes a key for these tests, and its public half beside it.
func signingKey(path string) error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600),
		os.WriteFile(path+".pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki}), 0o644))
}

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
		argv := []string{"scripts/package", "-o", out}
		if b := os.Getenv("PROVISION_BINARY"); b != "" {
			argv = append(argv, "-b", b)
		}
		if !full {
			argv = append(argv, target())
		}
		cmd := exec.Command("bash", append([]string{"-c", `umask "$0"; exec "$@"`, umask(name)}, argv...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "VERSION="+version, "SOURCE_DATE_EPOCH="+epoch, "TZ="+timezone, "PROVISION_SIGNING_KEY="+filepath.Join(work, "key"))
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
