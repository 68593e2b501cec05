//go:build lab && linux

package selftest

import (
	"encoding/json"
	"runtime"
	"testing"
	"time"

	"github.com/provision-net/provision/provision"
)

// TestReference tells the CPU time of work like an engine's that no kernel has a part in: what it is in a
// guest divided by what it is outside is how much slower the guest is.
func TestReference(t *testing.T) {
	all := map[string]provision.Attrs{}
	for _, w := range many(0, 1000) {
		all[w.Name] = w.Attrs
	}
	runtime.LockOSThread() // whose CPU time is read
	defer runtime.UnlockOSThread()
	best := time.Hour
	for range 9 {
		begin := spent()
		text, err := json.MarshalIndent(all, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		var back map[string]provision.Attrs
		if err := json.Unmarshal(text, &back); err != nil || len(back) != len(all) {
			t.Fatalf("%d peers, %v", len(back), err)
		}
		best = min(best, spent()-begin)
	}
	t.Logf("reference: %v", best)
}
