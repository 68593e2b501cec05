//go:build lab && linux

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// hangLimit bounds a refusal on a machine on which somebody does not answer.
const hangLimit = 30 * time.Second

// A manager, or the message bus, that has stopped without an end: apply says who, in bounded time, before it has written anything.
func TestHangingManager(t *testing.T) {
	t.Parallel()
	says := map[string]string{
		"trixie-netplan systemd-network": "systemd-networkd hangs",
		"bookworm-nm NetworkManager":     "NetworkManager hangs",
		"trixie-nm dbus-daemon":          "the message bus that NetworkManager is on does not answer",
	}
	together(t, slices.Collect(maps.Keys(says)), func(t *testing.T, name string) {
		root, process, _ := strings.Cut(name, " ")
		m, old, next, _ := bothWays(t, root)
		m.MustRun(t, "sh", "-ec", "kill -STOP $(pgrep -x "+process+")")
		was, begin := kept(t, m), time.Now()
		out, msg, code := provision(t, m, "apply")
		took := time.Since(begin)
		t.Logf("%v, status %d: %s", took.Round(10*time.Millisecond), code, strings.TrimSpace(msg))
		if code != 1 || !strings.Contains(msg, says[name]) || !strings.Contains(msg, "nothing was changed") || took > hangLimit {
			t.Errorf("status %d after %v\n%s%s", code, took, out, msg)
		}
		if touched := was.Touched(kept(t, m)); len(touched) > 0 {
			t.Errorf("touched: %v", touched)
		}
		m.MustRun(t, "sh", "-ec", "kill -CONT $(pgrep -x "+process+")")
		old.require(t, m, "once it goes on")
		must(t, m, 0, "apply")
		next.require(t, m, "applied once it goes on")
	})
}

// Without a message bus networkd is restarted through systemd's own socket; nothing is lost either way.
func TestWithoutMessageBus(t *testing.T) {
	t.Parallel()
	m, old, next, _ := bothWays(t, "trixie-netplan")
	m.MustRun(t, "systemctl", "mask", "--runtime", "--now", "dbus.socket", "dbus.service")
	out, msg, code := provision(t, m, "apply")
	t.Logf("status %d: %s", code, strings.TrimSpace(msg))
	switch code {
	case 0:
		next.require(t, m, "without a bus")
		must(t, m, 0, "revert")
	case 1:
		if !strings.Contains(msg, "message bus") {
			t.Errorf("unclear: %s%s", out, msg)
		}
	default:
		t.Errorf("status %d", code)
	}
	old.require(t, m, "without a bus, afterwards")
}

// Several applies at once: one works, the others wait and find nothing to do, or a machine on which it is done.
func TestAppliesAtOnce(t *testing.T) {
	t.Parallel()
	together(t, killRoots(), func(t *testing.T, name string) {
		m, old, next, _ := bothWays(t, name)
		var all []*lab.Process
		for range 4 {
			p, err := m.Start("provision", "apply")
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, p)
		}
		for i, p := range all {
			if out, msg, code := p.Wait(); code != 0 {
				t.Errorf("apply number %d: status %d\n%s%s", i+1, code, out, msg)
			}
		}
		next.require(t, m, "after all")
		must(t, m, 0, "plan", "--exit-code")
		must(t, m, 0, "verify")
		must(t, m, 0, "revert")
		old.require(t, m, "after revert")

		// A killed one among them leaves a run that another one finds while it waits.
		a, err := m.StartCmd(lab.Cmd{Argv: []string{"provision", "apply"}, Env: []string{"PROVISION_CRASH_AT=3"}})
		if err != nil {
			t.Fatal(err)
		}
		old.awaitChange(t, m)
		b, err := m.Start("provision", "apply")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, code := a.Wait(); code != killed {
			t.Errorf("status %d", code)
		}
		if out, msg, code := b.Wait(); code != 0 {
			t.Errorf("the other: status %d\n%s%s", code, out, msg)
		}
		next.require(t, m, "after one was killed beside the other")
		must(t, m, 0, "verify")
	})
}

// Leases that are renewed each 3 s and routers that advertise each 3 s change the machine while it is changed.
func TestApplyWhileLeasesRenew(t *testing.T) {
	t.Parallel()
	together(t, killRoots(), func(t *testing.T, name string) {
		nat, bridged := lab.NAT(), lab.Bridged()
		for _, n := range []*lab.NICOpts{&nat, &bridged} {
			n.Lease, n.T1, n.T2 = 2*time.Minute, 3*time.Second, 100*time.Second
		}
		w, m := boot(t, name, lab.WorldOpts{NICs: []lab.NICOpts{nat, bridged}}, lab.BootOpts{})
		await(t, m, name, "eth0", "eth1")
		old := conditionOf(t, m)
		requests := func() int { return strings.Count(w.DHCPLog("eth0"), "DHCPACK") }
		rounds := 1
		if full {
			rounds = 5
		}
		for range rounds {
			must(t, m, 0, "apply")
			awaitWinner(t, m, 4, "eth1 metric 10")
			awaitWinner(t, m, 6, "eth1 metric 10")
			was := requests()
			lab.Await(t, 20*time.Second, func() error {
				if requests() < was+2 {
					return fmt.Errorf("no renewals")
				}
				return nil
			})
			if got := winner(t, m, 4); got != "eth1 metric 10" {
				t.Errorf("after two renewals the winner is %s (%s)", got, defaults(m, 4))
			}
			must(t, m, 0, "verify")
			out := must(t, m, 0, "apply", "-o", "json")
			if !strings.Contains(out, `"writes": 0`) {
				t.Errorf("after two renewals there was something to do: %s", out)
			}
			must(t, m, 0, "revert")
			if diff := old.files(t, m); len(diff) > 0 {
				t.Errorf("revert left /etc different: %v", diff)
			}
		}
	})
}
