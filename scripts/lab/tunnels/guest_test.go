//go:build lab && linux

package tunnels

import (
	"os/exec"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/gadget"
)

// TestKernel boots one guest and runs the tests of the kind of state and of package selftest in it, with
// the kernel's devices. A skip is a hole there: the guest has all that is needed.
func TestKernel(t *testing.T) {
	lab.Need(t, lab.Gadget)
	wg, err := exec.LookPath("wg")
	if err != nil {
		t.Skip("skipped: no wg(8); install wireguard-tools")
	}
	e := gadget.Run(t, gadget.Guest{
		Limit: 8 * time.Minute, // a busy machine
		Script: "modprobe -a wireguard tun nf_conntrack nft_masq nft_chain_nat; mkdir -p /run/wireguard; " +
			"kind -test.v -test.run '^Test(Conformance|Judged|Prefixes|Refusals|Somebody|Thousand)/^kernel$' && selftest -test.v -test.timeout 7m -test.skip '^TestMemory$'",
		Files: map[string]string{"wg": wg, "kind": gadget.Build(t, "./provision/resource/wireguard", true),
			"selftest": gadget.Build(t, "./scripts/lab/tunnels/selftest", true, "-tags", "lab")},
	})
	t.Logf("the guest took %.1f s, %.1f s of CPU; its kernel %s s", e.Took.Seconds(), e.CPU.Seconds(), e.Booted)
	outcomes, err := gadget.Outcomes(e.Said, e.Status)
	seen := map[string]bool{}
	for _, o := range outcomes {
		seen[o.Name] = true
		t.Run(o.Name, func(t *testing.T) {
			t.Log("\n" + o.Text)
			if o.Status != "PASS" {
				t.Errorf("%s in the guest", o.Status)
			}
		})
	}
	if err != nil {
		t.Error(err)
	}
	for _, name := range []string{"TestConformanceDevice", "TestConformancePeer", "TestRoaming", "TestPolicyRouting"} {
		if !seen[name] {
			t.Errorf("%s was not run:\n%s", name, e.Said)
		}
	}
}
