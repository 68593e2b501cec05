//go:build lab && linux

package routing

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/provision-net/provision/scripts/lab"
)

// program is the program under test.
var program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "provision-routing-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if program, err = lab.Program(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
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
