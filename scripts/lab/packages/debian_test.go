//go:build lab && linux

package packages

import (
	"context"
	"strings"
	"testing"

	"github.com/provision-net/provision/scripts/lab"
)

// The .deb on a machine that lives on: installed, booted, configured, upgraded, removed, installed again, purged.
func TestDebian(t *testing.T) {
	t.Parallel()
	files := debs(t)
	for _, root := range roots() {
		t.Run(root, func(t *testing.T) {
			t.Parallel()
			inNamespaces(t, root, files).debian()
		})
	}
}

// The older and the newer .deb, as files of a machine.
const oldDeb, nextDeb = "/root/old.deb", "/root/next.deb"

func debs(t *testing.T) lab.Overlay {
	t.Helper()
	return lab.Overlay{
		oldDeb:  held(t, one(t, packages(t, first), "*_"+arch("deb")+".deb")),
		nextDeb: held(t, one(t, packages(t, later), "*_"+arch("deb")+".deb")),
	}
}

// debian has the .deb live on the machine.
func (m *machine) debian() {
	t := m.t
	t.Helper()
	m.routed()
	bare := m.digest()

	m.dpkg("-i", oldDeb)
	if out := m.MustRun(t, "dpkg", "--verify", "provision"); out != "" {
		t.Errorf("not as in the package: %s", out)
	}
	m.states("is-enabled", map[string]string{"provision-early": "enabled", "provision": "enabled", "provision-serve": "disabled", "provision-watch": "disabled"})
	m.states("is-active", map[string]string{"provision-early": "inactive", "provision": "inactive", "provision-serve": "inactive", "provision-watch": "inactive"})
	m.understood()

	// The first boot makes it right, the second one changes nothing.
	m.boots()
	m.besides()

	// A policy of one's own, with units that an apply installs; one unit is switched off.
	m.WriteFile(t, "/etc/provision/provision.yaml", m.policy(), 0o600)
	m.MustRun(t, "provision", "apply")
	m.MustRun(t, "systemctl", "disable", "provision-early.service")
	m.states("is-active", map[string]string{"provision-watch": "active"})
	pid := m.MustRun(t, "systemctl", "show", "-P", "MainPID", "provision-watch.service")

	m.dpkg("--force-confdef", "-i", nextDeb)
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
	m.routed()

	// Installed again, the configuration is found; purged, nothing is.
	m.dpkg("--force-confdef", "-i", nextDeb)
	m.edited()
	m.MustRun(t, "provision", "apply")
	m.dpkg("-P", "provision")
	if _, _, code := m.Run(context.Background(), "test", "-e", "/run/provision"); code == 0 {
		t.Error("a purge leaves /run/provision")
	}
	m.gone(bare, "a purge")
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
