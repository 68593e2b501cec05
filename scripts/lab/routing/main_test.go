//go:build lab && linux

package routing

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/provision-net/provision/scripts/lab"
)

// program is the program under test.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		if program = os.Getenv("PROVISION_BINARY"); program != "" {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "provision-routing-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "provision")
		cmd := exec.Command("go", "build", "-trimpath", "-o", program, "../../../cmd/provision")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "cannot build the program: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// need is what each test of the package begins with.
func need(t *testing.T) {
	t.Helper()
	lab.Need(t, lab.Serve)
}
