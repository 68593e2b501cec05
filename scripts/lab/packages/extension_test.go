//go:build lab && linux

package packages

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// The extension by the guide's commands: it is merged at boot before our units need its program, these do what the package's do, and
// removed, it leaves nothing.
func TestSystemExtensionBoots(t *testing.T) {
	t.Parallel()
	files := lab.Overlay{}
	archive := archived(t, files)
	for _, root := range roots() {
		t.Run(root, func(t *testing.T) {
			t.Parallel()
			inNamespaces(t, root, files).extended(archive)
		})
	}
}

// archived puts the extension's archive into root's home, and says what it is called.
func archived(t *testing.T, files lab.Overlay) string {
	t.Helper()
	path := one(t, packages(t, first), "*-linux-"+arch("deb")+".sysext.tar.gz")
	files["/root/"+filepath.Base(path)] = held(t, path)
	return filepath.Base(path)
}

// extensionPage are the guide's commands that install the extension, and those that remove it, for root's shell.
func extensionPage(t *testing.T, archive string) (install, remove string) {
	t.Helper()
	blocks, err := installPage("A system extension")
	if err != nil {
		t.Fatal(err)
	}
	for i := range blocks {
		blocks[i] = strings.NewReplacer("sudo ", "", "provision-VERSION-linux-ARCH.sysext.tar.gz", archive).Replace(blocks[i])
	}
	if !strings.Contains(blocks[0], archive) || !strings.Contains(blocks[1], "provision revert") {
		t.Fatalf("the guide does not say how to install an extension, or how to remove it: %q", blocks)
	}
	return blocks[0], blocks[1]
}

// extended has the system extension live on the machine.
func (m *machine) extended(archive string) {
	t := m.t
	t.Helper()
	install, remove := extensionPage(t, archive)
	m.routed()
	bare := m.digest()

	m.MustRun(t, "sh", "-ec", "cd /root\n"+install)
	m.merged()
	m.states("is-enabled", map[string]string{"systemd-sysext": "enabled", "provision-early": "enabled", "provision": "enabled", "provision-serve": "disabled", "provision-watch": "disabled"})
	m.states("is-active", map[string]string{"provision-early": "inactive", "provision": "inactive", "provision-serve": "inactive", "provision-watch": "inactive"})
	m.understood()

	m.boots()
	m.merged()
	m.besides()

	// What an apply installs of its own waits for the extension, too, and for no unit that is switched off.
	m.WriteFile(t, "/etc/provision/provision.yaml", m.policy(), 0o600)
	m.MustRun(t, "provision", "apply")
	m.MustRun(t, "systemctl", "disable", "provision-early.service")
	m.Reboot(t)
	m.settled()
	m.states("is-active", map[string]string{"provision-early": "inactive", "provision-restore": "active", "provision-watch": "active"})
	m.MustRun(t, "provision", "verify")
	if there, begin := m.stamp("systemd-sysext.service", "ExecMainExitTimestampMonotonic"), m.stamp("provision-restore.service", "ExecMainStartTimestampMonotonic"); there <= 0 || begin < there {
		t.Errorf("the extension was there at %v, and a unit of its program began at %v", there, begin)
	}
	// This one has something to do only where a boot finds something unfinished.
	if after := m.MustRun(t, "systemctl", "show", "-P", "After", "provision-early.service"); !strings.Contains(after, "systemd-sysext.service") {
		t.Errorf("provision-early.service does not wait for extensions: %s", after)
	}

	m.MustRun(t, "sh", "-ec", remove)
	if _, _, code := m.Run(context.Background(), "test", "-e", "/usr/bin/provision"); code == 0 {
		t.Error("the program is there without its extension")
	}
	m.gone(bare, "the guide's removal")
}

// merged checks that the extension lies over /usr, and that its program runs.
func (m *machine) merged() {
	m.t.Helper()
	if out := m.MustRun(m.t, "systemd-sysext", "--no-legend", "status"); !strings.Contains(out, "provision") {
		m.t.Errorf("not merged: %s", out)
	}
	if out := m.MustRun(m.t, "/usr/bin/provision", "version"); !strings.Contains(out, "v1.0.0") {
		m.t.Errorf("the extension's program says: %s", out)
	}
}

// The same on whole machines, with Debian's kernel, udev and a disk.
func TestSystemExtensionVM(t *testing.T) {
	if !full {
		t.Skip("skipped: emulated machines boot five times each for it; PROVISION_LAB_FULL=1 (make test-all) runs it")
	}
	lab.Need(t, lab.Tier3)
	files := lab.Overlay{}
	archive := archived(t, files)
	for _, root := range roots() {
		t.Run(root, func(t *testing.T) { emulated(t, root, files).extended(archive) })
	}
}

// emulated boots a root with more files in a virtual machine.
func emulated(t *testing.T, root string, files lab.Overlay) *machine {
	t.Helper()
	v := lab.BootVM(t, lab.Root(t, root), lab.VMOpts{Overlay: files, Timeout: 10 * time.Minute})
	return &machine{system: v, t: t, nics: []string{lab.VMNICs[0].Name, lab.VMNICs[1].Name}, slow: 20}
}
