//go:build lab && linux

package lab_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

var mainRoots = []string{
	"bookworm-netplan", "bookworm-netplan-nm", "bookworm-nm", "bookworm-ifupdown",
	"trixie-netplan", "trixie-netplan-nm", "trixie-nm", "trixie-ifupdown",
}

// Every root of the main matrix boots without a failed unit, gets its leases and routers on both NICs, and does so again after
// a reboot that forgets the network and /run but not the disk.
func TestBootAndReboot(t *testing.T) {
	lab.Need(t, lab.Tier2)
	for _, name := range mainRoots {
		t.Run(name, func(t *testing.T) {
			root := lab.Root(t, name)
			w := lab.NewWorld(t, lab.WorldOpts{})
			m := lab.Boot(t, root, w, lab.BootOpts{Overlay: lab.Overlay{"/etc/lab.conf": {Content: "kept\n", Mode: 0o640}}})
			awaitRouting(t, m, name)
			t.Logf("boot took %v", m.BootTime.Round(time.Millisecond))
			if out := m.MustRun(t, "systemctl", "is-system-running"); out != "running\n" {
				t.Errorf("the machine is %s\n%s", out, m.MustRun(t, "systemctl", "--failed"))
			}
			if out := m.MustRun(t, "stat", "-c", "%a %U", "/etc/lab.conf"); out != "640 root\n" {
				t.Errorf("overlay file is %q", out)
			}
			m.WriteFile(t, "/etc/written", "kept", 0o600)
			m.WriteFile(t, "/run/written", "lost", 0o600)
			m.MustRun(t, "ip", "route", "add", "198.51.100.0/24", "via", "10.0.2.2")
			etc := m.TreeDigest(t, "/etc").Without("/etc", "/etc/resolv.conf")
			begin := time.Now()
			m.Reboot(t)
			t.Logf("reboot took %v", time.Since(begin).Round(time.Millisecond))
			begin = time.Now()
			awaitRouting(t, m, name)
			t.Logf("addresses and routes took %v", time.Since(begin).Round(time.Millisecond))
			if got, err := m.ReadFile("/etc/written"); err != nil || got != "kept" {
				t.Errorf("/etc/written after the reboot: %q, %v", got, err)
			}
			if _, err := m.ReadFile("/run/written"); err == nil {
				t.Error("/run has outlived the reboot")
			}
			if diff := etc.Diff(m.TreeDigest(t, "/etc").Without("/etc", "/etc/resolv.conf")); len(diff) > 0 {
				t.Errorf("/etc has changed over the reboot: %v", diff)
			}
			if slices.ContainsFunc(m.Routes(), func(r lab.Route) bool { return strings.HasPrefix(r.Dst, "198.51.100.") }) {
				t.Error("a live route has outlived the reboot")
			}
		})
	}
}

// awaitRouting waits for all that the root's manager can get from two DHCP and RA servers.
func awaitRouting(t *testing.T, m *lab.Machine, root string) {
	t.Helper()
	if strings.Contains(root, "ifupdown") {
		m.AwaitAddrs(t, 20*time.Second, "eth0", "eth1")
		if d := m.Defaults(4); len(d) != 1 || d[0].Dev != "eth0" || d[0].Metric != 0 {
			t.Errorf("dhclient has made the default routes %v", d)
		}
	} else {
		m.AwaitDefaults(t, 20*time.Second, "eth0", "eth1")
	}
	if got := m.Global("eth0", 4); got != "10.0.2.15" {
		t.Errorf("eth0 was leased %s", got)
	}
}

func TestRun(t *testing.T) {
	lab.Need(t, lab.Tier2)
	m := lab.Boot(t, lab.Root(t, "bookworm-nm"), lab.NewWorld(t, lab.WorldOpts{}), lab.BootOpts{Config: lab.NoConfig})
	ctx := context.Background()
	out, msg, exit := m.Run(ctx, "sh", "-c", "echo out; echo err >&2; exit 7")
	if out != "out\n" || msg != "err\n" || exit != 7 {
		t.Errorf("got %q, %q, %d", out, msg, exit)
	}
	if out := m.MustRun(t, "cat", "/proc/1/comm"); out != "systemd\n" {
		t.Errorf("PID 1 is %q", out)
	}
	if _, _, exit := m.Run(ctx, "sh", "-c", "kill -9 $$"); exit != 137 {
		t.Errorf("a killed program gives %d", exit)
	}
	// A daemon that stays behind and keeps standard output open does not hold Run up.
	begin := time.Now()
	m.MustRun(t, "sh", "-c", "sleep 300 & echo $! > /run/sleeper")
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("Run took %v", d)
	}
	m.MustRun(t, "sh", "-c", "kill -0 $(cat /run/sleeper)")
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, msg, exit := m.Run(short, "sh", "-c", "sleep 301 & sleep 301"); exit != -1 || !strings.Contains(msg, "deadline") {
		t.Errorf("a program past its limit gives %d, %q", exit, msg)
	}
	if out, _, _ := m.Run(ctx, "pidof", "-x", "sleep"); len(strings.Fields(out)) != 1 {
		t.Errorf("sleeping processes %q, want the one daemon", out)
	}
	p, err := m.Start("sleep", "302")
	if err != nil {
		t.Fatal(err)
	}
	p.Kill9()
	if _, _, exit := p.Wait(); exit != 137 && exit != -1 {
		t.Errorf("after Kill9 the status is %d", exit)
	}
}
