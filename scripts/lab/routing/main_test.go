//go:build lab && linux

package routing

import (
	"os"
	"testing"

	"github.com/provision-net/provision/scripts/lab"
)

// program is the program under test.
var program string

func TestMain(m *testing.M) { os.Exit(lab.MainWithProgram(m, &program)) }

// need is what each test of the package begins with.
func need(t *testing.T) {
	t.Helper()
	lab.Need(t, lab.Serve)
}
