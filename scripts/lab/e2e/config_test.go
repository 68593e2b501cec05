//go:build lab && linux

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

const configFile = "/etc/provision/provision.yaml"

// step is one way to write the configuration file, and what follows from it.
type step struct {
	name   string
	yaml   string // below "network:", indented by two
	four   string // default routes, as defaults() prints them; empty: not looked at
	six    string
	expect func(t *testing.T, m *lab.Machine, root, said string)
	refuse string // apply must refuse and say this
}

func configSteps(root string) []step {
	nics := func(lines ...string) string { return "  nics:\n    - " + strings.Join(lines, "\n    - ") + "\n" }
	steps := []step{
		{name: "route-metric", yaml: nics("{match: {name: eth0}, route-metric: 500}", "{match: {name: eth1}, route-metric: 50}"),
			four: "eth0 500, eth1 50", six: "eth0 500, eth1 50"},
		{name: "a metric for each family", yaml: nics("{match: {name: \"*1\"}, dhcp4-overrides: {route-metric: 60}, dhcp6-overrides: {route-metric: 70}}"),
			four: "eth0 1000, eth1 60", six: "eth0 1000, eth1 70"},
		{name: "nat-metric", yaml: "  nat-metric: 2000\n", four: "eth0 2000, eth1 10", six: "eth0 2000, eth1 10"},
		{name: "first-metric", yaml: "  first-metric: 20\n", four: "eth0 1000, eth1 20", six: "eth0 1000, eth1 20"},
		{name: "role", yaml: nics("{match: {name: eth0}, role: bridged}", "{match: {name: eth1}, role: nat}"), four: "eth0 11, eth1 1000", six: "eth0 11, eth1 1000"}, // eth1 keeps its place in the row
		{name: "manage", yaml: nics("{match: {name: eth0}, manage: false}"), expect: unmanaged},
		{name: "dns", yaml: "  dns: demote\n", four: "eth0 1000, eth1 10", six: "eth0 1000, eth1 10", expect: demoted},
	}
	if root == "trixie-netplan" && !full {
		return []step{steps[1], steps[6]} // each step waits for router advertisements
	}
	if strings.Contains(root, "dhcpcd") {
		steps[1].four, steps[1].six, steps[1].refuse = "", "", "one metric for both families"
		// One dhcpcd takes over the metric of another, whose old route is still there: apply may go back, and says so.
		steps = slices.Delete(steps, 4, 5)
	}
	return steps
}

// unmanaged: what provision brought is gone, so eth0 has again what its manager gives it.
func unmanaged(t *testing.T, m *lab.Machine, root, said string) {
	t.Helper()
	lab.Await(t, 15*time.Second, func() error {
		for _, family := range []int{4, 6} {
			for _, r := range m.Defaults(family) {
				if r.Dev == "eth0" && r.Metric == 1000 {
					return fmt.Errorf("still there: %v", r)
				}
			}
		}
		return nil
	})
	if !strings.Contains(said, "manage: false") {
		t.Errorf("apply does not say why eth0 is left alone: %s", said)
	}
}

// demoted: eth0's name server is asked last, or the report says that it cannot be.
func demoted(t *testing.T, m *lab.Machine, root, said string) {
	t.Helper()
	switch {
	case strings.HasSuffix(root, "-netplan"):
		out := m.MustRun(t, "resolvectl", "default-route")
		for _, want := range []string{"(eth0): no", "(eth1): yes"} {
			if !strings.Contains(out, want) {
				t.Errorf("resolvectl default-route does not say %q:\n%s", want, out)
			}
		}
	case strings.Contains(root, "nm"):
		lab.Await(t, 10*time.Second, func() error {
			text, err := m.ReadFile("/etc/resolv.conf")
			if err != nil {
				return err
			}
			bridged, nat := strings.Index(text, "192.168.76.3"), strings.Index(text, "10.0.2.3")
			if bridged < 0 || nat >= 0 && nat < bridged {
				return fmt.Errorf("the NAT NIC's name server is not last:\n%s", text)
			}
			return nil
		})
	default:
		if !strings.Contains(said, "name servers") {
			t.Errorf("apply does not say that the name servers stay: %s", said)
		}
	}
}

// footprint is what apply may leave outside of /etc. Which NIC once had which place in the row stays remembered.
func footprint(t *testing.T, m *lab.Machine) string {
	t.Helper()
	return m.MustRun(t, "sh", "-c", "find /run/systemd/network /run/NetworkManager/conf.d /run/NetworkManager/system-connections -type f -exec sha256sum {} + 2>/dev/null | sort -k2")
}

func configRoots() []string {
	if full {
		return append(roots[:len(roots):len(roots)], "trixie-ifupdown-dhcpcd")
	}
	return []string{"trixie-netplan", "bookworm-nm", "trixie-ifupdown"}
}

// Each key of the configuration does what it says, and taking it out again leaves the machine as if it had never been there.
func TestConfigKeys(t *testing.T) {
	for _, root := range configRoots() {
		t.Run(root, func(t *testing.T) {
			t.Parallel()
			_, m := boot(t, root, lab.WorldOpts{}, lab.BootOpts{})
			await(t, m, root, "eth0", "eth1")
			write := func(network string) {
				text := "version: 1\n"
				if network != "" {
					text += "network:\n" + network
				}
				m.WriteFile(t, configFile, text, 0o600)
			}
			write("")
			etc := m.TreeDigest(t, "/etc").Without(volatile...)
			apply(t, m)
			const plain = "eth0 1000, eth1 10"
			awaitDefaults(t, m, 4, plain)
			awaitDefaults(t, m, 6, plain)
			settledEtc, settledRest := m.TreeDigest(t, "/etc").Without(append(volatile, configFile)...), footprint(t, m)
			for _, s := range configSteps(root) {
				write(s.yaml)
				if s.refuse != "" {
					if _, msg, code := provision(t, m, "apply"); code == 0 || !strings.Contains(msg, s.refuse) {
						t.Errorf("%s: apply ended with %d: %s", s.name, code, msg)
					}
				} else {
					said := must(t, m, 0, "apply")
					if s.four != "" {
						awaitDefaults(t, m, 4, s.four)
						awaitDefaults(t, m, 6, s.six)
					}
					if s.expect != nil {
						s.expect(t, m, root, said)
					}
					before := m.TreeDigest(t, "/etc")
					if o := apply(t, m); o.Result.Writes != 0 {
						t.Errorf("%s: the second apply wrote %+v", s.name, o.Result)
					}
					if touched := before.Without(volatile...).Touched(m.TreeDigest(t, "/etc").Without(volatile...)); len(touched) > 0 {
						t.Errorf("%s: the second apply touched %v", s.name, touched)
					}
				}
				write("")
				apply(t, m)
				awaitDefaults(t, m, 4, plain)
				awaitDefaults(t, m, 6, plain)
				if diff := settledEtc.Diff(m.TreeDigest(t, "/etc").Without(append(volatile, configFile)...)); len(diff) > 0 {
					t.Errorf("%s was taken out again and left %v", s.name, diff)
				}
				if rest := footprint(t, m); rest != settledRest {
					t.Errorf("%s was taken out again and left, before:\n%s\nafter:\n%s", s.name, settledRest, rest)
				}
			}
			must(t, m, 0, "revert")
			sameEtc(t, m, etc, "revert")
		})
	}
}

// awaitDefaults waits until the default routes of a family are these.
func awaitDefaults(t *testing.T, m *lab.Machine, family int, want string) {
	t.Helper()
	lab.Await(t, 20*time.Second, func() error {
		if got := defaults(m, family); got != want {
			return fmt.Errorf("the IPv%d default routes are %s, want %s", family, got, want)
		}
		return nil
	})
}

// With lazy only files are written and no daemon is disturbed; where the daemon can, it takes the metric by itself at its next
// renewal and router advertisement, elsewhere at the next boot.
func TestLazy(t *testing.T) {
	cells := []string{"bookworm-nm"}
	if full {
		cells = roots
	}
	for _, root := range cells {
		t.Run(root, func(t *testing.T) {
			t.Parallel()
			nat, bridged := lab.NAT(), lab.Bridged()
			nat.Lease, nat.T1, nat.T2 = 2*time.Minute, 8*time.Second, 90*time.Second
			bridged.Lease, bridged.T1, bridged.T2 = nat.Lease, nat.T1, nat.T2
			w, m := boot(t, root, lab.WorldOpts{NICs: []lab.NICOpts{nat, bridged}}, lab.BootOpts{})
			await(t, m, root, "eth0", "eth1")
			m.WriteFile(t, configFile, "version: 1\nnetwork:\n  lazy: true\n", 0o600)
			etc := m.TreeDigest(t, "/etc").Without(volatile...)
			running := daemons(t, m)
			s := lab.Streams(t, w, lab.StreamOpts{})
			s.Mark("apply")
			o := apply(t, m)
			t.Logf("apply: %d writes, triggers %v", o.Result.Writes, o.Result.Triggers)
			if now := daemons(t, m); now != running {
				t.Errorf("a daemon was restarted, before %q, after %q", running, now)
			}
			if !strings.HasSuffix(root, "-netplan") { // networkd reads its files when it starts, and not before
				awaitWinner(t, m, 4, "eth1 metric 10")
				awaitWinner(t, m, 6, "eth1 metric 10")
			}
			s.Require(t, maxStall)
			s.Stop()
			if now := daemons(t, m); now != running {
				t.Errorf("a daemon was restarted, before %q, after %q", running, now)
			}
			settled(t, m)
			m.Reboot(t)
			await(t, m, root, "eth0", "eth1")
			awaitWinner(t, m, 4, "eth1 metric 10")
			awaitWinner(t, m, 6, "eth1 metric 10")
			must(t, m, 0, "plan", "--exit-code")
			must(t, m, 0, "revert")
			sameEtc(t, m, etc, "revert")
		})
	}
}

// daemons are the processes of the network managers and DHCP clients, which change when one is restarted.
func daemons(t *testing.T, m *lab.Machine) string {
	t.Helper()
	return m.MustRun(t, "sh", "-c", "pgrep -l 'systemd-network|NetworkManager|dhclient|dhcpcd|udhcpc' | sort; true")
}
