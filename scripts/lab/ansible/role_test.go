//go:build lab && linux

package ansible

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// full adds managers and the way back.
var full = os.Getenv("PROVISION_LAB_FULL") != ""

// program is the program under test, which PROVISION_BINARY may name.
var program string

func TestMain(m *testing.M) { os.Exit(lab.MainWithProgram(m, &program)) }

// playbook has the role's configuration and state as its variables, given on the command line.
const playbook = `- hosts: all
  gather_subset: ["!all", "!min", platform, service_mgr] # what the role asks for
  roles:
    - role: provision
      provision_program: /root/dist
`

// The role of a fresh machine to its end: what --check says is what then happens, twice is no change, a configuration that is not
// valid changes nothing, and reverted is as before.
func TestRole(t *testing.T) {
	lab.Need(t, lab.Tier2)
	roots := []string{"bookworm-netplan"}
	if full {
		roots = append(roots, "trixie-nm", "bookworm-ifupdown")
	}
	for _, root := range roots {
		t.Run(root, func(t *testing.T) { role(t, root) })
	}
}

func role(t *testing.T, root string) {
	m := &machine{Machine: lab.Boot(t, lab.Root(t, root+"+ansible-core"), lab.NewWorld(t, lab.WorldOpts{}), lab.BootOpts{Overlay: files(t)}), t: t}
	m.AwaitAddrs(t, 30*time.Second, "eth0", "eth1")
	bare := m.TreeDigest(t, "/etc").Without("/etc/resolv.conf")
	const first, second = "version: 1\nnetwork: {nat-metric: 1500}\n", "version: 1\nnetwork: {nat-metric: 1600}\n"

	// There is nothing yet, not even the program. The play is what provision itself prints, and what the real Ansible takes.
	m.hook(first)
	m.playbook("/root/hook.yml", 0, "", "--syntax-check")
	m.playbook("/root/hook.yml", 0, "changed=3", "--check", "--diff") // program, network, unit
	if diff := bare.Diff(m.TreeDigest(t, "/etc").Without("/etc/resolv.conf")); len(diff) > 0 {
		t.Fatalf("--check has changed\n%s", strings.Join(diff, "\n"))
	}
	m.playbook("/root/hook.yml", 0, "changed=3")
	m.verify(first, "1500")
	m.play(0, "changed=0", first)

	// Another metric: the difference is of the configuration and of what comes of it.
	out := m.play(0, "changed=1", second, "--check", "--diff")
	for _, want := range []string{"-network: {nat-metric: 1500}", "+network: {nat-metric: 1600}"} {
		if !strings.Contains(out, "\n"+want+"\n") {
			t.Errorf("--check --diff does not show %q:\n%s", want, out)
		}
	}
	if n := len(regexp.MustCompile(`(?m)^[-+].*1[56]00`).FindAllString(out, -1)); n < 4 {
		t.Errorf("--check --diff shows %d lines with a metric; those of the configuration and of the manager's files are 4 at least:\n%s", n, out)
	}
	m.verify(first, "1500")

	// What is not valid is refused, with its line, and what was stays.
	if out := m.play(2, "failed=1", "version: 1\nnetwork: {nat-metrik: 1}\n"); !strings.Contains(out, "provision-ansible.yaml:2:11") {
		t.Errorf("the error does not say where:\n%s", out)
	}
	m.verify(first, "1500")

	if !full {
		t.Log("a second change and reverted are left to the full run (PROVISION_LAB_FULL=1)")
		return
	}
	m.play(0, "changed=1", second)
	m.verify(second, "1600")
	m.play(0, "changed=1", second, "-e", "provision_state=reverted")
	for _, gone := range []string{"/etc/systemd/system/provision-recover.service", "/etc/systemd/system/sysinit.target.wants/provision-recover.service", "/etc/provision/provision.yaml"} {
		m.MustRun(t, "rm", "-f", gone) // these are the role's own, and no part of the network
	}
	for _, line := range bare.Diff(m.TreeDigest(t, "/etc").Without("/etc/resolv.conf")) {
		if !strings.Contains(line, "/etc/provision") && !strings.Contains(line, ".wants") && !strings.Contains(line, ".pwd.lock") {
			t.Errorf("reverted leaves %s", line)
		}
	}
}

// files are the role, a playbook and a folder of programs, in /root.
func files(t *testing.T) lab.Overlay {
	t.Helper()
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	out := lab.Overlay{"/root/play.yml": {Content: playbook}, "/root/dist/provision-linux-" + runtime.GOARCH: {Content: string(text), Mode: 0o755}}
	top := filepath.Join("..", "..", "ansible", "roles")
	err = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, _ := filepath.Rel(top, path)
		text, err := os.ReadFile(path)
		out["/root/roles/"+rel] = lab.File{Content: string(text)}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type machine struct {
	*lab.Machine
	t *testing.T
}

// play runs the playbook, which has to end with the status and to count like want in its last line.
func (m *machine) play(status int, want, config string, more ...string) string {
	m.t.Helper()
	m.WriteFile(m.t, "/root/vars.json", fmt.Sprintf(`{"provision_config": %q}`, config), 0o600)
	return m.playbook("/root/play.yml", status, want, append([]string{"-e", "@/root/vars.json"}, more...)...)
}

// playbook runs a playbook for this machine, without an inventory.
func (m *machine) playbook(path string, status int, want string, more ...string) string {
	m.t.Helper()
	return m.ansible(status, want, append([]string{"ansible-playbook", "-i", "localhost,", "-c", "local", path}, more...)...)
}

// ansible runs a command, which has to end with the status and, unless want is "", to count like it in its last line.
func (m *machine) ansible(status int, want string, argv ...string) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	begin := time.Now()
	out, errs, code := m.Run(ctx, "env", append([]string{"-C", "/root", "ANSIBLE_NOCOLOR=1", "ANSIBLE_PIPELINING=1", "LC_ALL=C.UTF-8", "HOME=/root"}, argv...)...)
	m.t.Logf("%v: %s in %v", argv, regexp.MustCompile(`localhost +: .*`).FindString(out), time.Since(begin).Round(100*time.Millisecond))
	if code != status || want != "" && !strings.Contains(out, " "+want+" ") {
		m.t.Fatalf("%v: status %d, not %d with %s\n%s%s", argv, code, status, want, out, errs)
	}
	return out
}

// hook has provision print a play with the configuration in it, as its user does on the controller.
func (m *machine) hook(config string) {
	m.t.Helper()
	path := filepath.Join(m.t.TempDir(), "provision.yaml")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		m.t.Fatal(err)
	}
	m.print("hook", "ansible", "--program", "dist", "--config", path)
}

// print makes a play of what provision prints.
func (m *machine) print(args ...string) {
	m.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = "../../.."
	out, err := cmd.Output()
	if err != nil {
		m.t.Fatalf("%v: %v", args, err)
	}
	m.WriteFile(m.t, "/root/hook.yml", string(out), 0o600)
}

// The guide's own play and commands, one after the other.
func TestAnsiblePage(t *testing.T) {
	lab.Need(t, lab.Tier2)
	if !full {
		t.Skip("skipped: seven runs of Ansible; TestRole has the same plays, and PROVISION_LAB_FULL=1 (make test-all) runs this one, too")
	}
	text, err := os.ReadFile("../../../docs/ansible.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string) string {
		_, rest, _ := strings.Cut(string(text), "\n```"+kind+"\n")
		inner, _, _ := strings.Cut(rest, "```\n")
		return inner
	}
	m := &machine{Machine: lab.Boot(t, lab.Root(t, "bookworm-netplan+ansible-core"), lab.NewWorld(t, lab.WorldOpts{}), lab.BootOpts{Overlay: files(t)}), t: t}
	m.AwaitAddrs(t, 30*time.Second, "eth0", "eth1")
	line, _, _ := strings.Cut(block("sh"), " > play.yml\n")
	m.print(strings.Fields(line)[1:]...)
	m.playbook("/root/hook.yml", 0, "", "--syntax-check")
	m.WriteFile(t, "/root/play.yml", block("yaml"), 0o600)
	m.WriteFile(t, "/root/inventory", "[routers]\nlocalhost ansible_connection=local\n", 0o600)
	bare := defaults(m)
	// How each of them ends: syntax, check, apply, apply again, verified, reverted.
	wants := []string{"", "changed=3", "changed=3", "changed=0", "changed=0", "changed=1"}
	for line := range strings.Lines(block("text")) {
		line, _, _ = strings.Cut(line, "#")
		argv := strings.Fields(line)
		if len(argv) == 0 || argv[0] != "ansible-playbook" {
			t.Logf("left to the build: %s", line)
			continue
		}
		if len(wants) == 0 {
			t.Fatalf("it is not known how this ends: %s", line)
		}
		m.ansible(0, wants[0], argv...)
		if wants = wants[1:]; len(wants) == 3 {
			m.MustRun(t, "provision", "verify")
		}
	}
	if len(wants) > 0 {
		t.Errorf("%d commands are not in the guide any more", len(wants))
	}
	if got := defaults(m); got != bare {
		t.Errorf("reverted: %s, and before %s", got, bare)
	}
}

// defaults are the IPv4 default routes; of equal metrics either may come first.
func defaults(m *machine) string {
	var all []string
	for _, r := range m.Defaults(4) {
		all = append(all, fmt.Sprint(r))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// verify checks that the machine has this configuration and lives by it.
func (m *machine) verify(config, metric string) {
	m.t.Helper()
	if text, err := m.ReadFile("/etc/provision/provision.yaml"); err != nil || text != config {
		m.t.Errorf("the configuration is %q, not %q (%v)", text, config, err)
	}
	m.MustRun(m.t, "provision", "verify")
	m.MustRun(m.t, "provision", "plan", "--exit-code")
	for _, r := range m.Defaults(4) {
		if r.Dev == "eth0" && fmt.Sprint(r.Metric) != metric {
			m.t.Errorf("eth0 has the metric %d, not %s", r.Metric, metric)
		}
	}
}
