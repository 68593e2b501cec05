//go:build lab && linux

package e2e

import (
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// With every DHCP server silent no manager may lose its address because of us: either the metric moves all the same, or apply
// goes back and says so. Streams over the NAT NIC go on in both cases, and so does the lease when the servers are back.
func TestSilentDHCPServer(t *testing.T) {
	for _, name := range killRoots() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, m := boot(t, name, lab.WorldOpts{}, lab.BootOpts{})
			await(t, m, name, "eth0", "eth1")
			etc := m.TreeDigest(t, "/etc").Without(volatile...)
			before := defaults(m, 4)
			s := lab.Streams(t, w, lab.StreamOpts{})
			w.KillDHCP("eth0")
			w.KillDHCP("eth1")
			s.Mark("apply without a DHCP server")
			out, msg, code := provision(t, m, "apply", "--settle", "6s")
			t.Logf("apply: status %d\n%s%s", code, out, msg)
			s.Require(t, maxStall)
			s.Stop()
			if got := m.Global("eth0", 4); got != "10.0.2.15" {
				t.Errorf("eth0 has the address %q", got)
			}
			switch code {
			case 0:
				awaitWinner(t, m, 4, "eth1 metric 10")
			case 1:
				if got := defaults(m, 4); got != before {
					t.Errorf("apply has gone back, and yet the IPv4 default routes are %s, before %s", got, before)
				}
				if diff := etc.Diff(m.TreeDigest(t, "/etc").Without(volatile...)); len(diff) > 0 {
					t.Errorf("apply has gone back and left /etc different: %v", diff)
				}
			default:
				t.Errorf("status %d", code)
			}
			w.StartDHCP("eth0")
			w.StartDHCP("eth1")
			must(t, m, 0, "apply")
			awaitWinner(t, m, 4, "eth1 metric 10")
			m.AwaitAddrs(t, 10*time.Second, "eth0", "eth1")
		})
	}
}

// The NAT's server answers later than the boot's own apply plans: the NIC is what it was, nothing is written, and it loses from its
// first lease on.
func TestLeaseAfterBoot(t *testing.T) {
	names := []string{"bookworm-netplan"}
	if full {
		names = append(names, "bookworm-nm", "trixie-netplan", "trixie-nm")
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, m := boot(t, name, lab.WorldOpts{}, lab.BootOpts{})
			await(t, m, name, "eth0", "eth1")
			must(t, m, 0, "apply")
			awaitWinner(t, m, 4, "eth1 metric 10")
			etc := m.TreeDigest(t, "/etc").Without(volatile...)
			w.KillDHCP("eth0")
			m.Reboot(t)
			m.AwaitDefaults(t, 40*time.Second, "eth1")
			if o := apply(t, m); o.Result.Writes != 0 {
				t.Errorf("without a lease it wrote %d times", o.Result.Writes)
			}
			if diff := etc.Diff(m.TreeDigest(t, "/etc").Without(volatile...)); len(diff) > 0 {
				t.Errorf("/etc is another: %v", diff)
			}
			w.StartDHCP("eth0")
			m.AwaitDefaults(t, 90*time.Second, "eth0")
			if got := defaults(m, 4); got != "eth0 1000, eth1 10" {
				t.Errorf("with its lease: %s", got)
			}
		})
	}
}
