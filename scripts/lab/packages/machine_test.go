//go:build lab && linux

package packages

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// roots are those of the default run and of all: systemd 252 and 257.
func roots() []string {
	if full {
		return []string{"bookworm-netplan", "trixie-netplan"}
	}
	return []string{"bookworm-netplan"}
}

// system is a machine of the lab: one of namespaces, or a whole one that is emulated.
type system interface {
	Run(ctx context.Context, name string, args ...string) (stdout, stderr string, exit int)
	MustRun(t testing.TB, name string, args ...string) string
	ReadFile(path string) (string, error)
	WriteFile(t testing.TB, path, text string, mode fs.FileMode)
	TreeDigest(t testing.TB, dir string) lab.Tree
	AwaitDefaults(t testing.TB, d time.Duration, nics ...string)
	Reboot(t testing.TB)
}

// machine is where a package lives.
type machine struct {
	system
	t    *testing.T
	nics []string      // the NAT's first
	slow time.Duration // so many times longer than in namespaces may something take
}

// inNamespaces boots a root with more files in a world of its own.
func inNamespaces(t *testing.T, root string, files lab.Overlay) *machine {
	t.Helper()
	m := lab.Boot(t, lab.Root(t, root), lab.NewWorld(t, lab.WorldOpts{}), lab.BootOpts{Overlay: files})
	return &machine{system: m, t: t, nics: []string{"eth0", "eth1"}, slow: 1}
}

// held is a file of the host as a file of a machine.
func held(t *testing.T, path string) lab.File {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return lab.File{Content: string(b)}
}

// routed waits until both NICs have default routes.
func (m *machine) routed() {
	m.t.Helper()
	m.AwaitDefaults(m.t, m.slow*30*time.Second, m.nics...)
}

// policy needs units of its own: what it says is put back at boot and kept.
func (m *machine) policy() string {
	return `version: 1
routing:
  zones:
    outside: {interfaces: [` + m.nics[0] + `]}
  firewall:
    rules:
      - {source-interface: outside, destination-interface: self, port: [ssh], action: allow}
`
}

// boots has the first boot with the units make it right, and sees that a second one changes nothing.
func (m *machine) boots() {
	m.t.Helper()
	m.Reboot(m.t)
	m.settled()
	if out, errs, code := m.Run(context.Background(), "provision", "verify"); code != 0 {
		m.t.Errorf("after the first boot: %d\n%s%s", code, out, errs)
	}
	// On a slow machine an advertised route comes after the boot's apply: the next one enters it in the ledger as seen, whenever that is.
	m.routed()
	if out := m.MustRun(m.t, "provision", "apply"); !strings.HasPrefix(out, "nothing to do") {
		m.t.Errorf("after the first boot: %s", out)
	}
	right := m.digest()
	m.Reboot(m.t)
	m.settled()
	if diff := right.Diff(m.digest()); len(diff) > 0 {
		m.t.Errorf("the second boot has changed:\n%s\n%s", strings.Join(diff, "\n"), m.MustRun(m.t, "journalctl", "-b", "--no-pager", "-o", "short-monotonic", "-u", "provision.service"))
	}
}

// understood has systemd read the units.
func (m *machine) understood() {
	m.t.Helper()
	out, errs, _ := m.Run(context.Background(), "systemd-analyze", "verify", "--man=no", "provision-early.service", "provision.service", "provision-serve.service", "provision-watch.service")
	if strings.Contains(out+errs, "provision") {
		m.t.Errorf("systemd says of the units: %s%s", out, errs)
	}
	m.WriteFile(m.t, "/run/wrong.service", "[Service]\nTyp=oneshot\nExecStart=/bin/true\n", 0o644)
	if out, errs, _ := m.Run(context.Background(), "systemd-analyze", "verify", "--man=no", "/run/wrong.service"); !strings.Contains(out+errs, "wrong.service") {
		m.t.Errorf("systemd does not mind a key that is none: %s%s", out, errs)
	}
}

// gone checks that nothing is left, now and after a boot.
func (m *machine) gone(bare lab.Tree, what string) {
	m.t.Helper()
	if diff := bare.Diff(m.digest()); len(diff) > 0 {
		m.t.Errorf("%s leaves:\n%s", what, strings.Join(diff, "\n"))
	}
	m.Reboot(m.t)
	m.routed()
	if out, _, _ := m.Run(context.Background(), "systemctl", "list-unit-files", "--no-legend", "provision*"); out != "" {
		m.t.Errorf("%s leaves units: %s", what, out)
	}
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
				// What netplan's Python keeps, folders that systemctl takes away when they are empty, and that of all extensions.
				strings.Contains(path, "/__pycache__") || strings.HasSuffix(path, ".wants") || path == "/var/lib/extensions" ||
				// What systemd brings up to date at each boot on which /usr is another (systemd.unit(5), ConditionNeedsUpdate).
				path == "/etc/.updated" || path == "/var/cache/ldconfig/aux-cache" ||
				path == "/etc/resolv.conf" || path == "/etc/.pwd.lock" {
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
	lab.Await(m.t, m.slow*time.Minute, func() error {
		out := m.MustRun(m.t, "systemctl", "show", "-P", "ActiveState", "-P", "Result", "provision.service")
		if out != "active\nsuccess\n" && out != "success\nactive\n" {
			return fmt.Errorf("provision.service is %q\n%s", out, m.MustRun(m.t, "journalctl", "-b", "--no-pager", "-u", "provision.service"))
		}
		return nil
	})
}

// stamp is a moment of a unit's, since the machine's start.
func (m *machine) stamp(unit, key string) time.Duration {
	m.t.Helper()
	us, err := strconv.ParseInt(strings.TrimSpace(m.MustRun(m.t, "systemctl", "show", "-P", key, unit)), 10, 64)
	if err != nil {
		m.t.Fatalf("%s of %s: %v", key, unit, err)
	}
	return time.Duration(us) * time.Microsecond
}

// besides checks that nobody waits for our units: the boot's target is reached before the apply begins. It tells what they cost.
func (m *machine) besides() {
	m.t.Helper()
	begin := m.stamp("provision.service", "ExecMainStartTimestampMonotonic")
	if reached := m.stamp("multi-user.target", "ActiveEnterTimestampMonotonic"); reached == 0 || begin < reached {
		m.t.Errorf("multi-user.target was reached at %v, and the apply began at %v", reached, begin)
	}
	// It had its turn, and nothing to do: nobody waits for it.
	if m.stamp("provision-early.service", "ConditionTimestampMonotonic") == 0 || m.stamp("provision-early.service", "ExecMainStartTimestampMonotonic") != 0 {
		m.t.Errorf("provision-early.service: %s", m.MustRun(m.t, "systemctl", "status", "--no-pager", "provision-early.service"))
	}
	apply := m.stamp("provision.service", "ExecMainExitTimestampMonotonic") - begin
	cpu := m.stamp("provision.service", "CPUUsageNSec") / 1000 // nanoseconds, where the others are microseconds
	m.t.Logf("apply took %v, and %v of CPU", apply, cpu)
	if apply <= 0 || cpu <= 0 || cpu > m.slow*200*time.Millisecond {
		m.t.Errorf("apply took %v, and %v of CPU: a boot on which nothing changes is to take 0.3 s on an idle machine", apply, cpu)
	}
}

// edited checks that the configuration is still the user's.
func (m *machine) edited() {
	m.t.Helper()
	if text, err := m.ReadFile("/etc/provision/provision.yaml"); err != nil || text != m.policy() {
		m.t.Errorf("the edited configuration is gone (%v):\n%s", err, text)
	}
}
