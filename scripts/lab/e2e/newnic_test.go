//go:build lab && linux

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// newNICCell is one root and what it has for eth0.
type newNICCell struct {
	root   string
	config lab.Config
}

func (c newNICCell) String() string { return c.root + "/" + string(c.config) }

// newNICCells: networkd cannot match by MAC in a namespace, and with all-en no NIC is without configuration, except where
// netplan's one profile is active on one NIC only.
func newNICCells() []newNICCell {
	if !full {
		return []newNICCell{{"bookworm-netplan", lab.OnlyEth0}, {"trixie-nm", lab.OnlyEth0}, {"trixie-ifupdown", lab.OnlyEth0}}
	}
	var out []newNICCell
	for _, r := range roots {
		out = append(out, newNICCell{r, lab.OnlyEth0})
		if r != "bookworm-netplan" && r != "trixie-netplan" {
			out = append(out, newNICCell{r, lab.CloudInit})
		}
	}
	return out
}

// waitsForNetwork makes the boot wait for what its distribution calls a network that is up, as remote file systems and cloud-init do.
var waitsForNetwork = lab.Overlay{
	"/etc/systemd/system/needs-network.service": {Content: "[Unit]\nWants=network-online.target\nAfter=network-online.target\n\n" +
		"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"},
	"/etc/systemd/system/multi-user.target.wants/needs-network.service": {Link: "/etc/systemd/system/needs-network.service"},
}

// overlay joins sets of files.
func overlay(parts ...lab.Overlay) lab.Overlay {
	out := lab.Overlay{}
	for _, p := range parts {
		for path, f := range p {
			out[path] = f
		}
	}
	return out
}

// hotplug does what udev's rule of ifupdown does for a NIC that appears: a namespace has no udev. Other managers see it themselves.
func hotplug(t *testing.T, m *lab.Machine, root, nic string) {
	t.Helper()
	if strings.Contains(root, "ifupdown") {
		if out := m.MustRun(t, "sh", "-c", "ifquery --allow hotplug -l "+nic); strings.TrimSpace(out) != nic {
			t.Errorf("ifupdown does not bring %s up when udev reports it: ifquery --allow hotplug -l says %q", nic, out)
		}
		// Without its device unit ifup@.service would never start.
		m.MustRun(t, "systemd-run", "--no-block", "--property=Type=oneshot", "--property=RemainAfterExit=yes", "ifup", "--allow=hotplug", nic)
	}
}

// awaitMetric waits until all default routes of a family through a NIC have the metric.
func awaitMetric(t *testing.T, m *lab.Machine, family int, nic string, want int) {
	t.Helper()
	lab.Await(t, 20*time.Second, func() error {
		n := 0
		for _, r := range m.Defaults(family) {
			if r.Dev != nic {
				continue
			}
			if n++; r.Metric != want {
				return fmt.Errorf("%v, want metric %d", r, want)
			}
		}
		if n == 0 {
			return fmt.Errorf("%s has no IPv%d default route, want one with metric %d", nic, family, want)
		}
		return nil
	})
}

// settled runs apply again and fails if it does anything.
func settled(t *testing.T, m *lab.Machine, args ...string) {
	t.Helper()
	before := m.TreeDigest(t, "/etc").Without(volatile...)
	o := apply(t, m, args...)
	if o.Result.Writes != 0 || len(o.Result.Triggers) != 0 {
		t.Errorf("the second apply is not idle: %+v", o.Result)
	}
	if touched := before.Touched(m.TreeDigest(t, "/etc").Without(volatile...)); len(touched) > 0 {
		t.Errorf("the second apply touched %v", touched)
	}
}

// unconfigured waits until a NIC has neither an address nor a default route.
func unconfigured(t *testing.T, m *lab.Machine, nic string) {
	t.Helper()
	lab.Await(t, 15*time.Second, func() error {
		for _, a := range m.Addrs(nic) {
			if a.Scope == "global" {
				return fmt.Errorf("%s still has %s", nic, a.Addr)
			}
		}
		for _, family := range []int{4, 6} {
			for _, r := range m.Defaults(family) {
				if r.Dev == nic {
					return fmt.Errorf("still there: %v", r)
				}
			}
		}
		return nil
	})
}

// sameEtc fails if /etc is not what it was.
func sameEtc(t *testing.T, m *lab.Machine, was lab.Tree, when string) {
	t.Helper()
	if diff := was.Diff(m.TreeDigest(t, "/etc").Without(volatile...)); len(diff) > 0 {
		t.Errorf("%s left /etc different: %s", when, strings.Join(diff, "\n"))
	}
}

// A NIC that nobody configures (a bridged NIC of Multipass or Vagrant) is brought up with DHCPv4 and router advertisements and
// wins; the boot does not wait for it; a NIC plugged in later takes nothing away from anybody; revert leaves it as it was found.
func TestNewNIC(t *testing.T) {
	for _, c := range newNICCells() {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			w, m := boot(t, c.root, lab.WorldOpts{}, lab.BootOpts{Config: c.config, Overlay: waitsForNetwork})
			await(t, m, c.root, "eth0")
			unconfigured(t, m, "eth1")
			idle := m.BootTime
			etc := m.TreeDigest(t, "/etc").Without(volatile...)

			s := lab.Streams(t, w, lab.StreamOpts{})
			s.Mark("apply")
			first := apply(t, m)
			t.Logf("apply: %d writes, triggers %v", first.Result.Writes, first.Result.Triggers)
			newNICUp(t, m)
			s.Require(t, maxStall)
			s.Stop()
			settled(t, m)
			must(t, m, 0, "verify")
			later(t, w, m, c.root)

			w.KillDHCP("eth1")
			m.Reboot(t)
			t.Logf("boot: %v at first, %v with the new NIC and no DHCP server on it", idle, m.BootTime)
			if m.BootTime > idle+6*time.Second {
				t.Errorf("the boot waited for the new NIC: %v, before %v", m.BootTime, idle)
			}
			hotplug(t, m, c.root, "eth1")
			m.AwaitAddrs(t, 20*time.Second, "eth0")
			awaitMetric(t, m, 4, "eth0", 1000)
			w.StartDHCP("eth1")
			newNICUp(t, m)
			hotplug(t, m, c.root, "eth2")
			for _, family := range []int{4, 6} {
				awaitMetric(t, m, family, "eth2", 1001)
			}
			must(t, m, 0, "plan", "--exit-code")
			must(t, m, 0, "verify")

			must(t, m, 0, "revert")
			sameEtc(t, m, etc, "revert")
			unconfigured(t, m, "eth1")
			unconfigured(t, m, "eth2")
			if got := m.Global("eth0", 4); got != "10.0.2.15" {
				t.Errorf("after revert eth0 has %q", got)
			}
		})
	}
}

func newNICUp(t *testing.T, m *lab.Machine) {
	t.Helper()
	m.AwaitAddrs(t, 70*time.Second, "eth1")
	for _, family := range []int{4, 6} {
		awaitMetric(t, m, family, "eth1", 10)
		awaitMetric(t, m, family, "eth0", 1000)
		awaitWinner(t, m, family, "eth1 metric 10")
	}
}

// later plugs a third NIC in: it gets what is left behind all others, unless a rule names it.
func later(t *testing.T, w *lab.World, m *lab.Machine, root string) {
	t.Helper()
	w.AddNIC(lab.NICOpts{Name: "eth2", Net4: "192.168.77.0/24"})
	apply(t, m)
	m.AwaitAddrs(t, 20*time.Second, "eth2")
	for _, family := range []int{4, 6} {
		awaitMetric(t, m, family, "eth1", 10)
		awaitMetric(t, m, family, "eth0", 1000)
		awaitMetric(t, m, family, "eth2", 1001)
	}
	settled(t, m)

	m.WriteFile(t, "/root/first.yaml", "version: 1\nnetwork:\n  nics:\n    - match: {name: eth2}\n      route-metric: 5\n", 0o600)
	apply(t, m, "-c", "/root/first.yaml")
	for _, family := range []int{4, 6} {
		awaitMetric(t, m, family, "eth2", 5)
		awaitMetric(t, m, family, "eth1", 10)
	}
	settled(t, m, "-c", "/root/first.yaml")
	apply(t, m)
	for _, family := range []int{4, 6} {
		awaitMetric(t, m, family, "eth2", 1001)
		awaitWinner(t, m, family, "eth1 metric 10")
	}
}

// A host-only network has no way out, so a NIC on it never is one, also while it is not known yet.
func TestHostOnlyNIC(t *testing.T) {
	cells := []newNICCell{{"trixie-netplan", lab.OnlyEth0}}
	if full {
		cells = nil
		for _, r := range roots {
			cells = append(cells, newNICCell{r, lab.OnlyEth0}, newNICCell{r, lab.BothNICs})
		}
	}
	for _, c := range cells {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			w, m := boot(t, c.root, lab.WorldOpts{NICs: []lab.NICOpts{lab.NAT(), lab.HostOnly("eth1")}}, lab.BootOpts{Config: c.config})
			m.AwaitDefaults(t, 20*time.Second, "eth0")
			if c.config == lab.BothNICs {
				m.AwaitAddrs(t, 20*time.Second, "eth1")
			}
			etc := m.TreeDigest(t, "/etc").Without(volatile...)
			s := lab.Streams(t, w, lab.StreamOpts{})
			s.Mark("apply")
			for range 2 {
				apply(t, m)
				m.AwaitAddrs(t, 20*time.Second, "eth1")
				for _, family := range []int{4, 6} {
					for _, r := range m.Defaults(family) {
						if r.Dev != "eth0" {
							t.Errorf("a way out by the host-only NIC: %v", r)
						}
					}
				}
			}
			s.Require(t, maxStall)
			s.Stop()
			settled(t, m)
			m.Reboot(t)
			hotplugIf(t, m, c)
			m.AwaitDefaults(t, 20*time.Second, "eth0")
			m.AwaitAddrs(t, 20*time.Second, "eth1")
			must(t, m, 0, "plan", "--exit-code")
			must(t, m, 0, "revert")
			sameEtc(t, m, etc, "revert")
			if c.config == lab.OnlyEth0 {
				unconfigured(t, m, "eth1")
			}
		})
	}
}

// hotplugIf is for the NIC that apply has brought up.
func hotplugIf(t *testing.T, m *lab.Machine, c newNICCell) {
	t.Helper()
	if c.config == lab.OnlyEth0 {
		hotplug(t, m, c.root, "eth1")
	}
}
