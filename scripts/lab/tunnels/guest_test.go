//go:build lab && linux

package tunnels

import (
	"os/exec"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
	"github.com/provision-net/provision/scripts/lab/gadget"
)

// prepare has the modules loaded that nobody loads on demand, and what a shell's <(...) and nft's names
// of protocols need.
const prepare = "modprobe -a wireguard tun nf_conntrack nft_masq nft_chain_nat overlay; mkdir -p /run/wireguard; " +
	"ln -s /proc/self/fd /dev/fd; printf 'tcp 6 TCP\\nudp 17 UDP\\nicmp 1 ICMP\\nipv6-icmp 58 IPv6-ICMP\\n' > /etc/protocols; export PROVISION_LAB=here; "

// tools are what the tests inside have beside them.
func tools(t testing.TB, more map[string]string) map[string]string {
	t.Helper()
	lab.Need(t, lab.Gadget)
	for _, tool := range []string{"wg", "wg-quick"} {
		path, err := exec.LookPath(tool)
		if err != nil {
			t.Skipf("skipped: no %s(8); install wireguard-tools", tool)
		}
		more[tool] = path
	}
	return more
}

// run boots a guest and makes subtests of the tests in it, which are to have these among them. A skip is
// a hole there: the guest has all that is needed.
func run(t *testing.T, g gadget.Guest, must ...string) gadget.Ended {
	t.Helper()
	g.Script = prepare + g.Script
	e := gadget.Run(t, g)
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
	for _, name := range must {
		if !seen[name] {
			t.Errorf("%s was not run:\n%s", name, e.Said)
		}
	}
	return e
}

// TestKernel runs the tests of the kind of state, of package selftest and the heart of package client in
// a guest, with the kernel's devices.
func TestKernel(t *testing.T) {
	files := tools(t, map[string]string{})
	files["kind"] = gadget.Build(t, "./provision/resource/wireguard", true)
	files["selftest"] = gadget.Build(t, "./scripts/lab/tunnels/selftest", true, "-tags", "lab")
	files["client"] = gadget.Build(t, "./scripts/lab/tunnels/client", true, "-tags", "lab")
	run(t, gadget.Guest{
		Limit: 9 * time.Minute, // a busy machine
		Script: "kind -test.v -test.run '^Test(Conformance|Judged|Prefixes|Refusals|Somebody|Thousand)/^kernel$' && " +
			"selftest -test.v -test.timeout 7m -test.skip '^Test(Memory|Reference)$' && client -test.v -test.timeout 5m -test.run '^TestQuick$'",
		Files: files,
	}, "TestConformanceDevice", "TestConformancePeer", "TestRoaming", "TestPolicyRouting", "TestQuick")
}
