//go:build lab && linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/provision-net/provision/scripts/lab"
)

// BenchmarkPeers runs scripts/bench on a machine that has all that people would otherwise ask: its NICs belong to
// NetworkManager, and ansible and cloud-init are there.
func BenchmarkPeers(b *testing.B) {
	lab.Need(b, lab.Tier2)
	bench := filepath.Join(b.TempDir(), "bench")
	cmd := exec.Command("go", "build", "-trimpath", "-o", bench, "../../bench")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	program, err := os.ReadFile(bench)
	if err != nil {
		b.Fatal(err)
	}
	const root = "bookworm-netplan-nm"
	w := lab.NewWorld(b, lab.WorldOpts{})
	m := lab.Boot(b, lab.Root(b, root+"+cloud-init+ansible-core"), w, lab.BootOpts{Binary: binary})
	await(b, m, root, "eth0", "eth1")
	m.WriteFile(b, "/usr/local/bin/bench", string(program), 0o755)
	// cloud-init has nothing to be queried before it has run once.
	_, _, _ = m.Run(b.Context(), "cloud-init", "init", "--local")
	_, _, _ = m.Run(b.Context(), "cloud-init", "init")
	b.ResetTimer()
	for range b.N {
		b.Logf("\n%s", m.MustRun(b, "bench", "/usr/local/bin/provision"))
	}
}
