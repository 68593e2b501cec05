//go:build lab && linux

package tunnels

import (
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab/gadget"
)

// BenchmarkKernel has the kernel's devices carry a stream through a full tunnel of ours and one of
// wg-quick(8), in turn, in a guest whose clock counts instructions: its figures are small, and their
// ratio does not depend on how busy the host is.
func BenchmarkKernel(b *testing.B) {
	files := tools(b, map[string]string{})
	files["selftest"] = gadget.Build(b, "./scripts/lab/tunnels/selftest", true, "-tags", "lab")
	for b.Loop() {
		e := gadget.Run(b, gadget.Guest{Counted: true, Limit: 15 * time.Minute, Files: files,
			Script: prepare + "selftest -test.v -test.timeout 14m -test.run xxx -test.bench . -test.benchtime 1x"})
		if e.Status != "0" || !strings.Contains(e.Said, "kernel true: ours ") {
			b.Fatalf("the guest ended with status %q:\n%s", e.Status, e.Said)
		}
		b.Log("\n" + e.Said)
	}
}
