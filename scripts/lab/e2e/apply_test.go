//go:build lab && linux

package e2e

import (
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// maxStall is the longest silence that a TCP stream may see where a lossless path is known.
const maxStall = 100 * time.Millisecond

// volatile are files that the system itself rewrites.
var volatile = []string{"/etc", "/etc/resolv.conf", "/etc/machine-id"}

// The main job, on every manager: the bridged NIC wins for both families, now and after a reboot; streams over the NAT NIC do
// not stall; the second apply does nothing; revert leaves /etc as it was.
func TestBridgedNICWins(t *testing.T) {
	for _, name := range roots {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, m := boot(t, name, lab.WorldOpts{}, lab.BootOpts{})
			await(t, m, name, "eth0", "eth1")
			etc := m.TreeDigest(t, "/etc").Without(volatile...)
			before := defaults(m, 4) + " | " + defaults(m, 6)
			t.Logf("before: %s", before)

			must(t, m, 0, "--detect")
			must(t, m, 2, "plan", "--exit-code")
			if diff := etc.Diff(m.TreeDigest(t, "/etc").Without(volatile...)); len(diff) > 0 {
				t.Fatalf("plan and detect changed /etc: %v", diff)
			}

			s := lab.Streams(t, w, lab.StreamOpts{})
			s.Mark("apply")
			first := apply(t, m)
			t.Logf("apply: %d writes, triggers %v", first.Result.Writes, first.Result.Triggers)
			awaitWinner(t, m, 4, "eth1 metric 10")
			awaitWinner(t, m, 6, "eth1 metric 10")
			if got := defaults(m, 4); got != "eth0 1000, eth1 10" && got != "eth1 10, eth0 1000" {
				t.Errorf("IPv4 default routes: %s", got)
			}
			if got := defaults(m, 6); got != "eth0 1000, eth1 10" {
				t.Errorf("IPv6 default routes: %s", got)
			}
			s.Require(t, maxStall)
			s.Stop()

			settled := m.TreeDigest(t, "/etc")
			run := stamps(t, m)
			second := apply(t, m)
			if second.Result.Writes != 0 {
				t.Errorf("the second apply wrote: %+v", second.Result)
			}
			if touched := settled.Touched(m.TreeDigest(t, "/etc")); len(touched) > 0 {
				t.Errorf("the second apply touched %v", touched)
			}
			if now := stamps(t, m); now != run {
				t.Errorf("the second apply touched files under /run, before:\n%safter:\n%s", run, now)
			}
			must(t, m, 0, "plan", "--exit-code")
			must(t, m, 0, "verify")

			m.Reboot(t)
			await(t, m, name, "eth0", "eth1")
			awaitWinner(t, m, 4, "eth1 metric 10")
			awaitWinner(t, m, 6, "eth1 metric 10")
			if out := must(t, m, 0, "plan", "--exit-code"); t.Failed() {
				t.Log(out)
			}

			must(t, m, 0, "revert")
			if diff := etc.Diff(m.TreeDigest(t, "/etc").Without(volatile...)); len(diff) > 0 {
				t.Errorf("revert left /etc different: %v", diff)
			}
			lab.Await(t, 15*time.Second, func() error {
				if got := winner(t, m, 4); got == "eth1 metric 10" {
					return errStill(got)
				}
				return nil
			})
			t.Logf("after revert: %s | %s", defaults(m, 4), defaults(m, 6))
		})
	}
}

// stamps are the times of the files that daemons compare.
func stamps(t *testing.T, m *lab.Machine) string {
	t.Helper()
	return m.MustRun(t, "sh", "-c", "find /run/systemd/network /run/NetworkManager/system-connections /run/NetworkManager/conf.d -type f -printf '%p %T@ %s\\n' 2>/dev/null | sort")
}

type errStill string

func (e errStill) Error() string { return "still " + string(e) }
