//go:build lab && linux

package cloudinit

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/provision-net/provision/scripts/lab"
)

// page is the guide about baked images: the commands that bake, the configuration, and the command that takes it back.
func page(t *testing.T) (bake, config, back string) {
	t.Helper()
	text, err := os.ReadFile("../../../docs/baking.md")
	if err != nil {
		t.Fatal(err)
	}
	rest := string(text)
	block := func(kind string) string {
		var inner string
		_, after, _ := strings.Cut(rest, "\n```"+kind+"\n")
		inner, rest, _ = strings.Cut(after, "```\n")
		if !strings.Contains(inner, map[string]string{"text": "provision", "yaml": "version: 1"}[kind]) {
			t.Fatalf("the guide lacks a %s block about baked images: %q", kind, inner)
		}
		return strings.ReplaceAll(inner, "sudo ", "")
	}
	return block("text"), block("yaml"), block("text")
}

// image is what is baked: a root, and whether cloud-init writes its network files or the image has them.
type image struct {
	root      string
	cloudInit bool
}

// images are those of the default run and of all.
func images() []image {
	all := []image{{"bookworm", true}, {"bookworm-ifupdown", false}}
	if full {
		all = append(all, image{"trixie", true}, image{"bookworm-nm", true}, image{"bookworm-ifupdown", true}, image{"trixie-nm", false})
	}
	return all
}

func (i image) name() string {
	if i.cloudInit {
		return i.root
	}
	return i.root + " without cloud-init"
}

// builder boots the image's builder: its own boot is without cloud-init in any case.
func (i image) builder(t *testing.T, w *lab.World) *machine {
	t.Helper()
	b, err := os.ReadFile(must(t, deb))
	if err != nil {
		t.Fatal(err)
	}
	files := lab.Overlay{"/srv/provision.deb": {Content: string(b)}}
	for path, f := range recorder {
		files[path] = f
	}
	if i.cloudInit {
		files[cloudInitOff] = lab.File{}
		return boot(t, i.root, w, files)
	}
	if strings.Contains(i.root, "-nm") {
		for _, nic := range []string{"eth0", "eth1"} {
			files["/etc/NetworkManager/system-connections/"+nic+".nmconnection"] = lab.File{Mode: 0o600,
				Content: "[connection]\nid=" + nic + "\ntype=ethernet\ninterface-name=" + nic + "\n[ipv4]\nmethod=auto\n[ipv6]\nmethod=auto\n"}
		}
	}
	return &machine{lab.Boot(t, lab.Root(t, i.root), w, lab.BootOpts{Overlay: files, Timeout: 4 * time.Minute}), t}
}

// cloudInitOff is the file with which cloud-init does nothing (ds-identify(8) looks for it).
const cloudInitOff = "/etc/cloud/cloud-init.disabled"

// slaac is a network-config for ifupdown. Its DHCPv6 client, which dhcp6 of version 2 becomes, holds the boot up until a server
// answers, and this network has none; only version 1 can say that IPv6 is by router advertisements.
const slaac = `version: 1
config:
  - {type: physical, name: eth0, subnets: [{type: dhcp4}, {type: ipv6_slaac}]}
  - {type: physical, name: eth1, subnets: [{type: dhcp4}, {type: ipv6_slaac}]}
`

// clone makes a machine of the builder: the seed of a new instance that has no word of provision in it, and no machine-id.
func (i image) clone(m *machine) {
	m.t.Helper()
	if i.cloudInit {
		m.MustRun(m.t, "rm", cloudInitOff)
		for name, f := range seed(m.t, "--config", file(m.t, "provision.yaml", config)) {
			switch {
			case strings.HasSuffix(name, "/user-data"):
				f.Content = "#cloud-config\n{}\n"
			case strings.HasSuffix(name, "/network-config") && strings.Contains(i.root, "ifupdown"):
				f.Content = slaac
			}
			m.WriteFile(m.t, name, f.Content, f.Mode)
		}
	}
	m.WriteFile(m.t, "/etc/machine-id", "", 0o444)
	m.Reboot(m.t)
}

// An image with the package and the configuration in it: the first machine's first lease finds the network right, without any
// word of provision in its user-data, or without cloud-init. What the image has in it is of no machine.
func TestBaked(t *testing.T) {
	lab.Need(t, lab.Packages)
	t.Parallel()
	for _, i := range images() {
		t.Run(i.name(), func(t *testing.T) {
			t.Parallel()
			m := i.builder(t, lab.NewWorld(t, lab.WorldOpts{}))
			bake, baked, back := page(t)
			m.WriteFile(t, "/srv/provision.yaml", baked, 0o644)
			bare := m.TreeDigest(t, "/etc").Without("/etc/resolv.conf")
			m.MustRun(t, "mount", "--bind", "/", "/mnt")
			m.MustRun(t, "sh", "-ec", "cd /srv\n"+bake)
			m.taken(bare, i, back)
			m.MustRun(t, "umount", "/mnt")
			id := m.MustRun(t, "sh", "-c", "cat /proc/sys/kernel/random/boot_id; cat /sys/class/net/eth*/address")
			for _, one := range strings.Fields(id) {
				if out, _, _ := m.Run(t.Context(), "grep", "-rl", one, "/etc", "/var/lib/provision"); out != "" {
					t.Errorf("%s of the builder is in the image: %s", one, out)
				}
			}

			i.clone(m)
			t.Logf("first boot: %v", m.BootTime)
			if i.cloudInit {
				m.well()
			}
			m.right()
			m.always()
			m.early(i)
			for _, path := range []string{"/var/lib/provision/baked", "/var/lib/provision/cloud-init.json"} {
				if _, err := m.ReadFile(path); err == nil {
					t.Errorf("%s is there", path)
				}
			}
			if n := strings.Count(m.MustRun(t, "journalctl", "-b", "--no-pager", "-u", "provision.service"), "nothing to do"); n != 1 {
				t.Errorf("when the boot was done there was something to do:\n%s", m.Journal())
			}
			if !full { // TestCloudInit has a second boot
				return
			}
			before := m.TreeDigest(t, "/etc").Without("/etc/resolv.conf")
			m.Reboot(t)
			m.right()
			m.always()
			if diff := before.Diff(m.TreeDigest(t, "/etc").Without("/etc/resolv.conf")); len(diff) > 0 {
				t.Errorf("the second boot has changed:\n%s", strings.Join(diff, "\n"))
			}
		})
	}
}

// taken takes what was baked back, which leaves only the package and its configuration, and bakes it again, which is the same again.
func (m *machine) taken(bare lab.Tree, i image, back string) {
	m.t.Helper()
	etc := func() lab.Tree { return m.TreeDigest(m.t, "/etc").Without("/etc/resolv.conf") }
	baked := etc()
	m.MustRun(m.t, "sh", "-ec", back)
	for _, line := range bare.Diff(etc()) {
		if !strings.Contains(line, "provision") && !strings.Contains(line, ".wants") {
			m.t.Errorf("taken back, the image is not as before: %s", line)
		}
	}
	if n := len(etc().Diff(baked)); n == 0 && !i.cloudInit { // else there are no network files before an instance has its own
		m.t.Error("the image's network files were never written, or cannot be taken back: /etc is the same before and after")
	}
	if _, err := m.ReadFile("/var/lib/provision/baked"); err == nil {
		m.t.Error("taken back, it still counts as baked")
	}
	m.MustRun(m.t, "provision", "apply", "--root", "/mnt")
	if diff := baked.Diff(etc()); len(diff) > 0 {
		m.t.Errorf("baked, taken back and baked again is something else:\n%s", strings.Join(diff, "\n"))
	}
}

// early checks what was done before the network came up: files were written where cloud-init has written some just before, and
// nothing was run but netplan's generator.
func (m *machine) early(i image) {
	m.t.Helper()
	out := m.MustRun(m.t, "journalctl", "-b", "--no-pager", "-o", "cat", "-u", "provision-early.service")
	want := "nothing to do"
	if i.cloudInit {
		want = "done and verified"
	}
	if !strings.Contains(out, want) {
		m.t.Errorf("before the network there was not %q:\n%s", want, out)
	}
	ran := 0
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "! ") {
			ran++
			m.t.Logf("before the network: %s", strings.TrimSpace(line))
			if !strings.Contains(line, "netplan") || !strings.Contains(line, "generate") {
				m.t.Errorf("before the network it ran %s", line)
			}
		}
	}
	if want := i.cloudInit && !strings.Contains(i.root, "ifupdown") && !strings.HasSuffix(i.root, "-nm"); want != (ran > 0) {
		m.t.Errorf("before the network it ran %d commands:\n%s", ran, out)
	}
}
