//go:build lab && linux

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// plugged is a NIC that is put into the running machine.
var plugged = lab.NICOpts{MAC: "08:00:27:00:76:20", Net4: "192.168.77.0/24", Net6: "2001:db8:2::/64"}

// The power fails in the middle of an apply that also brings up a NIC nobody configured, and once right after an apply has said
// that it is done: each boot ends in the old state or in the new one, and what was said to be done is there. Then a third NIC is
// plugged in.
func TestVMPowerCut(t *testing.T) {
	turn(t, 1)
	roots, cuts := vmRoots(), 2
	if !full {
		roots, cuts = []string{"bookworm-ifupdown"}, 1
	}
	for _, root := range roots {
		t.Run(root, func(t *testing.T) {
			v := bootVM(t, root, lab.VMOpts{Config: lab.CloudInit, Binary: crashing})
			v.await(t, natNIC)
			v.MustRun(t, "sh", "-c", "provision hook systemd > /etc/systemd/system/provision-recover.service && systemctl -q enable provision-recover.service && sync")
			etc, before := v.etc(t), v.routes(t, 4)+" | "+v.routes(t, 6)
			effects := v.effects(t)
			for range cuts {
				at, when := 1+rand.IntN(effects), []string{"before", "after"}[rand.IntN(2)]
				ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
				out, msg, code := v.Run(ctx, "env", fmt.Sprintf("PROVISION_CRASH_AT=%d", at), "PROVISION_CRASH_WHEN="+when, "provision", "apply")
				cancel()
				v.PowerCut(t)
				t.Logf("power cut %s effect %d of %d (apply ended with status %d), up again after %v", when, at, effects, code, v.BootTime.Round(time.Second))
				if code == 0 {
					t.Fatalf("apply was not stopped at effect %d of %d\n%s%s", at, effects, out, msg)
				}
				v.await(t, natNIC)
				if got := v.MustRun(t, "systemctl", "show", "-P", "Result", "-P", "ActiveState", "provision-recover.service"); got != "success\nactive\n" && got != "active\nsuccess\n" {
					t.Errorf("the boot unit ended with %q\n%s", got, v.MustRun(t, "journalctl", "-b", "-u", "provision-recover.service", "--no-pager"))
				}
				if diff := differingLines(etc, v.etc(t)); diff != "" {
					t.Errorf("the apply that the power cut stopped %s effect %d was not gone back on:\n%s", when, at, diff)
				}
				if got := v.routes(t, 4) + " | " + v.routes(t, 6); got != before {
					t.Errorf("the default routes are %s, before %s", got, before)
				}
				v.must(t, 2, "plan", "--exit-code")
			}

			v.apply(t)
			v.PowerCut(t)
			const after = bridgedNIC + " 10, " + natNIC + " 1000"
			v.awaitRoutes(t, after)
			v.must(t, 0, "plan", "--exit-code")
			v.must(t, 0, "verify")
			if !strings.Contains(v.MustRun(t, "grep", "-rliE", "08:00:27:00:76:08|iface "+bridgedNIC, "/etc"), "/") {
				t.Errorf("no file in /etc names %s", bridgedNIC)
			}
			hotPlug(t, v, after)

			v.must(t, 0, "revert")
			if diff := differingLines(etc, v.etc(t)); diff != "" {
				t.Errorf("revert left /etc different:\n%s", diff)
			}
		})
	}
}

// effects counts the files that apply would change and the triggers it would run; routes come about by the triggers.
func (v vmSystem) effects(t *testing.T) int {
	t.Helper()
	var p struct {
		Plan struct {
			Changes  []struct{ Ref struct{ Kind string } }
			Triggers []any
		}
	}
	v.mustJSON(t, 0, &p, "plan")
	n := len(p.Plan.Triggers)
	for _, c := range p.Plan.Changes {
		if c.Ref.Kind == "file" {
			n++
		}
	}
	if n < 3 {
		t.Fatalf("the plan has %d effects: %+v", n, p)
	}
	return n
}

// hotPlug plugs a third NIC in: it never moves the default; apply brings it up behind all others; unplugged and plugged in again it
// comes up by itself, because the file written for it waits for it.
func hotPlug(t *testing.T, v vmSystem, before string) {
	t.Helper()
	v.Plug(t, plugged)
	name := v.awaitLink(t)
	if got := v.routes(t, 4); got != before {
		t.Errorf("the new NIC %s changed the IPv4 default routes to %s", name, got)
	}
	v.apply(t)
	after := ""
	lab.Await(t, vmWait, func() error {
		if after = v.routes(t, 4); !strings.Contains(after, name+" ") {
			return fmt.Errorf("%s has no IPv4 default route: %s", name, after)
		}
		return nil
	})
	winner, _, _ := strings.Cut(before, ", ")
	if !strings.HasPrefix(after, winner+", ") {
		t.Errorf("the winner was %s, after %s was plugged in the IPv4 default routes are %s", winner, name, after)
	}
	v.awaitRoutes(t, after)
	v.must(t, 0, "plan", "--exit-code")
	t.Logf("%s is up: %s | %s", name, v.routes(t, 4), v.routes(t, 6))

	v.Unplug(t)
	lab.Await(t, vmWait, func() error {
		if n := v.LinkByMAC(t, plugged.MAC); n != "" {
			return fmt.Errorf("%s is still there", n)
		}
		return nil
	})
	v.awaitRoutes(t, before)
	v.Replug(t, plugged)
	if again := v.awaitLink(t); again != name {
		t.Fatalf("the NIC was called %s and is now called %s", name, again)
	}
	v.awaitRoutes(t, after)
	v.must(t, 0, "verify")
}

// awaitLink waits until the plugged NIC has got its name from udev.
func (v vmSystem) awaitLink(t *testing.T) (name string) {
	t.Helper()
	lab.Await(t, vmWait, func() error {
		if name = v.LinkByMAC(t, plugged.MAC); name == "" || strings.HasPrefix(name, "eth") {
			return fmt.Errorf("the plugged NIC is called %q", name)
		}
		return nil
	})
	v.MustRun(t, "udevadm", "settle", "-t", "30")
	return name
}
