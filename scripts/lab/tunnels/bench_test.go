//go:build lab && linux

package tunnels

import (
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab/gadget"
)

// BenchmarkKernel runs the benchmarks of packages selftest and client with the kernel's devices, in a
// guest whose clock counts instructions: 500 million a second are few, and do not depend on how busy the
// host is.
func BenchmarkKernel(b *testing.B) {
	files := tools(b, map[string]string{})
	files["selftest"] = gadget.Build(b, "./scripts/lab/tunnels/selftest", true, "-tags", "lab")
	files["client"] = gadget.Build(b, "./scripts/lab/tunnels/client", true, "-tags", "lab")
	for b.Loop() {
		e := gadget.Run(b, gadget.Guest{Counted: true, Limit: 15 * time.Minute, Files: files,
			Script: prepare + "set -e; for t in selftest client; do $t -test.v -test.timeout 9m -test.run xxx -test.bench . -test.benchtime 1x; done"})
		if e.Status != "0" || !strings.Contains(e.Said, "kernel true: ours ") {
			b.Fatalf("the guest ended with status %q:\n%s", e.Status, e.Said)
		}
		b.Log("\n" + e.Said)
	}
}
