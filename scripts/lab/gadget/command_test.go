//go:build lab && linux

package gadget

import (
	"testing"

	"github.com/provision-net/provision/scripts/lab"
)

// TestCommand has the program itself, as people have it.
func TestCommand(t *testing.T) {
	lab.Need(t, lab.Gadget)
	group(t, "TestCommand", map[string]string{"provision": Build(t, "./cmd/provision", false)})
}
