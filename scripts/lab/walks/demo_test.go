//go:build lab && linux

package walks

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/provision-net/provision/scripts/lab"
)

// The second half of `make run`: the demonstration goes from the routes before to the revert, and stalls nobody's connections.
func TestDemo(t *testing.T) {
	if !full {
		t.Skip("skipped: TestTranscript shows the same commands in each run; PROVISION_LAB_FULL=1 (make test-all) runs the demonstration, too")
	}
	lab.Need(t, lab.Tier2)
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "../../demo", binary).CombinedOutput()
	if err != nil {
		t.Fatalf("scripts/demo: %v\n%s", err, out)
	}
	rest := string(out)
	for _, want := range []string{"=== provision --detect\n", "=== provision plan\n", "\ndone and verified ", "\napply: IPv4 on-link ", "\nnothing to do: ", "\nas before provision came"} {
		var ok bool
		if _, rest, ok = strings.Cut(rest, want); !ok {
			t.Errorf("the demonstration does not say %q in its place:\n%s", want, out)
		}
	}
}
