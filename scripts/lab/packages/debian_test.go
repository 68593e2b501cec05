//go:build lab && linux

package packages

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// policy needs units of its own: what it says is put back at boot and kept.
const policy = `version: 1
routing:
  zones:
    outside: {interfaces: [eth0]}
  firewall:
    rules:
      - {source-interface: outside, destination-interface: self, port: [ssh], action: allow}
`

// The .deb on a machine that lives on: installed, booted, configured, upgraded, removed, installed again, purged.
func TestDebian(t *testing.T) {
	t.Parallel()
	old, next := packages(t, first), packages(t, later)
	roots := []string{"bookworm-netplan"}
	if full {
		roots = append(roots, "trixie-netplan")
	}
	for _, root := range roots {
		t.Run(root, func(t *testing.T) {
			t.Parallel()
			debs := lab.Overlay{}
			for name, dir := range map[string]string{"/root/old.deb": old, "/root/next.deb": next} {
				b, err := os.ReadFile(one(t, dir, "*_"+arch("deb")+".deb"))
				if err != nil {
					t.Fatal(err)
				}
				debs[name] = lab.File{Content: string(b)}
			}
			m := &machine{Machine: lab.Boot(t, lab.Root(t, root), lab.NewWorld(t, lab.WorldOpts{}), lab.BootOpts{Overlay: debs}), t: t}
			m.AwaitDefaults(t, 30*time.Second, "eth0", "eth1")
			bare := m.digest()

			m.dpkg("-i", "/root/old.deb")
			if out := m.MustRun(t, "dpkg", "--verify", "provision"); out != "" {
				t.Errorf("not as in the package: %s", out)
			}
			m.states("is-enabled", map[string]string{"provision-early": "enabled", "provision": "enabled", "provision-serve": "disabled", "provision-watch": "disabled"})
			m.states("is-active", map[string]string{"provision-early": "inactive", "provision": "inactive", "provision-serve": "inactive", "provision-watch": "inactive"})
			if out, errs, _ := m.Run(context.Background(), "systemd-analyze", "verify", "--man=no", "provision-early.service", "provision.service", "provision-serve.service", "provision-watch.service"); strings.Contains(out+errs, "provision") {
				t.Errorf("systemd says of the units: %s%s", out, errs)
			}

			// The first boot makes it right, the second one changes nothing.
			m.Reboot(t)
			m.settled()
			if out, errs, code := m.Run(context.Background(), "provision", "verify"); code != 0 {
				t.Errorf("after the first boot: %d\n%s%s\n%s", code, out, errs, m.Journal())
			}
			right := m.digest()
			m.Reboot(t)
			m.settled()
			if diff := right.Diff(m.digest()); len(diff) > 0 {
				t.Errorf("the second boot has changed:\n%s", strings.Join(diff, "\n"))
			}
			m.besides()

			// A policy of one's own, with units that an apply installs; one unit is switched off.
			m.WriteFile(t, "/etc/provision/provision.yaml", policy, 0o600)
			m.MustRun(t, "provision", "apply")
			m.MustRun(t, "systemctl", "disable", "provision-early.service")
			m.states("is-active", map[string]string{"provision-watch": "active"})
			pid := m.MustRun(t, "systemctl", "show", "-P", "MainPID", "provision-watch.service")

			m.dpkg("--force-confdef", "-i", "/root/next.deb")
			m.edited()
			m.states("is-enabled", map[string]string{"provision-early": "disabled", "provision": "enabled", "provision-watch": "enabled"})
			m.states("is-active", map[string]string{"provision-watch": "active"})
			if now := m.MustRun(t, "systemctl", "show", "-P", "MainPID", "provision-watch.service"); now == pid {
				t.Error("the old program still watches")
			}
			if out := m.MustRun(t, "provision", "version"); !strings.Contains(out, "v1.1.0") {
				t.Errorf("not upgraded: %s", out)
			}
			m.MustRun(t, "provision", "plan", "--exit-code")

			// Removed: the network is as it was, and the configuration stays.
			m.dpkg("-r", "provision")
			m.edited()
			for _, path := range []string{"/usr/bin/provision", "/etc/systemd/system/provision-watch.service", "/etc/systemd/system/provision-restore.service", "/etc/netplan/90-provision.yaml"} {
				if _, err := m.ReadFile(path); err == nil {
					t.Errorf("%s is left", path)
				}
			}
			if left, _, _ := m.Run(context.Background(), "pgrep", "-a", "provision"); left != "" {
				t.Errorf("still running: %s", left)
			}
			m.AwaitDefaults(t, 30*time.Second, "eth0", "eth1")

			// Installed again, the configuration is found; purged, nothing is.
			m.dpkg("--force-confdef", "-i", "/root/next.deb")
			m.edited()
			m.MustRun(t, "provision", "apply")
			m.dpkg("-P", "provision")
			if diff := bare.Diff(m.digest()); len(diff) > 0 {
				t.Errorf("a purge leaves:\n%s", strings.Join(diff, "\n"))
			}
			if _, _, code := m.Run(context.Background(), "test", "-e", "/run/provision"); code == 0 {
				t.Error("/run/provision is left")
			}
			m.Reboot(t)
			m.AwaitDefaults(t, 30*time.Second, "eth0", "eth1")
			if out, _, _ := m.Run(context.Background(), "systemctl", "list-unit-files", "--no-legend", "provision*"); out != "" {
				t.Errorf("units are left: %s", out)
			}
		})
	}
}

// A configuration that nobody has edited is the newer one after an upgrade.
func TestDebianUnedited(t *testing.T) {
	t.Parallel()
	old, next := packages(t, first), packages(t, later)
	out := chrooted(t, lab.Root(t, "bookworm-base"), map[string]string{"old.deb": one(t, old, "*_"+arch("deb")+".deb"), "next.deb": one(t, next, "*_"+arch("deb")+".deb")}, `
dpkg -i /tmp/in/old.deb
grep -q 'came with version 1.1.0' /etc/provision/provision.yaml && echo TOO EARLY
dpkg -i /tmp/in/next.deb
grep 'came with version 1.1.0' /etc/provision/provision.yaml
ls -l /etc/systemd/system/sysinit.target.wants/provision-early.service /etc/systemd/system/multi-user.target.wants/provision.service
dpkg -P provision
find / -xdev -iname '*provision*' ! -path '/proc/*' ! -path '/tmp/*' ! -path /usr/lib/tmpfiles.d/provision.conf ! -path '/var/log/*' | sed 's/^/left: /'
`) // tmpfiles.d/provision.conf is systemd's own
	if strings.Contains(out, "TOO EARLY") || !strings.Contains(out, newDefault) {
		t.Errorf("the new default has not come:\n%s", out)
	}
	if strings.Contains(out, "left: ") {
		t.Errorf("something is left:\n%s", out)
	}
}

type machine struct {
	*lab.Machine
	t *testing.T
}

// dpkg leaves documentation and manual pages out in the lab's roots, unless told otherwise.
func (m *machine) dpkg(args ...string) {
	m.t.Helper()
	m.MustRun(m.t, "dpkg", append([]string{"--path-include=/usr/share/*"}, args...)...)
}

// digest is what a package may have left on the disk; what dpkg and systemd keep for themselves is theirs.
func (m *machine) digest() lab.Tree {
	m.t.Helper()
	all := lab.Tree{}
	for _, dir := range []string{"/etc", "/usr", "/var/lib", "/var/cache", "/boot", "/opt", "/srv"} {
		for path, e := range m.TreeDigest(m.t, dir) {
			if strings.HasPrefix(path, "/var/lib/dpkg/") && !strings.Contains(path, "provision") ||
				strings.HasPrefix(path, "/var/lib/systemd/") && !strings.Contains(path, "provision") ||
				// What netplan's Python keeps, and folders that systemctl takes away when they are empty.
				strings.Contains(path, "/__pycache__") || strings.HasSuffix(path, ".wants") || path == "/etc/resolv.conf" || path == "/etc/.pwd.lock" {
				continue
			}
			all[path] = e
		}
	}
	return all
}

func (m *machine) states(verb string, want map[string]string) {
	m.t.Helper()
	for unit, state := range want {
		if out, _, _ := m.Run(context.Background(), "systemctl", verb, unit+".service"); strings.TrimSpace(out) != state {
			m.t.Errorf("systemctl %s %s: %q, not %s", verb, unit, strings.TrimSpace(out), state)
		}
	}
}

// settled waits until the boot's own apply has ended well.
func (m *machine) settled() {
	m.t.Helper()
	lab.Await(m.t, time.Minute, func() error {
		out := m.MustRun(m.t, "systemctl", "show", "-P", "ActiveState", "-P", "Result", "provision.service")
		if out != "active\nsuccess\n" && out != "success\nactive\n" {
			return fmt.Errorf("provision.service is %q\n%s", out, m.MustRun(m.t, "journalctl", "-b", "--no-pager", "-u", "provision.service"))
		}
		return nil
	})
}

// besides checks that nobody waits for our units: the boot's target is reached before the apply begins. It tells what they cost.
func (m *machine) besides() {
	m.t.Helper()
	stamp := func(unit, key string) time.Duration {
		us, err := strconv.ParseInt(strings.TrimSpace(m.MustRun(m.t, "systemctl", "show", "-P", key, unit)), 10, 64)
		if err != nil {
			m.t.Fatalf("%s of %s: %v", key, unit, err)
		}
		return time.Duration(us) * time.Microsecond
	}
	begin := stamp("provision.service", "ExecMainStartTimestampMonotonic")
	if reached := stamp("multi-user.target", "ActiveEnterTimestampMonotonic"); reached == 0 || begin < reached {
		m.t.Errorf("multi-user.target was reached at %v, and the apply began at %v", reached, begin)
	}
	// It had its turn, and nothing to do: nobody waits for it.
	if stamp("provision-early.service", "ConditionTimestampMonotonic") == 0 || stamp("provision-early.service", "ExecMainStartTimestampMonotonic") != 0 {
		m.t.Errorf("provision-early.service: %s", m.MustRun(m.t, "systemctl", "status", "--no-pager", "provision-early.service"))
	}
	apply := stamp("provision.service", "ExecMainExitTimestampMonotonic") - begin
	cpu := stamp("provision.service", "CPUUsageNSec") / 1000 // nanoseconds, where the others are microseconds
	m.t.Logf("apply took %v, and %v of CPU", apply, cpu)
	if apply <= 0 || cpu <= 0 || cpu > 200*time.Millisecond {
		m.t.Errorf("apply took %v, and %v of CPU: a boot on which nothing changes is to take 0.3 s on an idle machine", apply, cpu)
	}
}

// edited checks that the configuration is still the user's.
func (m *machine) edited() {
	m.t.Helper()
	if text, err := m.ReadFile("/etc/provision/provision.yaml"); err != nil || text != policy {
		m.t.Errorf("the edited configuration is gone (%v):\n%s", err, text)
	}
}
